"""Where pixels were in the frame before: optical flow between small 8-bit planes."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.alignment import Motion, steps_per_pixel
from edgevsr.errors import missing_extra

#: OpenCV's flow reads beyond its memory on frames lower than this.
_LOWEST = 16
#: Pixels between patches, and steps of each.
_STRIDE, _ITERATIONS = 6, 8
_FINE_STRIDE, _FINE_ITERATIONS = 5, 6
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
    """Return the motion since the frame before, both as `luma_u8` takes them, to whole steps.

    LR frames are small and every fraction of their pixels counts: the search goes on to their own
    resolution, and saves its time elsewhere. Where steps are fractions of SR pixels, the planes are
    smoothed by 1 2 1 first: what is finer in LR frames is aliased and moves otherwise.

    Raises:
        EdgeVsrError: OpenCV is not installed.
    """
    cv2, steps = _opencv(), steps_per_pixel(scale)
    now, then = luma_u8(frame), luma_u8(before)
    stride, iterations = _STRIDE, _ITERATIONS
    if steps > 1:
        now, then = (cv2.GaussianBlur(plane, (3, 3), 0) for plane in (now, then))
        stride, iterations = _FINE_STRIDE, _FINE_ITERATIONS
    dis = cv2.DISOpticalFlow_create()
    dis.setFinestScale(0)
    dis.setPatchStride(stride)
    dis.setGradientDescentIterations(iterations)
    dis.setVariationalRefinementIterations(0)
    found = _search(dis, now, then) * np.float32(scale * steps)
    motion: Motion = np.rint(found).astype(np.int32)
    return motion
