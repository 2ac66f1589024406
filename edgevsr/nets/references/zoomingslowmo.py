"""Zooming Slow-Mo: frames between frames made in feature space, then a deformable ConvLSTM."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgevsr.nets.references.base import Bidirectional
from edgevsr.nets.references.deformable import PyramidAlignment
from edgevsr.nets.references.parts import Upsampler4, conv3x3, leaky, trunk


class Pyramid(nn.Module):
    """Features at full, half and quarter size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fea_L2_conv1 = conv3x3(channels, channels, stride=2)
        self.fea_L2_conv2 = conv3x3(channels, channels)
        self.fea_L3_conv1 = conv3x3(channels, channels, stride=2)
        self.fea_L3_conv2 = conv3x3(channels, channels)

    def levels(self, full: Tensor) -> list[Tensor]:
        """Return the three levels, the largest first."""
        half = leaky(self.fea_L2_conv2(leaky(self.fea_L2_conv1(full))))
        return [full, half, leaky(self.fea_L3_conv2(leaky(self.fea_L3_conv1(half))))]


class Interpolation(nn.Module):
    """Features of the moment between two, sampled from both and blended.

    Source: Zooming Slow-Mo, section 3.2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_first = PyramidAlignment(channels)
        self.from_second = PyramidAlignment(channels)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return (N, channels, H, W) between two pyramids."""
        both = self.from_first(first, second), self.from_second(second, first)
        y: Tensor = self.fusion(torch.cat(both, dim=1))
        return y


class StateAlignment(Pyramid):
    """A state moved to the frame, and the frame's own features, blended."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.between = Interpolation(channels)

    def forward(self, frame: Tensor, state: Tensor) -> Tensor:
        """Return the aligned state (N, channels, H, W)."""
        y: Tensor = self.between(self.levels(frame), self.levels(state))
        return y


class DeformableConvLstm(nn.Module):
    """A ConvLSTM whose hidden and cell states are aligned to each frame before it enters.

    Source: Zooming Slow-Mo, section 3.3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pcd_h, self.pcd_c = StateAlignment(channels), StateAlignment(channels)
        self.gates = conv3x3(2 * channels, 4 * channels)

    def forward(self, frames: list[Tensor]) -> list[Tensor]:
        """Return the hidden states over the frames' features, in their order."""
        hidden = cell = torch.zeros_like(frames[0])
        outputs = []
        for x in frames:
            hidden, cell = self.pcd_h(x, hidden), self.pcd_c(x, cell)
            enter, keep, show, new = self.gates(torch.cat((x, hidden), dim=1)).chunk(4, dim=1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(new)
            hidden = torch.sigmoid(show) * torch.tanh(cell)
            outputs.append(hidden)
        return outputs


class ZoomingSlowMo(Bidirectional):
    """×4 in space and ×2 in time: T frames become 2T − 1; one LSTM reads both directions.

    Source: Xiang et al., CVPR 2020.
    """

    multiple = 4

    def __init__(self, channels: int = 64, front: int = 5, back: int = 40) -> None:
        super().__init__()
        self.state_channels = 6 * channels
        self.conv_first = conv3x3(3, channels)
        self.feature_extraction = trunk(channels, front)
        self.pyramid = Pyramid(channels)
        self.between = Interpolation(channels)
        self.lstm = DeformableConvLstm(channels)
        self.conv_1x1 = nn.Conv2d(2 * channels, channels, 1)
        self.recon_trunk = trunk(channels, back)
        self.tail = Upsampler4(channels)

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR clip (N, 2T − 1, 3, 4H, 4W)."""
        levels = [
            self.pyramid.levels(self.feature_extraction(leaky(self.conv_first(frame))))
            for frame in clip.unbind(1)
        ]
        moments = [levels[0][0]]
        for first, second in pairwise(levels):
            moments += [self.between(first, second), second[0]]
        ahead = self.lstm(moments)
        back = self.lstm(moments[::-1])[::-1]
        outputs = []
        for pair in zip(ahead, back, strict=True):
            x = self.recon_trunk(self.conv_1x1(torch.cat(pair, dim=1)))
            outputs.append(self.tail.reconstruct(x))
        return torch.stack(outputs, dim=1)
