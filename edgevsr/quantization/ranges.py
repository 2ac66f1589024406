"""Scales and zero points: what a tensor's 256 codes are spent on.

What counts is the value after the activation: a wide negative side that the activation shrinks or
throws away must not eat the codes of the positive side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import QuantParams
from edgevsr.spec import IMAGE_SCALE, IMAGE_ZERO_POINT

Ranges = Literal["minmax", "percentile", "mse"]
RANGES: tuple[Ranges, ...] = ("minmax", "percentile", "mse")

IMAGE = QuantParams(IMAGE_SCALE, IMAGE_ZERO_POINT)

Values = NDArray[np.float32]
Activate = Callable[[NDArray[Any]], NDArray[Any]]

_PERCENT = 0.01
_SMALLEST_RANGE = 1e-6
_HIGH_STEPS = np.linspace(0.3, 1.0, 15)
_LOW_STEPS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def params_for(low: float, high: float) -> QuantParams:
    """Return the quantization whose codes span [low, high], zero being one of them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max(high - low, _SMALLEST_RANGE) / 255.0))
    zero_point = int(np.clip(round(-128 - low / scale), -128, 127))
    return QuantParams(scale, zero_point)


def round_trip(values: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """Return `values` after quantizing and back."""
    codes = np.rint(values / np.float32(params.scale)) + np.float32(params.zero_point)
    np.clip(codes, -128, 127, out=codes)
    return (codes - np.float32(params.zero_point)) * np.float32(params.scale)


def choose(
    values: Values, ranges: Ranges, weights: NDArray[np.float32] | None = None
) -> QuantParams:
    """Return the quantization of a tensor from samples of it, (samples, channels).

    With "mse" the range keeps the values nearest to themselves; `weights` say how much an error in
    each channel counts.
    """
    low, high = _ends(values, ranges)
    if ranges != "mse":
        return params_for(low, high)
    counts = _counts(values, weights)
    return min(
        _candidates(low, high),
        key=lambda params: _error(round_trip(values, params), values, counts),
    )


def choose_rectified(
    values: Values,
    ranges: Ranges,
    activate: Activate,
    weights: NDArray[np.float32] | None = None,
    finer: tuple[int, ...] = (0,),
) -> tuple[QuantParams, QuantParams]:
    """Return the quantization before and behind a rectifier, from samples of what is before it.

    With "mse" they keep the activated values nearest; `weights` count errors behind the rectifier.
    The scale behind may be halved as often as one of `finer` says: a channel that reaches far below
    zero makes the scale before it coarse, and must not make its own small values coarse too.
    """
    low, high = _ends(values, ranges)
    if ranges != "mse":
        before = params_for(low, high)
        return before, after_activation(before, activate)
    target, counts = activate(values), _counts(values, weights)
    best, chosen = np.inf, None
    for before in _candidates(low, high):
        activated = activate(round_trip(values, before))
        for halvings in finer:
            after = after_activation(before, activate, halvings)
            error = _error(round_trip(activated, after), target, counts)
            if error < best:
                best, chosen = error, (before, after)
    assert chosen is not None
    return chosen


def _ends(values: Values, ranges: Ranges) -> tuple[float, float]:
    if ranges == "percentile":
        low, high = np.percentile(values, [_PERCENT, 100.0 - _PERCENT])
        return float(low), float(high)
    return float(values.min()), float(values.max())


def _counts(values: Values, weights: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if weights is None or not np.any(weights):
        return np.ones(values.shape[1], np.float32)
    return weights


def _candidates(low: float, high: float) -> list[QuantParams]:
    lows = _LOW_STEPS if low < 0 else (0.0,)
    highs = _HIGH_STEPS if high > 0 else np.zeros(1)
    found = {params_for(low * a, high * b) for a in lows for b in highs}
    return sorted(found, key=lambda params: (params.scale, params.zero_point))


def _error(got: NDArray[Any], target: NDArray[Any], weights: NDArray[np.float32]) -> float:
    return float(np.square(got - target).sum(axis=0, dtype=np.float64) @ weights)


def after_activation(params: QuantParams, activate: Activate, halvings: int = 0) -> QuantParams:
    """Return the quantization behind a leaky rectifier: the same scale, or that halved, so that
    positive codes pass unrounded, with the zero point where the shrunken negative side ends."""
    # In codes, where slopes on the kernels' grid meet ties exactly.
    lowest = np.full((1, 1), -128 - params.zero_point, np.float32)
    reach = float(np.min(activate(lowest))) * 2**halvings
    zero_point = int(np.clip(round(-128 - min(reach, 0.0)), -128, 127))
    return QuantParams(params.scale / 2**halvings, zero_point)
