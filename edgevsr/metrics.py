"""Picture quality: PSNR and SSIM of planes in the 8-bit range, in float64, and tOF of clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import DataError

Float = NDArray[np.float64]

_PEAK = 255.0
_SIGMA = 1.5
_RADIUS = 5
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2


def psnr_db(a: NDArray[Any], b: NDArray[Any], border: int = 0) -> float:
    """Return the PSNR in dB of two images (H, W) or (H, W, C) in 0 to 255, infinite when equal.

    `border` pixels are left out on every side.

    Raises:
        DataError: the shapes differ, or nothing is left inside the border.
    """
    a, b = _inside(a, b, border, least=1)
    error = float(np.mean(np.square(a - b)))
    return float("inf") if error == 0 else float(10 * np.log10(_PEAK**2 / error))


def ssim(a: NDArray[Any], b: NDArray[Any], border: int = 0) -> float:
    """Return the mean SSIM of two planes (H, W) in 0 to 255.

    An 11×11 Gaussian window with sigma 1.5 runs over the positions where it fits whole, inside
    the `border` that is left out.

    Raises:
        DataError: the shapes differ, or less than a window is left inside the border.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004, equation 13, K1 = 0.01, K2 = 0.03.
    """
    return float(np.mean(ssim_map(a, b, border)))


def ssim_map(a: NDArray[Any], b: NDArray[Any], border: int = 0) -> Float:
    """Return the SSIM of every window that `ssim` takes the mean of, by its position.

    A border left out of the planes leaves as many rows and columns out of the map.

    Raises:
        DataError: the shapes differ, or less than a window is left inside the border.
    """
    a, b = _inside(a, b, border, least=2 * _RADIUS + 1)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (var_a + var_b + _C2)
    found: Float = luminance * structure
    return found


def flow_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the mean distance in pixels of two flows (H, W, 2): tOF when b is that of HR.

    Raises:
        DataError: the shapes differ.

    Source: M. Chu et al., "Learning temporal coherence via self-supervision for GAN-based video
    generation", 2020, tOF.
    """
    if a.shape != b.shape:
        raise DataError(f"flows to compare have shapes {a.shape} and {b.shape}; expected equal")
    return float(np.linalg.norm(a.astype(np.float64) - b, axis=2).mean())


def _inside(a: NDArray[Any], b: NDArray[Any], border: int, least: int) -> tuple[Float, Float]:
    """Return both images as float64 without the border."""
    if a.shape != b.shape:
        raise DataError(f"images to compare have shapes {a.shape} and {b.shape}; expected equal")
    if border < 0:
        raise DataError(f"border {border}: expected 0 or more pixels")
    height, width = (length - 2 * border for length in a.shape[:2])
    if min(height, width) < least:
        raise DataError(
            f"image of {a.shape[1]}x{a.shape[0]} is too small: {least}x{least} pixels must be left "
            f"inside a border of {border}"
        )
    rows, columns = slice(border, border + height), slice(border, border + width)
    return a[rows, columns].astype(np.float64), b[rows, columns].astype(np.float64)


def _blur(plane: Float) -> Float:
    """Return the Gaussian means of every window that fits whole."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    taps = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    taps /= taps.sum()
    return _slide(_slide(plane, taps).T, taps).T


def _slide(plane: Float, taps: Float) -> Float:
    """Return the weighted sums of neighbouring rows."""
    rows = plane.shape[0] - len(taps) + 1
    out: Float = taps[0] * plane[:rows]
    for i in range(1, len(taps)):
        out += taps[i] * plane[i : i + rows]
    return out
