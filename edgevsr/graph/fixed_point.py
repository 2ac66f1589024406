"""The fixed-point arithmetic of LiteRT's int8 kernels, bit for bit.

A real multiplier becomes a 31-bit integer and a power of two; multiplying by it rounds twice: once
to 32 bits (half up) and once when the power of two is taken away (half away from zero). That is
what the runtimes that are shipped do, so it is what training for int8 must see.

Source: gemmlowp fixedpoint.h (SaturatingRoundingDoublingHighMul, RoundingDivideByPOT) and
TensorFlow Lite quantization_util.cc (QuantizeMultiplier).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

INT8_MIN, INT8_MAX = -128, 127

Int64 = NDArray[np.int64]


class Multiplier(NamedTuple):
    """real = mantissa * 2^(exponent - 31), elementwise; mantissas have 31 bits or are zero."""

    mantissa: Int64
    exponent: Int64


def quantize_multiplier(real: ArrayLike) -> Multiplier:
    """Return the fixed-point form of real multipliers of any sign and shape."""
    fraction, exponent = np.frexp(np.asarray(real, np.float64))
    scaled = fraction * 2.0**31
    mantissa = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
    exponent = exponent.astype(np.int64)
    full = mantissa == 2**31
    mantissa = np.where(full, 2**30, mantissa)
    exponent = np.where(full, exponent + 1, exponent)
    vanishes = exponent < -31
    return Multiplier(np.where(vanishes, 0, mantissa), np.where(vanishes, 0, exponent))


def multiply(values: NDArray[Any], by: Multiplier) -> Int64:
    """Return round(values * multiplier), rounded twice as the int8 kernels round.

    `values` are 32-bit integers of any dtype; the multiplier broadcasts against them (one value,
    or one a channel). Left shifts wrap at 32 bits as they do in C.
    """
    wide = values.astype(np.int64)
    left = np.maximum(by.exponent, 0)
    if left.any():
        wide = (wide << left).astype(np.int32).astype(np.int64)
    wide *= by.mantissa
    wide += 1 << 30
    wide >>= 31
    right = np.maximum(-by.exponent, 0)
    if right.any():
        negative = wide >> 63
        wide += (1 << right) >> 1
        wide += np.where(right > 0, negative, 0) if (right == 0).any() else negative
        wide >>= right
    return wide


def saturate(values: NDArray[Any], low: int = INT8_MIN, high: int = INT8_MAX) -> NDArray[np.int8]:
    """Return `values` clipped to [low, high] as int8."""
    codes: NDArray[np.int8] = np.clip(values, low, high).astype(np.int8)
    return codes


def requantize(
    accumulators: NDArray[Any],
    by: Multiplier,
    zero_point: int,
    low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> NDArray[np.int8]:
    """Return int8 codes of int32 accumulators (..., channels) at the output's scale."""
    scaled = multiply(accumulators, by)
    scaled += zero_point
    return saturate(scaled, low, high)
