"""Scene cuts, found as a stream goes by: when to forget what a recurrent network remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A cut changes the thumbnail at once by this many 8-bit steps more than the frame before did.
THRESHOLD = 12.0
_THUMBNAIL = 36


class CutDetector:
    """Says of each frame of a stream whether a new scene starts with it.

    Frames are compared as thumbnails, 36 rows high. A cut is a spike: the mean absolute difference
    to the frame before is large, and so is its growth over the difference before; steady motion
    has the first without the second.

    Source: ffmpeg's scdet filter scores min(d, |d - d before|); here only growth counts.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._before: NDArray[np.float32] | None = None
        self._difference = 0.0

    def is_cut(self, frame: NDArray[Any]) -> bool:
        """Whether `frame` (H, W, C), 0 to 255, starts a scene; the first frame does not."""
        small = _thumbnail(frame)
        before, self._before = self._before, small
        if before is None or before.shape != small.shape:
            self._difference = 0.0
            return False
        difference = float(np.abs(small - before).mean())
        score = min(difference, difference - self._difference)
        # After a cut the next difference counts against what the scene has, not against the cut.
        self._difference = difference if score <= self._threshold else self._difference
        return score > self._threshold


def _thumbnail(frame: NDArray[Any]) -> NDArray[np.float32]:
    """Return means of square blocks (h, w) of the frame's channel mean."""
    side = max(1, min(frame.shape[:2]) // _THUMBNAIL)
    rows, columns = frame.shape[0] // side, frame.shape[1] // side
    cut = frame[: rows * side, : columns * side].astype(np.float32)
    blocks = cut.reshape(rows, side, columns, -1)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3))
    return means
