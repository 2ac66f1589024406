"""The four shapes a reference system has, by what it needs to see before a frame is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.errors import DataError
from edgevsr.nets.references.parts import pad_to_multiple


class Reference(nn.Module, ABC):
    """A network from an RGB clip (N, T, 3, H, W) in [0, 1] to SR (N, T, 3, 4H, 4W), not clipped.

    `multiple` is what the frame's sides are padded to (and the SR cropped back from), `least` the
    fewest frames it takes, `state_channels` the LR-sized channels it keeps a frame of the clip,
    `period` the frames after which its work repeats.
    """

    scale = 4
    multiple = 1
    least = 1
    state_channels = 0
    period = 1

    def forward(self, clip: Tensor) -> Tensor:
        """Return the SR clip.

        Raises:
            DataError: the clip has fewer frames than the network needs.
        """
        if clip.shape[1] < self.least:
            raise DataError(
                f"{type(self).__name__}: the clip has {clip.shape[1]} frames; expected at least "
                f"{self.least}"
            )
        height, width = clip.shape[-2:]
        sr = self.super_resolve(pad_to_multiple(clip, self.multiple))
        return sr[..., : height * self.scale, : width * self.scale]

    @abstractmethod
    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR of a clip whose sides are multiples of `multiple`."""


class Bidirectional(Reference):
    """Sees the whole clip before it finishes a frame: long clips are cut with an overlap."""

    least = 2


class SlidingWindow(Reference):
    """Makes each frame of a window around it; beyond the ends of a clip the window is mirrored."""

    window = 5

    def __init__(self) -> None:
        super().__init__()
        self.least = self.window

    @abstractmethod
    def centre(self, window: Tensor) -> Tensor:
        """Return the SR (N, 3, 4H, 4W) of the middle frame of (N, window, 3, H, W)."""

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR of every frame, a window at a time."""
        frames = clip.shape[1]
        windows = (clip[:, window_indices(i, frames, self.window)] for i in range(frames))
        return torch.stack([self.centre(window) for window in windows], dim=1)


class Recurrent(Reference):
    """Carries a state from frame to frame and never looks ahead: clips of any length stream."""

    @abstractmethod
    def step(self, frame: Tensor, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the SR of `frame` (N, 3, H, W) and the state for the next; None starts a clip."""

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR of every frame, in order; the second stands before the first."""
        outputs, state, previous = [], None, clip[:, min(1, clip.shape[1] - 1)]
        for frame in clip.unbind(1):
            sr, state = self.step(frame, previous, state)
            outputs.append(sr)
            previous = frame
        return torch.stack(outputs, dim=1)


class Single(Reference):
    """Makes each frame of itself alone."""

    @abstractmethod
    def frame(self, frame: Tensor) -> Tensor:
        """Return the SR (N, 3, 4H, 4W) of one frame (N, 3, H, W)."""

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR of every frame."""
        sr = self.frame(clip.flatten(0, 1))
        return sr.view(*clip.shape[:2], *sr.shape[1:])


def window_indices(centre: int, frames: int, window: int) -> list[int]:
    """Return the frames of a window around `centre`, mirrored at the ends: -1 is frame 1."""
    last = frames - 1
    around = range(centre - window // 2, centre + window // 2 + 1)
    return [last - abs(last - abs(i)) for i in around]


def luma(rgb: Tensor) -> Tensor:
    """Return BT.601 luma (..., 1, H, W), studio swing over 255, of RGB (..., 3, H, W) in [0, 1]."""
    weights = rgb.new_tensor([65.481, 128.553, 24.966]).view(3, 1, 1) / 255.0
    return (rgb * weights).sum(-3, keepdim=True) + 16.0 / 255.0


def bicubic(frames: Tensor, scale: int) -> Tensor:
    """Return frames (..., C, H, W) enlarged by bicubic interpolation, any leading dimensions."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    big = F.interpolate(flat, scale_factor=scale, mode="bicubic", align_corners=False)
    return big.view(*frames.shape[:-2], *big.shape[-2:])


def with_luma(enlarged: Tensor, sr_luma: Tensor) -> Tensor:
    """Return an enlarged RGB clip with its luma replaced; chroma stays as interpolated."""
    # At fixed chroma a step of luma moves R, G and B alike, by 255/219 of it.
    return enlarged + (sr_luma - luma(enlarged)) * (255.0 / 219.0)
