"""RSDN: structure and detail in two coupled streams, the hidden state adapted to the frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import Recurrent
from edgevsr.nets.references.parts import conv3x3, leaky, start_small, upsample

_BLOCKS = 9


class _CoupledBlock(nn.Module):
    """A residual block a stream; each stream gets the sum of both residuals."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolutions = [conv3x3(channels, channels) for _ in range(4)]
        self.conv_d1, self.conv_d2, self.conv_s1, self.conv_s2 = convolutions
        start_small(convolutions)

    def forward(self, detail: Tensor, structure: Tensor) -> tuple[Tensor, Tensor]:
        shared = self.conv_d2(F.relu(self.conv_d1(detail)))
        shared = shared + self.conv_s2(F.relu(self.conv_s1(structure)))
        return detail + shared, structure + shared


class Cell(nn.Module):
    """One step of both streams; `hidden` is the sum of their hidden states."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        folded = 3 * scale**2
        self.forget = conv3x3(3, 9)
        self.conv_d = conv3x3(folded + channels + 6, channels)
        self.conv_s = conv3x3(folded + channels + 6, channels)
        for i in range(1, _BLOCKS + 1):
            self.add_module(f"SD{i}", _CoupledBlock(channels))
        self.conv_hd, self.conv_od = conv3x3(channels, channels), conv3x3(channels, folded)
        self.conv_hs, self.conv_os = conv3x3(channels, channels), conv3x3(channels, folded)
        ends = [self.conv_d, self.conv_s, self.conv_hd, self.conv_od, self.conv_hs, self.conv_os]
        start_small(ends)

    def forward(
        self, detail: Tensor, structure: Tensor, hidden: Tensor, folded: Tensor, frame: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the hidden state and both folded outputs, detail before structure."""
        hidden = self._adapted(hidden, frame)
        last_detail, last_structure = folded.chunk(2, dim=1)
        d = leaky(self.conv_d(torch.cat((detail, hidden, last_detail), dim=1)))
        s = leaky(self.conv_s(torch.cat((structure, hidden, last_structure), dim=1)))
        for i in range(1, _BLOCKS + 1):
            d, s = self.get_submodule(f"SD{i}")(d, s)
        hidden = leaky(self.conv_hd(d)) + leaky(self.conv_hs(s))
        return hidden, torch.cat((self.conv_od(d), self.conv_os(s)), dim=1)

    def _adapted(self, hidden: Tensor, frame: Tensor) -> Tensor:
        """Return the hidden state gated by its likeness to the frame, under a 3×3 filter a pixel.

        Source: RSDN, section 3.3 (hidden-state adaptation).
        """
        n, channels, height, width = hidden.shape
        filters = leaky(self.forget(frame)).view(n, 1, 9, height, width)
        around = F.unfold(hidden, 3, padding=1).view(n, channels, 9, height, width)
        return hidden * torch.sigmoid((around * filters).sum(2))


class Rsdn(Recurrent):
    """RSDN 9-128. Structure is the frame halved and doubled again, detail is what that loses.

    Source: Isobe et al., ECCV 2020.
    """

    multiple = 2

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        self.channels = channels
        self.state_channels = channels + 6 * self.scale**2
        self.neuro = Cell(channels, self.scale)
        self.conv = conv3x3(6 * self.scale**2, 3 * self.scale**2)
        start_small([self.conv])

    def step(self, frame: Tensor, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the SR frame and (hidden, folded outputs) for the next."""
        n, _, height, width = frame.shape
        if state is None:
            hidden = frame.new_zeros(n, self.channels, height, width)
            folded = frame.new_zeros(n, 6 * self.scale**2, height, width)
        else:
            hidden, folded = state
        structure, before = _structure(frame), _structure(previous)
        details = torch.cat((previous - before, frame - structure), dim=1)
        structures = torch.cat((before, structure), dim=1)
        hidden, folded = self.neuro(details, structures, hidden, folded, frame)
        return F.pixel_shuffle(self.conv(folded), self.scale), (hidden, folded)


def _structure(frame: Tensor) -> Tensor:
    """Return what half the size can hold of the frame."""
    return upsample(F.interpolate(frame, scale_factor=0.5, mode="bilinear"), 2)
