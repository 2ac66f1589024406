"""How HR becomes LR: MATLAB-style bicubic (BI) and Gaussian blur with decimation (BD)."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import SpecError

Degradation = Literal["bi", "bd"]
DEGRADATIONS: tuple[Degradation, ...] = ("bi", "bd")

Float = NDArray[np.float64]


def _cubic(x: Float) -> Float:
    """Return Keys' cubic kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def _taps(length_in: int, length_out: int, scale: float) -> tuple[NDArray[np.intp], Float]:
    """Return input positions and weights, both (length_out, taps), with symmetric borders."""
    stretch = min(scale, 1.0)
    width = 4.0 / stretch
    centre = np.arange(1, length_out + 1) / scale + 0.5 * (1.0 - 1.0 / scale)
    left = np.floor(centre - width / 2.0)
    position = left[:, None] + np.arange(math.ceil(width) + 2)
    weight = stretch * _cubic(stretch * (centre[:, None] - position))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(length_in), np.arange(length_in)[::-1]])
    index = mirrored[np.mod(position - 1, 2 * length_in).astype(np.intp)]
    used = np.any(weight != 0.0, axis=0)
    return index[:, used], weight[:, used]


def _resize_rows(image: Float, length_out: int, scale: float) -> Float:
    index, weight = _taps(image.shape[0], length_out, scale)
    shape = (length_out,) + (1,) * (image.ndim - 1)
    out = weight[:, 0].reshape(shape) * image[index[:, 0]]
    for tap in range(1, index.shape[1]):
        out += weight[:, tap].reshape(shape) * image[index[:, tap]]
    return out


def imresize(image: NDArray[Any], scale: float) -> Float:
    """Return `image` (H, W) or (H, W, C) resized by bicubic, antialiased when it shrinks.

    Sizes are ceil(H * scale) and ceil(W * scale); values keep their range and are not rounded.

    Source: MATLAB imresize(..., 'bicubic'); R. Keys, 1981.
    """
    height, width = image.shape[:2]
    rows = _resize_rows(image.astype(np.float64), math.ceil(height * scale - 1e-9), scale)
    columns = _resize_rows(
        np.ascontiguousarray(rows.swapaxes(0, 1)), math.ceil(width * scale - 1e-9), scale
    )
    return np.ascontiguousarray(columns.swapaxes(0, 1))


def blur_decimate(image: NDArray[Any], scale: int, sigma: float | None = None) -> Float:
    """Return every `scale`-th pixel of `image` (H, W[, C]) after a 13-tap Gaussian blur.

    Sigma is 0.4 * scale unless given (1.6 at ×4); borders are reflected.

    Source: the BD protocol of DUF and RRN.
    """
    sigma = 0.4 * scale if sigma is None else sigma
    taps = np.exp(-(np.arange(-6, 7) ** 2) / (2.0 * sigma**2))
    taps /= taps.sum()
    out = image.astype(np.float64)
    for axis in (0, 1):
        pads = [(6, 6) if other == axis else (0, 0) for other in range(out.ndim)]
        padded = np.pad(out, pads, mode="reflect")
        length = out.shape[axis]
        starts = range(0, length, scale)
        out = sum(
            tap * np.take(padded, [start + k for start in starts], axis=axis)
            for k, tap in enumerate(taps)
        )
    return out


def crop_to_multiple(image: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return `image` without the bottom rows and right columns beyond a multiple of `scale`."""
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]


def round_u8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return `image` rounded to the nearest 8-bit value, clipped to 0 to 255."""
    return np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)


def degrade(
    hr: NDArray[np.uint8], scale: int, degradation: Degradation = "bi"
) -> NDArray[np.uint8]:
    """Return the 8-bit LR of an 8-bit HR (H, W, 3) whose sides are multiples of `scale`.

    Raises:
        SpecError: the degradation is not known.
    """
    if degradation == "bi":
        return round_u8(imresize(hr, 1.0 / scale))
    if degradation == "bd":
        return round_u8(blur_decimate(hr, scale))
    raise SpecError(f"degradation {degradation!r}: expected one of {', '.join(DEGRADATIONS)}")
