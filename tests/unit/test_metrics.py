"""PSNR and SSIM against hand counts and an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from edgevsr.errors import DataError
from edgevsr.metrics import psnr_db, ssim


def test_psnr_counted_by_hand() -> None:
    """An error of 1 everywhere is 10 log10(255²) dB; one of 255 everywhere is 0 dB."""
    a = np.full((8, 8), 100.0)
    assert psnr_db(a, a + 1, 0) == pytest.approx(20 * math.log10(255))
    assert psnr_db(np.zeros((4, 4)), np.full((4, 4), 255.0), 0) == 0.0
    half = a.copy()
    half[:4] += 2  # a mean square of 2
    assert psnr_db(a, half, 0) == pytest.approx(10 * math.log10(255**2 / 2))
    assert psnr_db(a, a, 2) == math.inf


def test_psnr_leaves_the_border_out() -> None:
    """What differs within the border does not count."""
    a = np.zeros((9, 7))
    b = a.copy()
    b[:2], b[-2:], b[:, :2], b[:, -2:] = 9, 9, 9, 9
    assert psnr_db(a, b, 2) == math.inf
    assert psnr_db(a, b, 1) < 40


def test_integers_do_not_wrap() -> None:
    """uint8 pictures are subtracted as numbers."""
    a, b = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert psnr_db(a, b, 0) == psnr_db(b, a, 0) == 0.0


def ssim_by_convolution(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM straight from the paper's formula, windows by a two-dimensional convolution."""
    window = np.zeros((11, 11))
    window[5, 5] = 1
    window = ndimage.gaussian_filter(window, 1.5, truncate=5 / 1.5, mode="constant")
    window /= window.sum()

    def mean(x: np.ndarray) -> np.ndarray:
        return signal.convolve2d(x, window, mode="valid")

    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2
    cov = mean(a * b) - mu_a * mu_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mu_a * mu_b + c1) * (2 * cov + c2)
    return float((top / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))).mean())


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(11, 24), st.integers(11, 24)),
    noise=st.floats(0.1, 80),
    seed=st.integers(0, 10**6),
)
def test_ssim_equals_the_formula(shape: tuple[int, int], noise: float, seed: int) -> None:
    """The separable filter gives what the two-dimensional one gives."""
    rng = np.random.default_rng(seed)
    a = rng.uniform(16, 235, shape)
    b = np.clip(a + rng.normal(0, noise, shape), 0, 255)
    assert ssim(a, b, 0) == pytest.approx(ssim_by_convolution(a, b), abs=1e-10)


def test_ssim_counted_by_hand() -> None:
    """Equal planes give 1; two flat planes leave the luminance term alone."""
    plane = np.random.default_rng(0).uniform(0, 255, (16, 16))
    assert ssim(plane, plane, 2) == pytest.approx(1.0)
    a, b = np.full((11, 11), 100.0), np.full((11, 11), 150.0)
    c1 = 2.55**2
    assert ssim(a, b, 0) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


@pytest.mark.parametrize("measure", [psnr_db, ssim])
def test_refuses_what_cannot_be_compared(measure: object) -> None:
    """Different shapes, a negative border and pictures smaller than it are errors."""
    assert callable(measure)
    with pytest.raises(DataError, match="expected equal"):
        measure(np.zeros((12, 12)), np.zeros((12, 13)), 0)
    with pytest.raises(DataError, match="too small"):
        measure(np.zeros((12, 12)), np.zeros((12, 12)), 6)
    with pytest.raises(DataError, match="border -1"):
        measure(np.zeros((12, 12)), np.zeros((12, 12)), -1)
    with pytest.raises(DataError, match="11x11"):
        ssim(np.zeros((12, 12)), np.zeros((12, 12)), 1)
