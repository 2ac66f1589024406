"""The SR frame before, moved to where the frame now has it.

A network that takes `previous_sr` sees the SR frame before as if nothing had moved since. Finding
and undoing the motion is the host's work between two frames, so the file on the device stays
convolutions: no gather, no warp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Where each LR pixel was in the SR frame before, (H, W, 2), x first, from its place, in steps of
#: which an SR pixel has `steps_per_pixel`.
Motion = NDArray[np.int32]
#: Where the blocks of each LR pixel begin in what `moved` takes them from, (K, H, W); their mean is
#: the block that is wanted.
Places = NDArray[np.intp]

#: Rows of so many bytes are moved at once.
_WORDS = (1, 2, 4, 8)
#: So many values are computed at once: they stay in a core's cache.
_CHUNK = 1 << 16


def steps_per_pixel(scale: int) -> int:
    """Return how finely motion is undone: to quarters of an SR pixel; at ×4 to whole ones, which
    are quarters of an LR pixel already and take the host less time."""
    return 1 if scale >= 4 else 4


def margin_of(scale: int) -> int:
    """Return by how many pixels an SR frame is grown, repeating its edge, before `places` apply."""
    return scale if steps_per_pixel(scale) == 1 else scale + 1


def compensated(sr: NDArray[Any], motion: Motion, scale: int) -> NDArray[Any]:
    """Return the SR frame before (1, H·scale, W·scale, C) where this frame has it.

    In space-to-depth order, (1, H, W, scale²·C), channel (dy·scale + dx)·C + c: each LR pixel's
    block of SR pixels is taken whole from where it was, beyond the edge from the edge.

    Half-way between two pixels is nine sixteenths of both less one of their neighbours on either
    side, first across, then down columns, each time rounded, a half up, and kept within the codes,
    or within 0 and 1. A quarter of the way is the mean of the points before and behind,
    diagonally where both ways are quarters; of codes it is rounded down.
    """
    return moved(sr, places(motion, scale), scale)


def places(motion: Motion, scale: int) -> Places:
    """Return where the blocks come from; it needs no SR, so it can be found before there is one."""
    height, width = motion.shape[:2]
    steps, margin = steps_per_pixel(scale), margin_of(scale)
    pace = scale * steps
    rows = np.arange(height, dtype=np.int32)[:, None] * pace + motion[..., 1]
    columns = np.arange(width, dtype=np.int32) * pace + motion[..., 0]
    rows.clip(-pace, height * pace, out=rows)
    columns.clip(-pace, width * pace, out=columns)
    tall, wide = (side * scale + 2 * margin for side in (height, width))
    if steps == 1:
        found: Places = ((rows + margin) * wide + (columns + margin))[None].astype(np.intp)
        return found
    found = np.empty((2, height, width), np.intp)
    for index in (0, 1):
        # Halves of a pixel: their plane of `_with_halves`, their row and column there.
        down, right = (rows + index) >> 1, (columns + index) >> 1
        row = ((down & 1) * 2 + (right & 1)) * tall + (down >> 1) + margin
        found[index] = row * wide + (right >> 1) + margin
    return found


def moved(sr: NDArray[Any], starts: Places, scale: int) -> NDArray[Any]:
    """Return the blocks (1, H, W, scale²·C) that begin at `starts`, as `compensated`."""
    margin = margin_of(scale)
    padded = np.pad(sr[0], ((margin, margin), (margin, margin), (0, 0)), "edge")
    _, wide, channels = padded.shape
    count, height, width = starts.shape
    shape = 1, height, width, scale * scale * channels
    if count == 1 and scale * channels * padded.itemsize in _WORDS:
        return _by_words(padded, starts[0], scale).reshape(shape)
    planes = padded if count == 1 else _with_halves(padded)
    pixels = planes.reshape(-1, channels) if channels > 1 else planes.reshape(-1)
    blocks = np.empty((height, width, scale * scale, *pixels.shape[1:]), sr.dtype)
    for index, (row, column) in enumerate(np.ndindex(scale, scale)):
        found = [pixels[row * wide + column :].take(each, 0) for each in starts]
        blocks[:, :, index] = found[0] if count == 1 else _mean(*found)
    return blocks.reshape(shape)


def _by_words(padded: NDArray[Any], starts: NDArray[np.intp], scale: int) -> NDArray[Any]:
    """Return the blocks (H, W, scale, …), each of their rows moved as one word of memory."""
    _, wide, channels = padded.shape
    step = channels * padded.itemsize
    word = np.dtype(f"u{scale * step}")
    count = padded.size // channels - scale + 1
    # The words that begin at every pixel, side by side: from here numpy takes them by far faster.
    words = np.ascontiguousarray(np.ndarray((count,), word, padded.data, strides=(step,)))
    blocks = np.stack([words[row * wide :].take(starts) for row in range(scale)], -1)
    return blocks.view(padded.dtype)


def _with_halves(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a plane (H, W, C), and itself half a pixel to the right, further down, and both.

    Nearer to the sides than four pixels reach it holds no more than some values."""
    _, wide, channels = plane.shape
    planes = np.empty((4, *plane.shape), plane.dtype)
    flat = planes.reshape(4, -1)
    codes = None if plane.dtype.kind == "f" else np.iinfo(plane.dtype)
    # Sums need more room than codes have, and arrays of one type are added far faster.
    whole = plane.reshape(-1) if codes is None else plane.reshape(-1).astype(np.int16)
    across = _half_way(whole, channels, codes)
    flat[0], flat[1] = whole, across
    flat[2] = _half_way(whole, wide * channels, codes)
    flat[3] = _half_way(across, wide * channels, codes)
    return planes


def _half_way(values: NDArray[Any], apart: int, codes: Any) -> NDArray[Any]:
    """Return what lies between every value and the one so far behind it, where the first lies."""
    found = values.copy()
    end = values.size - 2 * apart
    for start in range(apart, end, _CHUNK):
        stop = min(start + _CHUNK, end)
        far, near, behind, beyond = (
            values[start + k * apart : stop + k * apart] for k in (-1, 0, 1, 2)
        )
        sums = near + behind
        if codes is None:
            sums *= np.float32(9 / 16)
            sums -= (far + beyond) * np.float32(1 / 16)
            np.clip(sums, 0.0, 1.0, out=found[start:stop])
        else:
            sums *= 9
            sums -= far
            sums -= beyond
            sums += 8
            sums >>= 4
            np.clip(sums, codes.min, codes.max, out=found[start:stop])
    return found


def _mean(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any]
    if one.dtype.kind == "f":
        mean = (one + other) * one.dtype.type(0.5)
    else:
        # In the width of the codes themselves: what both have, and half of what differs.
        mean = ((one ^ other) >> 1) + (one & other)
    return mean


def unmoved(frame: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return what stands for the SR frame before at the first frame (1, H, W, C): that frame,
    every pixel scale² times, (1, H, W, scale²·C)."""
    return np.tile(frame, (1, 1, 1, scale * scale))
