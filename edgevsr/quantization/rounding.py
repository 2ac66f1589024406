"""Weights to int8: not each to its nearest code, but all of a filter together.

A convolution is a matrix product of its input's windows. Rounding a weight makes an error that the
weights not yet rounded can still take up, as far as the windows' correlations allow; so weights
are rounded one by one, each error spread over the rest.

Source: GPTQ, Frantar et al., ICLR 2023, algorithm 1 (from Optimal Brain Surgeon).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Node

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


def choose_scales(
    weights: Sequence[Matrix], grams: Sequence[Matrix] | None, floor: Matrix
) -> NDArray[np.float32]:
    """Return one scale for each output channel, from the weights (O, K) of all its phases.

    Given the windows' Gram matrices, it is the clip that costs the output least; without, the one
    that holds the largest weight. No scale is below `floor`, which an int32 bias needs.
    """
    largest = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0) / 127.0
    scales = np.maximum(np.maximum(largest, _SMALLEST_SCALE), floor)
    if grams is not None:
        best = np.full(len(scales), np.inf)
        for clip in _CLIPS:
            scale = np.maximum(np.maximum(largest * clip, _SMALLEST_SCALE), floor)
            cost = np.zeros(len(scales))
            for weight, gram in zip(weights, grams, strict=True):
                difference = weight - nearest(weight, scale) * scale[:, None]
                cost += np.einsum("ok,ok->o", difference @ gram, difference)
            better = cost < best
            best, scales = np.where(better, cost, best), np.where(better, scale, scales)
    chosen: NDArray[np.float32] = scales.astype(np.float32)
    return chosen


def nearest(weight: Matrix, scales: NDArray[Any]) -> NDArray[np.int8]:
    """Return each weight's nearest int8 code, rows at their scales."""
    codes = np.rint(weight / scales[:, None].astype(np.float64))
    return np.clip(codes, -127, 127).astype(np.int8)


def round_together(weight: Matrix, scales: NDArray[np.float32], gram: Matrix) -> NDArray[np.int8]:
    """Return int8 codes of `weight` (O, K), errors spread by the windows' Gram matrix (K, K).

    The spreading is greedy: a row that it would make worse keeps its nearest codes.
    """
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
    plain = nearest(weight, scales)

    def cost(rounded: NDArray[Any]) -> Matrix:
        error = rounded * scale[:, None] - weight
        rows: Matrix = np.einsum("ok,kl,ol->o", error, gram, error)
        return rows

    worse = cost(back) > cost(plain)
    return np.where(worse[:, None], plain, back).astype(np.int8)


@dataclass(frozen=True)
class Taps:
    """Which taps of a kernel an output pixel sees, and which input pixel each of them reads.

    `rows` (R, 1) and `columns` (1, C) index the kernel; tap (i, j) reads input pixel
    (y + row_offsets[i], x + column_offsets[j]).
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    row_offsets: NDArray[np.intp]
    column_offsets: NDArray[np.intp]

    @property
    def count(self) -> int:
        """Number of taps."""
        return len(self.row_offsets) * len(self.column_offsets)


def phase_taps(node: Node) -> list[Taps]:
    """Return the taps of each output phase: one for a convolution, stride² for a transposed one."""
    assert node.weight is not None
    _, height, width, _ = node.weight.shape
    if node.op == "conv2d":
        rows, columns = np.arange(height), np.arange(width)
        offsets = rows - (height - 1) // 2, columns - (width - 1) // 2
        return [Taps(rows[:, None], columns[None], *offsets)]
    stride, pad = int(node.attrs["stride"]), int(node.attrs["pad"])
    phases = []
    for y in range(stride):
        for x in range(stride):
            rows = np.arange((y + pad) % stride, height, stride)
            columns = np.arange((x + pad) % stride, width, stride)
            offsets = (y + pad - rows) // stride, (x + pad - columns) // stride
            phases.append(Taps(rows[:, None], columns[None], *offsets))
    return phases


def windows(
    frame: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp], taps: Taps
) -> Matrix:
    """Return what the taps read (n, taps·C) of a frame (H, W, C) at some pixels, zero outside."""
    reach = int(max(np.abs(taps.row_offsets).max(), np.abs(taps.column_offsets).max()))
    padded = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)))
    parts = [
        padded[rows + dy + reach, columns + dx + reach]
        for dy in taps.row_offsets
        for dx in taps.column_offsets
    ]
    return np.concatenate(parts, axis=1).astype(np.float64)
