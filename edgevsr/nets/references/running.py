"""Reference networks over clips of any length, in bounded memory.

What only looks back is stepped through, and a window is moved along: both exactly. What sees the
whole clip is given pieces that overlap; a piece's overlap is computed and not used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import Tensor

from edgevsr.errors import DataError
from edgevsr.nets.references.base import (
    Bidirectional,
    Recurrent,
    Reference,
    SlidingWindow,
    window_indices,
)
from edgevsr.nets.references.parts import pad_to_multiple

#: What the features kept for one piece may take; layers at work come on top.
_KEPT_BYTES = 2 << 30
_LONGEST = 100
_OVERLAP = 10


@dataclass(frozen=True)
class Pieces:
    """How a clip is cut: frames given to the network at once, and how many overlap at each end."""

    frames: int
    overlap: int

    @property
    def fresh(self) -> int:
        """Frames by which one piece goes beyond the last."""
        return self.frames - 2 * self.overlap


def pieces_for(net: Reference, height: int, width: int) -> Pieces:
    """Return the pieces for LR frames of this size: 100 frames, or as many as 2 GiB keep.

    Ten frames overlap at either end, or a third of short pieces.
    """
    # SR frames wait beside the features that are kept.
    floats = net.state_channels + 3 * net.scale**2
    frames = min(_LONGEST, _KEPT_BYTES // (4 * floats * height * width))
    frames = max(frames, 3 * max(net.least, 2))
    return Pieces(frames, min(_OVERLAP, frames // 3))


@torch.no_grad()
def run_clip(net: Reference, frames: Tensor, pieces: Pieces | None = None) -> Tensor:
    """Return the SR clip (T, 3, sH, sW) of RGB frames (T, 3, H, W) in [0, 1]; it is not clipped.

    A network that also doubles the frame rate returns 2T − 1 frames.

    Raises:
        DataError: there are fewer frames than the network needs.
    """
    return torch.stack(list(stream(net, frames, pieces)))


def stream(
    net: Reference,
    frames: Iterable[Tensor],
    pieces: Pieces | None = None,
    beside: deque[Tensor] | None = None,
) -> Iterator[Tensor]:
    """Yield the SR of frames (3, H, W) as they come, holding no more than a piece of the clip.

    `beside` is what the network also leaves, an item a frame: with each SR, the first in it is of
    that frame, which the caller takes out.

    Raises:
        DataError: there are fewer frames than the network needs.
    """
    net.eval()
    source = iter(frames)
    ahead = list(islice(source, max(net.least, 1)))
    if len(ahead) < max(net.least, 1):
        raise DataError(
            f"the clip has {len(ahead)} frames; {type(net).__name__} needs at least {net.least}"
        )
    source = chain(ahead, source)
    with torch.no_grad():
        if isinstance(net, Recurrent):
            yield from _stepped(net, source)
        elif isinstance(net, SlidingWindow):
            yield from _windowed(net, source)
        elif isinstance(net, Bidirectional):
            height, width = ahead[0].shape[-2:]
            yield from _pieced(net, source, pieces or pieces_for(net, height, width), beside)
        else:
            for frame in source:
                yield net(frame[None, None])[0, 0]


def _stepped(net: Recurrent, source: Iterator[Tensor]) -> Iterator[Tensor]:
    first = list(islice(source, 2))
    previous, state = first[-1], None
    height, width = (side * net.scale for side in previous.shape[-2:])
    previous = _padded(net, previous)
    for frame in chain(first, source):
        current = _padded(net, frame)
        sr, state = net.step(current, previous, state)
        previous = current
        yield sr[0, :, :height, :width]


def _padded(net: Reference, frame: Tensor) -> Tensor:
    return pad_to_multiple(frame[None, None], net.multiple)[0]


def _windowed(net: SlidingWindow, source: Iterator[Tensor]) -> Iterator[Tensor]:
    reach = net.window // 2
    seen: deque[Tensor] = deque(maxlen=net.window)
    for count, frame in enumerate(source, start=1):
        seen.append(frame)
        if count == net.window:
            for centre in range(reach + 1):
                yield _centre(net, list(seen), centre)
        elif count > net.window:
            yield _centre(net, list(seen), reach)
    for centre in range(reach + 1, net.window):
        yield _centre(net, list(seen), centre)


def _centre(net: SlidingWindow, seen: list[Tensor], centre: int) -> Tensor:
    """Return the SR of one frame of a full window of the clip, mirrored at its ends."""
    height, width = (side * net.scale for side in seen[0].shape[-2:])
    window = torch.stack([seen[i] for i in window_indices(centre, len(seen), net.window)])[None]
    return net.centre(pad_to_multiple(window, net.multiple))[0, :, :height, :width]


def _pieced(
    net: Bidirectional,
    source: Iterator[Tensor],
    pieces: Pieces,
    beside: deque[Tensor] | None = None,
) -> Iterator[Tensor]:
    """Yield a clip's SR piece by piece; the frames around a piece only inform it."""
    if pieces.fresh < 1:
        raise DataError(f"pieces of {pieces.frames} frames cannot overlap by {pieces.overlap}")
    held = list(islice(source, pieces.frames))
    skip = 0
    while True:
        # The next piece must not be too short to run, so what comes is looked at first.
        coming = list(islice(source, pieces.fresh))
        if beside is not None:
            beside.clear()
        sr = net(torch.stack(held)[None])[0]
        rate = 1 if len(sr) == len(held) else 2
        stop = len(held) - (pieces.overlap if coming else 0)
        end = stop * rate if coming else len(sr)
        if beside is not None:
            for _ in range(skip * rate):
                beside.popleft()
        yield from sr[skip * rate : end]
        if not coming:
            return
        kept = 2 * pieces.overlap
        held = held[len(held) - kept :] + coming if kept else coming
        skip = pieces.overlap
        if len(held) < net.least:
            raise DataError(f"a piece of {len(held)} frames is too short; let pieces overlap more")
