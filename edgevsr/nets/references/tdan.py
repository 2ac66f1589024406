"""TDAN: neighbours aligned by deformable convolutions, reconstructed from the aligned frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import SlidingWindow
from edgevsr.nets.references.deformable import DeformConv
from edgevsr.nets.references.parts import conv3x3, trunk

_GROUPS = 8
#: The published weights take and give pixels about zero.
_MIDDLE = 0.5


class Tdan(SlidingWindow):
    """TDAN of 5 frames, 64 channels.

    Source: Tian et al., CVPR 2020.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv_first = conv3x3(3, channels)
        self.residual_layer = trunk(channels, 5)
        self.cr = conv3x3(2 * channels, channels)
        self.dconv_1, self.dconv_2 = (DeformConv(channels, _GROUPS) for _ in range(2))
        self.dconv_3, self.dconv_4 = (DeformConv(channels, _GROUPS) for _ in range(2))
        self.recon_lr = conv3x3(channels, 3)
        self.fea_ex = conv3x3(self.window * 3, channels)
        self.recon_layer = trunk(channels, 10)
        self.up1, self.up2 = conv3x3(channels, 4 * channels), conv3x3(channels, 4 * channels)
        self.last = nn.Conv2d(channels, 3, 3, padding=1, bias=False)

    def centre(self, window: Tensor) -> Tensor:
        """Return the SR of the middle frame."""
        window = window - _MIDDLE
        n, t = window.shape[:2]
        features = self.residual_layer(F.relu(self.conv_first(window.flatten(0, 1))))
        features = features.view(n, t, *features.shape[1:])
        aligned = [
            window[:, i] if i == t // 2 else self._aligned(features[:, i], features[:, t // 2])
            for i in range(t)
        ]
        x = self.recon_layer(F.relu(self.fea_ex(torch.cat(aligned, dim=1))))
        x = F.pixel_shuffle(self.up2(F.pixel_shuffle(self.up1(x), 2)), 2)
        y: Tensor = self.last(x)
        return y + _MIDDLE

    def _aligned(self, features: Tensor, reference: Tensor) -> Tensor:
        """Return the frame (N, 3, H, W) that the neighbour's features show, moved into place."""
        guide = self.cr(torch.cat((reference, features), dim=1))
        guide = self.dconv_2(self.dconv_1(guide))
        y: Tensor = self.recon_lr(self.dconv_4(self.dconv_3(features, guide)))
        return y
