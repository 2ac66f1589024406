"""A reference network where one-frame-at-a-time networks are expected.

Most references make a frame of frames that come after it. So the network is run ahead, on what
feeds the caller, and hands out each frame's SR when the caller gets to that frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevsr.errors import DataError, SpecError
from edgevsr.nets.references.base import Bidirectional
from edgevsr.nets.references.catalogue import find_system
from edgevsr.nets.references.loading import load_reference
from edgevsr.nets.references.running import pieces_for, stream

Item = TypeVar("Item")

Frame = NDArray[np.uint8]


class ClipModel:
    """Runs a reference with a checkpoint's weights; what evaluation and video take for a network.

    `ahead` must wrap what feeds the caller; `upscale_u8` then answers for each item in turn. A
    network that doubles the frame rate gives the frames that the clip has.
    """

    channels = 3
    runtime = "torch"

    def __init__(self, name: str, weights: str | Path, threads: int | None = None) -> None:
        if threads is not None:
            if threads < 1:
                raise SpecError(f"--threads {threads}: expected 1 or more")
            torch.set_num_threads(threads)
        self.system = find_system(name)
        self.net = load_reference(name, weights)
        self.scale = self.net.scale
        self._ready: deque[Frame] = deque()
        self._sizes: dict[tuple[int, int], None] = {}

    def how(self, size: tuple[int, int]) -> str:
        """Return in words how a clip of LR frames (width, height) is cut and padded."""
        ways = {
            "frame": "frame by frame",
            "window": f"a window of {self.net.least} frames, mirrored at the ends",
            "past": "frame after frame, its state carried",
        }
        if isinstance(self.net, Bidirectional):
            pieces = pieces_for(self.net, size[1], size[0])
            way = f"pieces of up to {pieces.frames} frames, {pieces.overlap} overlapping"
        else:
            way = ways[self.system.sees]
        padded = any(side % self.net.multiple for side in size)
        return way + (f"; padded to multiples of {self.net.multiple}" if padded else "")

    @property
    def how_resized(self) -> str | None:
        """How the clips seen so far were cut and padded, or None before the first."""
        return "; ".join(dict.fromkeys(self.how(size) for size in self._sizes)) or None

    def reset(self) -> None:
        """Do nothing: clips are told apart by `ahead`."""

    def ahead(
        self,
        items: Iterable[Item],
        pixels: Callable[[Item], Frame | None],
        starts_clip: Callable[[Item], bool] = lambda item: False,
    ) -> Iterator[Item]:
        """Yield the items, each once its SR is ready; those without pixels pass.

        Raises:
            DataError: a clip has fewer frames than the network needs.
        """
        source = iter(items)
        first = next(source, None)
        while first is not None:
            clip = _Clip(first, source, pixels, starts_clip)
            for index, sr in enumerate(stream(self.net, self._noted(clip.frames()))):
                if index % self.system.frame_rate == 0:
                    self._ready.append(_u8(sr))
                    yield from clip.next_with_pixels()
            yield from clip.waiting
            first = clip.next_first

    def upscale_u8(self, lr: Frame) -> Frame:
        """Return the SR (4H, 4W, 3) of the next frame, 0 to 255.

        Raises:
            DataError: the frame was not fed through `ahead`.
        """
        if not self._ready:
            raise DataError("this network needs the frames ahead; feed them through ahead()")
        sr = self._ready.popleft()
        assert sr.shape[0] == lr.shape[0] * self.scale
        return sr

    def _noted(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            self._sizes[(frame.shape[-1], frame.shape[-2])] = None
            yield frame

    def upscale(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the SR in [0, 1] of a picture (H, W, 3) that is a clip of its own.

        Raises:
            DataError: the network needs more than one frame.
        """
        frame = torch.from_numpy(np.ascontiguousarray(lr.transpose(2, 0, 1)))
        (sr,) = stream(self.net, self._noted(iter([frame])))
        return np.ascontiguousarray(sr.clamp(0.0, 1.0).permute(1, 2, 0).numpy())


class _Clip(Generic[Item]):
    """One clip's items: those given to the network and waiting for their SR."""

    def __init__(
        self,
        first: Item,
        source: Iterator[Item],
        pixels: Callable[[Item], Frame | None],
        starts_clip: Callable[[Item], bool],
    ) -> None:
        self._first, self._source = first, source
        self._pixels, self._starts_clip = pixels, starts_clip
        self.waiting: deque[Item] = deque()
        self.next_first: Item | None = None

    def frames(self) -> Iterator[Tensor]:
        """Yield the clip's frames (3, H, W) in [0, 1]; what follows the clip is kept."""
        item: Item | None = self._first
        while item is not None:
            self.waiting.append(item)
            frame = self._pixels(item)
            if frame is not None:
                chw = np.ascontiguousarray(frame.transpose(2, 0, 1))
                yield torch.from_numpy(chw).float() / 255.0
            item = next(self._source, None)
            if item is not None and self._starts_clip(item):
                self.next_first = item
                return

    def next_with_pixels(self) -> Iterator[Item]:
        """Yield the waiting items up to the first that has pixels."""
        while self.waiting:
            item = self.waiting.popleft()
            yield item
            if self._pixels(item) is not None:
                return


def _u8(sr: Tensor) -> Frame:
    codes = (sr.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
    return np.ascontiguousarray(codes.permute(1, 2, 0).numpy())
