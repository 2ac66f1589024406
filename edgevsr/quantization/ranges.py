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
    values: Values,
    ranges: Ranges,
    activate: Activate | None = None,
    weights: NDArray[np.float32] | None = None,
) -> QuantParams:
    """Return the quantization of a tensor from samples of it, (samples, channels).

    With "mse" the range keeps the values nearest to themselves, or, given `activate`, keeps the
    activated values nearest; `weights` say how much an error in each channel counts.
    """
    if ranges == "percentile":
        low, high = np.percentile(values, [_PERCENT, 100.0 - _PERCENT])
        return params_for(float(low), float(high))
    low, high = float(values.min()), float(values.max())
    if ranges == "minmax":
        return params_for(low, high)
    target = values if activate is None else activate(values)
    if weights is None or not np.any(weights):
        weights = np.ones(values.shape[1], np.float32)
    return min(
        _candidates(low, high),
        key=lambda params: _error(values, target, params, activate, weights),
    )


def _candidates(low: float, high: float) -> list[QuantParams]:
    lows = _LOW_STEPS if low < 0 else (0.0,)
    highs = _HIGH_STEPS if high > 0 else np.zeros(1)
    found = {params_for(low * a, high * b) for a in lows for b in highs}
    return sorted(found, key=lambda params: (params.scale, params.zero_point))


def _error(
    values: Values,
    target: NDArray[Any],
    params: QuantParams,
    activate: Activate | None,
    weights: NDArray[np.float32],
) -> float:
    got = round_trip(values, params)
    if activate is not None:
        got = round_trip(activate(got), after_activation(params, activate))
    return float(np.square(got - target).sum(axis=0, dtype=np.float64) @ weights)


def after_activation(params: QuantParams, activate: Activate) -> QuantParams:
    """Return the quantization behind a leaky rectifier: the same scale, so that positive codes
    pass unchanged, with the zero point moved to where the shrunken negative side ends."""
    lowest = np.full((1, 1), (-128 - params.zero_point) * params.scale, np.float32)
    reach = float(np.min(activate(lowest)))
    zero_point = int(np.clip(round(-128 - min(reach, 0.0) / params.scale), -128, 127))
    return QuantParams(params.scale, zero_point)
