"""Where pixels were in the frame before, and the SR frame before moved accordingly.

A network that takes `previous_sr` sees the SR frame before as if nothing had moved since. Finding
and undoing the motion is the host's work between two frames, so the file on the device stays
convolutions: no gather, no warp.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import missing_extra

#: Where each LR pixel was in the SR frame before, (H, W, 2) in SR pixels, x first, from its place.
Motion = NDArray[np.int32]

#: OpenCV's flow reads beyond its memory on frames lower than this.
_LOWEST = 16
_STRIDE, _ITERATIONS = 6, 8
#: Rows of so many bytes are moved at once.
_WORDS = (1, 2, 4, 8)
#: Of R, G and B in luma, in thousandths: whole numbers, so that all machines round alike.
_WEIGHTS = np.array([299, 587, 114], np.int32)


@functools.cache
def has_flow() -> bool:
    """Whether OpenCV is installed, which computes optical flow."""
    return importlib.util.find_spec("cv2") is not None


def flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the optical flow (H, W, 2) in pixels from one 8-bit plane to the next, by DIS.

    Raises:
        EdgeVsrError: OpenCV is not installed.

    Source: T. Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016; OpenCV's
    medium preset.
    """
    cv2 = _opencv()
    return _search(cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), before, after)


def _search(dis: Any, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = before.shape
    rows, columns = max(_LOWEST - height, 0), max(_LOWEST - width, 0)
    if rows or columns:
        before, after = (np.pad(x, ((0, rows), (0, columns)), "edge") for x in (before, after))
    found: NDArray[np.float32] = dis.calc(before, after, None)
    return found[:height, :width]


def limit_threads(threads: int) -> None:
    """Bound the CPU threads that finding motion takes, where OpenCV is installed."""
    if has_flow():
        _opencv().setNumThreads(threads)


def _opencv() -> Any:
    if not has_flow():
        raise missing_extra("opencv-python-headless", "video", "optical flow")
    return importlib.import_module("cv2")  # its own types lack the flow


def luma_u8(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the 8-bit plane (H, W) that motion is looked for in.

    `frame` (H, W, C) is of 8 bits, of int8 codes (pixel − 128), or of float values in [0, 1].
    """
    if frame.dtype == np.int8:
        frame = (frame.astype(np.int16) + 128).astype(np.uint8)
    elif frame.dtype != np.uint8:
        frame = np.rint(np.clip(frame, 0, 1) * 255.0).astype(np.uint8)
    if frame.shape[2] == 1:
        return np.ascontiguousarray(frame[..., 0])
    luma: NDArray[np.uint8] = ((frame.astype(np.int32) @ _WEIGHTS + 500) // 1000).astype(np.uint8)
    return luma


def motion_since(frame: NDArray[Any], before: NDArray[Any], scale: int) -> Motion:
    """Return the motion since the frame before, both as `luma_u8` takes them, to whole SR pixels.

    LR frames are small and every fraction of their pixels counts: the search goes on to their own
    resolution, and saves its time elsewhere.

    Raises:
        EdgeVsrError: OpenCV is not installed.
    """
    dis = _opencv().DISOpticalFlow_create()
    dis.setFinestScale(0)
    dis.setPatchStride(_STRIDE)
    dis.setGradientDescentIterations(_ITERATIONS)
    dis.setVariationalRefinementIterations(0)
    found = _search(dis, luma_u8(frame), luma_u8(before)) * np.float32(scale)
    motion: Motion = np.rint(found).astype(np.int32)
    return motion


def compensated(sr: NDArray[Any], motion: Motion, scale: int) -> NDArray[Any]:
    """Return the SR frame before (1, H·scale, W·scale, C) where this frame has it.

    In space-to-depth order, (1, H, W, scale²·C), channel (dy·scale + dx)·C + c: each LR pixel's
    block of SR pixels is taken whole from where it was, beyond the edge from the edge.
    """
    height, width = motion.shape[:2]
    padded = np.pad(sr[0], ((scale, scale), (scale, scale), (0, 0)), "edge")
    rows = np.arange(1, height + 1, dtype=np.int32)[:, None] * scale + motion[..., 1]
    columns = np.arange(1, width + 1, dtype=np.int32) * scale + motion[..., 0]
    rows.clip(0, (height + 1) * scale, out=rows)
    columns.clip(0, (width + 1) * scale, out=columns)
    if sr.shape[3] * scale * sr.itemsize in _WORDS:
        blocks = _by_words(padded, rows, columns, scale)
    else:
        windows = np.lib.stride_tricks.sliding_window_view(padded, (scale, scale), (0, 1))
        blocks = windows[rows, columns].transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(blocks).reshape(1, height, width, -1)


def _by_words(
    padded: NDArray[Any], rows: NDArray[np.int32], columns: NDArray[np.int32], scale: int
) -> NDArray[Any]:
    """Return the blocks (H, W, scale, …), each of their rows moved as one word of memory."""
    _, wide, channels = padded.shape
    step = channels * padded.itemsize
    word = np.dtype(f"u{scale * step}")
    places = padded.size // channels - scale + 1
    # The words that begin at every pixel, side by side: from here numpy takes them by far faster.
    words = np.ascontiguousarray(np.ndarray((places,), word, padded.data, strides=(step,)))
    rows *= wide
    rows += columns
    start = rows.astype(np.intp)
    blocks = np.stack([words[row * wide :].take(start) for row in range(scale)], -1)
    return blocks.view(padded.dtype)


def unmoved(frame: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return what stands for the SR frame before at the first frame (1, H, W, C): that frame,
    every pixel scale² times, (1, H, W, scale²·C)."""
    return np.tile(frame, (1, 1, 1, scale * scale))
