"""FRVSR: the last SR frame, warped by flow, is an input of the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import Recurrent
from edgevsr.nets.references.parts import conv3x3, upsample
from edgevsr.nets.references.warping import flow_warp

_FASTEST = 24.0
#: Three halvings leave a pixel.
_LEAST = 8


def _pair(channels_in: int, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs in (channels_in, channels):
        layers += [conv3x3(inputs, channels), nn.LeakyReLU(0.2)]
    return layers


class FlowNet(nn.Module):
    """Flow of two frames from an encoder and decoder of three levels, at most 24 pixels.

    Source: FRVSR, Sajjadi et al., CVPR 2018, figure 3.
    """

    def __init__(self) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate(((6, 32), (32, 64), (64, 128)), start=1):
            self.add_module(f"encoder{i}", nn.Sequential(*_pair(inputs, outputs), nn.MaxPool2d(2)))
        for i, (inputs, outputs) in enumerate(((128, 256), (256, 128), (128, 64)), start=1):
            self.add_module(f"decoder{i}", nn.Sequential(*_pair(inputs, outputs)))
        self.flow = nn.Sequential(conv3x3(64, 32), nn.LeakyReLU(0.2), conv3x3(32, 2))

    def forward(self, frame: Tensor, previous: Tensor) -> Tensor:
        """Return the flow (N, 2, H', W') by which warping `previous` gives `frame`.

        H' and W' are the sides rounded down to multiples of 8.
        """
        x = torch.cat((frame, previous), dim=1)
        for i in (1, 2, 3):
            x = self.get_submodule(f"encoder{i}")(x)
        for i in (1, 2, 3):
            x = upsample(self.get_submodule(f"decoder{i}")(x), 2)
        return torch.tanh(self.flow(x)) * _FASTEST


class _Block(nn.Module):
    """A residual block whose layers are numbered as published."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv3x3(channels, channels), nn.ReLU(), conv3x3(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y


class SrNet(nn.Module):
    """LR frame and warped SR, space folded into channels, to SR; two deconvolutions enlarge."""

    def __init__(self, channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.conv_in = nn.Sequential(conv3x3((scale**2 + 1) * 3, channels), nn.ReLU())
        self.resblocks = nn.Sequential(*(_Block(channels) for _ in range(blocks)))
        layers: list[nn.Module] = []
        for _ in range(2):
            deconv = nn.ConvTranspose2d(channels, channels, 3, 2, padding=1, output_padding=1)
            layers += [deconv, nn.ReLU()]
        self.conv_up = nn.Sequential(*layers)
        self.conv_out = conv3x3(channels, 3)

    def forward(self, frame: Tensor, folded: Tensor) -> Tensor:
        """Return what SR adds to the bilinear upscale, (N, 3, 4H, 4W)."""
        x = self.resblocks(self.conv_in(torch.cat((frame, folded), dim=1)))
        y: Tensor = self.conv_out(self.conv_up(x))
        return y


class Frvsr(Recurrent):
    """FRVSR 10-128: FNet warps the last SR, SRNet makes the next of it and the frame.

    Source: Sajjadi et al., CVPR 2018.
    """

    def __init__(self, channels: int = 128, blocks: int = 10) -> None:
        super().__init__()
        self.state_channels = 3 * self.scale**2
        self.fnet = FlowNet()
        self.srnet = SrNet(channels, blocks, self.scale)

    def step(self, frame: Tensor, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the SR frame, which is the state for the next."""
        if state is None:
            n, _, height, width = frame.shape
            folded = frame.new_zeros(n, 3 * self.scale**2, height, width)
        else:
            folded = _fold(flow_warp(state, self._flow(frame, previous), "border"), self.scale)
        sr = self.srnet(frame, folded) + upsample(frame, self.scale)
        return sr, sr

    def _flow(self, frame: Tensor, previous: Tensor) -> Tensor:
        """Return the flow at SR size; rows and columns beyond a multiple of 8 mirror it."""
        height, width = frame.shape[-2:]
        if min(height, width) < _LEAST:
            room = (0, max(0, _LEAST - width), 0, max(0, _LEAST - height))
            frame, previous = (F.pad(x, room, "replicate") for x in (frame, previous))
        flow = self.fnet(frame, previous)[..., :height, :width]
        below, right = height - flow.shape[-2], width - flow.shape[-1]
        mode = "reflect" if below < flow.shape[-2] and right < flow.shape[-1] else "replicate"
        flow = F.pad(flow, (0, right, 0, below), mode)
        return self.scale * upsample(flow, self.scale)


def _fold(x: Tensor, scale: int) -> Tensor:
    """Return (N, scale² · C, H, W), channels in TensorFlow's order: place before colour."""
    n, c = x.shape[:2]
    folded = F.pixel_unshuffle(x, scale)
    place_first = folded.view(n, c, scale**2, *folded.shape[-2:]).transpose(1, 2)
    return place_first.reshape(n, c * scale**2, *folded.shape[-2:])
