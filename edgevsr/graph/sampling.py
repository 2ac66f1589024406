"""Convolution and pixel rearrangement on NHWC arrays, shared by the float and int8 references.

A convolution is one matrix product a strip of rows: the strip's windows are laid out side by side
(`im2col`) in a block that stays in the cache. Sums of integers are exact in float32 as long as they
stay below 2^24, and in float64 below 2^53, so int8 networks run on the same fast product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]

_STRIP_BYTES = 1 << 20
#: OpenBLAS gives products beyond this size to its threads, which on strips, and the more so on a
#: busy machine, costs up to fifty times the product itself.
_SINGLE_THREAD_PRODUCT = 1 << 18
_FEWEST_ROWS = 16


class Kernel(NamedTuple):
    """A stride-1 convolution: weights (KH, KW, I, O), or (KH, KW, 1, O) when depthwise.

    Output row y reads input rows y - top to y - top + KH - 1; rows outside the image are zero.
    """

    weight: Array
    top: int
    left: int
    depthwise: bool = False


def same_kernel(weight: Array, groups: int = 1) -> Kernel:
    """Return the SAME-padded kernel of OHWI weights."""
    _, height, width, _ = weight.shape
    return Kernel(weight.transpose(1, 2, 3, 0), (height - 1) // 2, (width - 1) // 2, groups > 1)


def subpixel_kernel(weight: Array, stride: int, pad: int) -> Kernel:
    """Return the stride-1 kernel whose output, after depth_to_space, is a transposed convolution.

    Weights are OHWI; output channels become (dy * stride + dx) * O + o. Output pixel
    stride * m + phase takes tap stride * (m - y) + phase + pad of input pixel y.
    """
    out_channels, height, width, in_channels = weight.shape
    rows = _phase_offsets(height, stride, pad)
    columns = _phase_offsets(width, stride, pad)
    taps = np.zeros(
        (len(rows), len(columns), in_channels, stride, stride, out_channels), weight.dtype
    )
    for i, dy in enumerate(rows):
        for j, dx in enumerate(columns):
            for py in range(stride):
                for px in range(stride):
                    ky, kx = stride * dy + py + pad, stride * dx + px + pad
                    if 0 <= ky < height and 0 <= kx < width:
                        taps[i, j, :, py, px] = weight[:, ky, kx].T
    flat = taps.reshape(len(rows), len(columns), in_channels, stride * stride * out_channels)
    return Kernel(flat, rows[0], columns[0])


def _phase_offsets(taps: int, stride: int, pad: int) -> list[int]:
    """Return the distances m - y that any tap reaches, from the furthest before to after."""
    first = -((stride - 1 + pad) // stride)
    last = (taps - 1 - pad) // stride
    return list(range(max(last, 0), min(first, 0) - 1, -1))


def convolve(image: Array, kernel: Kernel, zero: int = 0) -> Iterator[tuple[slice, Array]]:
    """Yield (rows, sums (rows, W, O)) of the convolution of one image (H, W, I).

    `zero` is taken from every pixel first (a zero point), so the border outside stays zero. Sums
    have the dtype of the kernel's weights.
    """
    taps_y, taps_x, _, out_channels = kernel.weight.shape
    height, width, channels = image.shape
    dtype = kernel.weight.dtype
    matrix = kernel.weight.reshape(-1, out_channels)
    row_bytes = width * taps_y * taps_x * channels * dtype.itemsize
    step = max(1, _STRIP_BYTES // row_bytes)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        strip = _padded_strip(image, rows, kernel, zero)
        if kernel.depthwise:
            yield rows, _depthwise(strip, kernel.weight, width)
            continue
        windows = _windows(strip, rows.stop - rows.start, width, taps_y, taps_x)
        sums = _product(windows.reshape(-1, matrix.shape[0]), matrix)
        yield rows, sums.reshape(rows.stop - rows.start, width, out_channels)


def _product(rows: Array, matrix: Array) -> Array:
    """Return rows @ matrix, as many small products where one would start BLAS's threads."""
    block = _SINGLE_THREAD_PRODUCT // matrix.size
    count = rows.shape[0] // block if block >= _FEWEST_ROWS else 0
    if count == 0:
        product: Array = rows @ matrix
        return product
    whole = count * block
    out = np.empty((rows.shape[0], matrix.shape[1]), rows.dtype)
    blocks = rows[:whole].reshape(count, block, -1)
    np.matmul(blocks, matrix, out=out[:whole].reshape(count, block, -1))
    np.matmul(rows[whole:], matrix, out=out[whole:])
    return out


def _padded_strip(image: Array, rows: slice, kernel: Kernel, zero: int) -> Array:
    """Return the input rows that output `rows` read, with the zero border filled in."""
    taps_y, taps_x = kernel.weight.shape[:2]
    height, width, channels = image.shape
    first, last = rows.start - kernel.top, rows.stop - kernel.top + taps_y - 1
    strip = np.zeros((last - first, width + taps_x - 1, channels), kernel.weight.dtype)
    source = image[max(first, 0) : max(min(last, height), 0)]
    row, column = max(-first, 0), kernel.left
    target = strip[row : row + source.shape[0], column : column + width]
    np.subtract(source, zero, out=target, casting="unsafe", dtype=strip.dtype)
    return strip


def _windows(strip: Array, rows: int, width: int, taps_y: int, taps_x: int) -> Array:
    """Return every window of a contiguous strip as (rows, W, taps_y, taps_x * C), copied."""
    row, column, item = strip.strides
    run = taps_x * strip.shape[2]
    view = as_strided(strip, (rows, width, taps_y, run), (row, column, row, item), writeable=False)
    return np.ascontiguousarray(view)


def _depthwise(strip: Array, weight: Array, width: int) -> Array:
    taps_y, taps_x, _, out_channels = weight.shape
    rows = strip.shape[0] - taps_y + 1
    repeats = out_channels // strip.shape[2]
    sums = np.zeros((rows, width, out_channels), weight.dtype)
    for ky in range(taps_y):
        for kx in range(taps_x):
            window = strip[ky : ky + rows, kx : kx + width]
            sums += np.repeat(window, repeats, axis=2) * weight[ky, kx, 0]
    return sums


def depth_to_space(image: Array, block: int) -> Array:
    """Return (N, H * block, W * block, C / block^2); channel (dy * block + dx) * C + c moves."""
    batch, height, width, channels = image.shape
    depth = channels // (block * block)
    blocks = image.reshape(batch, height, width, block, block, depth)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * block, width * block, depth)


def space_to_depth(image: Array, block: int) -> Array:
    """Return (N, H / block, W / block, C * block^2): the inverse of `depth_to_space`."""
    batch, height, width, channels = image.shape
    rows, columns = height // block, width // block
    blocks = image.reshape(batch, rows, block, columns, block, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, block**2 * channels)


def resize_nearest(image: Array, factor: int) -> Array:
    """Return (N, H * factor, W * factor, C) with every pixel repeated."""
    return image.repeat(factor, axis=1).repeat(factor, axis=2)
