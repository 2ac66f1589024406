"""Motion found before an aligned network asks for it, beside what that computes meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgevsr.alignment import Places, places
from edgevsr.graph.ir import Array
from edgevsr.motion import motion_since

T = TypeVar("T")

#: Frames that may wait between where motion is found and the network.
_WAITING = 16


class MotionAhead:
    """The motion between frames in a row, as the places that blocks come from: found where frames
    come from, taken where they go.

    One thread may iterate `watch` while another calls `between`.
    """

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._found: deque[tuple[Array, Array, Places]] = deque(maxlen=_WAITING)

    def watch(
        self, items: Iterable[T], pixels: Callable[[T], NDArray[np.uint8] | None]
    ) -> Iterator[T]:
        """Yield the items; `pixels` gives the frame (H, W, C) of one, or None."""
        before: Array | None = None
        for item in items:
            frame = pixels(item)
            if frame is not None:
                if before is not None and before.shape == frame.shape:
                    self._found.append((frame, before, self._find(frame, before)))
                before = frame
            yield item

    def between(self, frame: Array, before: Array) -> Places:
        """Return where blocks of `frame` were in `before`: as found, if of these very arrays, or
        now."""
        while self._found:
            its_frame, its_before, starts = self._found[0]
            if its_frame is frame:
                if its_before is before:
                    return starts
                break
            self._found.popleft()
        return self._find(frame, before)

    def _find(self, frame: Array, before: Array) -> Places:
        return places(motion_since(frame, before, self._scale), self._scale)
