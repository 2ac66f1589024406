"""SPyNet: optical flow refined over a pyramid of six levels."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.warping import flow_warp

_LEVELS = 6
_WIDTHS = (8, 32, 64, 32, 16, 2)


class _Level(nn.Module):
    """Five 7×7 convolutions from both frames and the flow so far to what it lacks."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(_WIDTHS):
            layers += [nn.Conv2d(inputs, outputs, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.basic_module(x)
        return y


class SpyNet(nn.Module):
    """Flow (N, 2, H, W) in pixels, x then y, that leads from a frame to where another shows it.

    Frames are (N, 3, H, W) RGB in [0, 1]; they are enlarged to multiples of 32 and the flow is
    brought back.

    Source: Ranjan and Black, CVPR 2017.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList(_Level() for _ in range(_LEVELS))
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, frame: Tensor, other: Tensor) -> Tensor:
        """Return the flow by which warping `other` gives `frame`."""
        height, width = frame.shape[-2:]
        size = (height + -height % 32, width + -width % 32)
        flow = self._pyramid(self._prepared(frame, size), self._prepared(other, size))
        flow = _resized(flow, (height, width))
        shrink = flow.new_tensor([width / size[1], height / size[0]]).view(1, 2, 1, 1)
        return flow * shrink

    def _prepared(self, frame: Tensor, size: tuple[int, int]) -> list[Tensor]:
        """Return the normalised pyramid, smallest first."""
        levels = [(_resized(frame, size) - self.mean) / self.std]
        for _ in range(_LEVELS - 1):
            levels.insert(0, F.avg_pool2d(levels[0], 2))
        return levels

    def _pyramid(self, frame: list[Tensor], other: list[Tensor]) -> Tensor:
        n, _, height, width = frame[0].shape
        flow = frame[0].new_zeros(n, 2, height, width)
        for level, module in enumerate(self.basic_module):
            if level:
                flow = 2.0 * F.interpolate(
                    flow, scale_factor=2, mode="bilinear", align_corners=True
                )
            warped = flow_warp(other[level], flow, "border")
            flow = flow + module(torch.cat((frame[level], warped, flow), dim=1))
        return flow


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def clip_flows(spynet: SpyNet, clip: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the flows between neighbours of (N, T, 3, H, W): [t→t+1 …], [t+1→t …], T−1 of each.

    The first list warps frame t+1 onto t (backward propagation), the second t onto t+1.
    """
    frames = clip.unbind(1)
    # A pair at a time: SPyNet's features at full size are what would fill the memory.
    pairs = list(pairwise(frames))
    return [spynet(a, b) for a, b in pairs], [spynet(b, a) for a, b in pairs]
