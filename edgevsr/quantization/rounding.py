"""Weights to int8: not each to its nearest code, but all of a filter together.

A convolution is a matrix product of its input's windows. Rounding a weight makes an error that the
weights not yet rounded can still take up, as far as the windows' correlations allow; so weights
are rounded one by one, each error spread over the rest.

Source: GPTQ, Frantar et al., ICLR 2023, algorithm 1 (from Optimal Brain Surgeon).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_DAMPING = 0.01
_CLIPS = np.linspace(0.6, 1.0, 17)
_SMALLEST_SCALE = 1e-8


def refit(weight: Matrix, bias: Matrix, given: Matrix, target: Matrix) -> tuple[Matrix, Matrix]:
    """Return weights (O, K) and bias (O) that bring `given` windows (n, K) nearest to `target`
    outputs (n, O), leaning towards the old ones where the windows say little.

    `given` are windows of the quantized network, `target` the float network's outputs: so a layer
    also mends what the layers before it did.
    """
    columns = np.concatenate([given, np.ones((len(given), 1))], axis=1)
    residual = target - given @ weight.T - bias
    gram = columns.T @ columns
    damping = _DAMPING * np.mean(np.diag(gram))
    change = np.linalg.solve(gram + damping * np.eye(len(gram)), columns.T @ residual)
    return weight + change[:-1].T, bias + change[-1]


def choose_scales(weight: Matrix, gram: Matrix, bias_floor: Matrix) -> NDArray[np.float32]:
    """Return a scale for each row of `weight` (O, K): the clip that costs the output least."""
    largest = np.maximum(np.abs(weight).max(axis=1) / 127.0, _SMALLEST_SCALE)
    best = np.full(len(weight), np.inf)
    scales = np.maximum(largest, bias_floor)
    for clip in _CLIPS:
        scale = np.maximum(largest * clip, bias_floor)
        rounded = np.clip(np.rint(weight / scale[:, None]), -127, 127) * scale[:, None]
        difference = weight - rounded
        cost = np.einsum("ok,kl,ol->o", difference, gram, difference, optimize=True)
        better = cost < best
        best = np.where(better, cost, best)
        scales = np.where(better, scale, scales)
    chosen: NDArray[np.float32] = scales.astype(np.float32)
    return chosen


def round_together(weight: Matrix, scales: NDArray[np.float32], gram: Matrix) -> NDArray[np.int8]:
    """Return int8 codes of `weight` (O, K), errors spread by the windows' Gram matrix (K, K)."""
    damped = gram + _DAMPING * np.mean(np.diag(gram)) * np.eye(len(gram))
    # The windows' most active inputs first: their errors have the most room to be taken up.
    order = np.argsort(-np.diag(damped), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    left = weight[:, order].copy()
    scale = scales.astype(np.float64)
    codes = np.empty_like(left)
    for column in range(left.shape[1]):
        codes[:, column] = np.clip(np.rint(left[:, column] / scale), -127, 127)
        error = (left[:, column] - codes[:, column] * scale) / factor[column, column]
        left[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    back = np.empty_like(codes)
    back[:, order] = codes
    return back.astype(np.int8)


def windows(
    frame: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp], height: int, width: int
) -> Matrix:
    """Return the SAME-padded windows (n, height·width·C) of a frame (H, W, C) at some pixels."""
    top, left = (height - 1) // 2, (width - 1) // 2
    padded = np.pad(frame, ((top, height - 1 - top), (left, width - 1 - left), (0, 0)))
    taps = [padded[rows + y, columns + x] for y in range(height) for x in range(width)]
    return np.concatenate(taps, axis=1).astype(np.float64)
