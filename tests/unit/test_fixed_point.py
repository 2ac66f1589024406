"""Fixed-point multipliers: near their real value, and rounded as counted by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.graph.fixed_point import multiply, quantize_multiplier


@given(st.floats(1e-12, 1e6), st.booleans())
def test_quantized_multiplier_is_near(real: float, negative: bool) -> None:
    """Mantissas have 31 bits, so the value is off by one part in 2^31 at most."""
    real = -real if negative else real
    by = quantize_multiplier(real)
    value = float(by.mantissa) * 2.0 ** (float(by.exponent) - 31)
    assert abs(value - real) <= abs(real) * 2.0**-31 or (by.mantissa == 0 and abs(real) < 2**-31)


def test_rounding_counted_by_hand() -> None:
    """First to 32 bits half up, then the power of two half away from zero."""
    half = quantize_multiplier(0.5)  # mantissa 2^30, exponent 0: half up
    assert multiply(np.array([1, -1, 3, -3]), half).tolist() == [1, 0, 2, -1]
    quarter = quantize_multiplier(0.25)  # half up by the mantissa, then away from zero
    assert multiply(np.array([1, -1, 2, -2, 6, -6]), quarter).tolist() == [1, 0, 1, -1, 2, -2]
    double = quantize_multiplier(2.0)
    assert multiply(np.array([5, -5]), double).tolist() == [10, -10]
    assert multiply(np.array([5, -5]), quantize_multiplier(0.0)).tolist() == [0, 0]
