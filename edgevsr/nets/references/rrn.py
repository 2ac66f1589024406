"""RRN: a hidden state and the last SR frame, carried without alignment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import Recurrent
from edgevsr.nets.references.parts import conv3x3, start_small, trunk, upsample


class Cell(nn.Module):
    """Both frames, hidden state and folded SR to the next hidden state and folded residual."""

    def __init__(self, channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        folded = 3 * scale**2
        self.conv_1 = conv3x3(folded + channels + 6, channels)
        self.recon_trunk = trunk(channels, blocks)
        self.conv_h = conv3x3(channels, channels)
        self.conv_o = conv3x3(channels, folded)
        start_small([self.conv_1, self.conv_h, self.conv_o])

    def forward(self, pair: Tensor, hidden: Tensor, folded: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden state and residual, both at LR size."""
        x = self.recon_trunk(F.relu(self.conv_1(torch.cat((pair, hidden, folded), dim=1))))
        return F.relu(self.conv_h(x)), self.conv_o(x)


class Rrn(Recurrent):
    """RRN-10L: ten residual blocks of 128 channels.

    Source: Isobe et al., BMVC 2020.
    """

    def __init__(self, channels: int = 128, blocks: int = 10) -> None:
        super().__init__()
        self.channels = channels
        self.state_channels = channels + 3 * self.scale**2
        self.neuro = Cell(channels, blocks, self.scale)

    def step(self, frame: Tensor, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the SR frame and (hidden, SR) for the next."""
        if state is None:
            n, _, height, width = frame.shape
            hidden = frame.new_zeros(n, self.channels, height, width)
            folded = frame.new_zeros(n, 3 * self.scale**2, height, width)
        else:
            hidden, folded = state[0], F.pixel_unshuffle(state[1], self.scale)
        hidden, residual = self.neuro(torch.cat((previous, frame), dim=1), hidden, folded)
        sr = F.pixel_shuffle(residual, self.scale) + upsample(frame, self.scale)
        return sr, (hidden, sr)
