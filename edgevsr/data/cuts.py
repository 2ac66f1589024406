"""Scene cuts, found as a stream goes by: when to forget what a recurrent network remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A cut changes the thumbnail at once by this many 8-bit steps more than the frame before did.
#: Within 22 clips, fast motion among them, that was 4.5 at most; at 380 cuts between them 19.8 or
#: more.
THRESHOLD = 10.0
_THUMBNAIL = 36


class CutDetector:
    """Says of each frame of a stream whether a new scene starts with it.

    Frames are compared as thumbnails, some 36 rows high. A cut is a spike: the mean absolute
    difference to the frame before grows at once; in steady motion it is large without growing.
    A cut at the second frame of a scene is not seen, and there is little to forget there.

    Source: ffmpeg's scdet filter scores min(d, |d - d before|); here only growth counts.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._before: NDArray[np.float32] | None = None
        self._difference: float | None = None

    def is_cut(self, frame: NDArray[Any]) -> bool:
        """Whether `frame` (H, W, C), 0 to 255, starts a scene; the first frame does not."""
        small = _thumbnail(frame)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            self._difference = None
            return False
        difference = float(np.abs(small - before).mean())
        # How much a scene moves is not known at its second frame.
        growth = 0.0 if self._difference is None else difference - self._difference
        found = growth > self._threshold
        self._difference = None if found else difference
        return found


def _thumbnail(frame: NDArray[Any]) -> NDArray[np.float32]:
    """Return means of square blocks (h, w) of the frame's channel mean."""
    side = max(1, min(frame.shape[:2]) // _THUMBNAIL)
    rows, columns = frame.shape[0] // side, frame.shape[1] // side
    cut = frame[: rows * side, : columns * side].astype(np.float32)
    blocks = cut.reshape(rows, side, columns, -1)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return means
