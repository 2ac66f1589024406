"""RBPN: each neighbour's difference is projected back onto the SR features, one after another."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from edgevsr.nets.references.base import SlidingWindow
from edgevsr.nets.references.flow_classic import variational_flow

Direction = Literal["same", "up", "down"]


class Layer(nn.Module):
    """A convolution or a ×4 deconvolution, then a PReLU of one slope unless `rectify` is off."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        way: Direction = "same",
        size: int = 3,
        rectify: bool = True,
    ) -> None:
        super().__init__()
        if way == "up":
            self.deconv = nn.ConvTranspose2d(inputs, outputs, 8, 4, 2)
        elif way == "down":
            self.conv = nn.Conv2d(inputs, outputs, 8, 4, 2)
        else:
            self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        if rectify:
            self.act = nn.PReLU()
        self.way, self.rectify = way, rectify

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, 4 times larger or smaller where the direction says so."""
        y: Tensor = (self.deconv if self.way == "up" else self.conv)(x)
        return self.act(y) if self.rectify else y


class _Residual(nn.Module):
    """Two convolutions and their input; one slope serves both rectifiers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.conv2(self.act(self.conv1(x))) + x)
        return y


class _Projection(nn.Module):
    """Up, down, and the difference up again (or the same the other way round).

    Source: DBPN, Haris et al., CVPR 2018, section 3.1.
    """

    def __init__(self, channels: int, way: Literal["up", "down"]) -> None:
        super().__init__()
        back: Direction = "down" if way == "up" else "up"
        self.way = way
        for i, direction in enumerate((way, back, way), start=1):
            self.add_module(f"{way}_conv{i}", Layer(channels, channels, direction))

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = (self.get_submodule(f"{self.way}_conv{i}") for i in (1, 2, 3))
        there: Tensor = first(x)
        y: Tensor = third(second(there) - x)
        return y + there


class Dbpn(nn.Module):
    """Features at LR to features at SR by three up and two down projections."""

    def __init__(self, base: int, channels: int) -> None:
        super().__init__()
        self.feat1 = Layer(base, channels, size=1)
        self.up1, self.down1 = _Projection(channels, "up"), _Projection(channels, "down")
        self.up2, self.down2 = _Projection(channels, "up"), _Projection(channels, "down")
        self.up3 = _Projection(channels, "up")
        self.output = Layer(3 * channels, channels, size=1, rectify=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, 4H, 4W) of (N, base, H, W)."""
        first = self.up1(self.feat1(x))
        second = self.up2(self.down1(first))
        third = self.up3(self.down2(second))
        y: Tensor = self.output(torch.cat((third, second, first), dim=1))
        return y


class Rbpn(SlidingWindow):
    """RBPN/6: 7 frames, 256 and 64 channels, 5 residual blocks.

    The flow that is an input beside each neighbour comes from `variational_flow`; the authors
    computed it beforehand by another classical method.

    Source: Haris et al., CVPR 2019.
    """

    window = 7

    def __init__(self, base: int = 256, channels: int = 64, blocks: int = 5) -> None:
        super().__init__()
        self.feat0, self.feat1 = Layer(3, base), Layer(8, base)
        self.DBPN = Dbpn(base, channels)
        self.res_feat1 = _residuals(base, blocks, Layer(base, channels, "up"))
        self.res_feat2 = _residuals(channels, blocks, Layer(channels, channels))
        self.res_feat3 = _residuals(channels, blocks, Layer(channels, base, "down"))
        self.output = Layer((self.window - 1) * channels, 3, rectify=False)

    def centre(self, window: Tensor) -> Tensor:
        """Return the SR of the middle frame."""
        middle = self.window // 2
        frame = window[:, middle]
        features, found = self.feat0(frame), []
        for i in range(self.window):
            if i == middle:
                continue
            neighbour = window[:, i]
            flow = variational_flow(frame, neighbour)
            single = self.DBPN(features)
            multi = self.res_feat1(self.feat1(torch.cat((frame, neighbour, flow), dim=1)))
            projected = single + self.res_feat2(single - multi)
            found.append(projected)
            features = self.res_feat3(projected)
        y: Tensor = self.output(torch.cat(found, dim=1))
        return y


def _residuals(channels: int, blocks: int, last: Layer) -> nn.Sequential:
    return nn.Sequential(*(_Residual(channels) for _ in range(blocks)), last)
