"""SRCNN and ESPCN: single images, luma only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import Single, bicubic, luma, with_luma


class Srcnn(Single):
    """SRCNN 9-1-5 (64, 32) on luma that bicubic has enlarged.

    Source: Dong et al., ECCV 2014.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 9, padding=4)
        self.conv2 = nn.Conv2d(64, 32, 1)
        self.conv3 = nn.Conv2d(32, 1, 5, padding=2)

    def frame(self, frame: Tensor) -> Tensor:
        """Return the SR frame."""
        enlarged = bicubic(frame, self.scale)
        x = F.relu(self.conv2(F.relu(self.conv1(luma(enlarged)))))
        return with_luma(enlarged, self.conv3(x))


class Espcn(Single):
    """ESPCN 5-3-3 (64, 32) on luma at LR size, then a pixel shuffle.

    Source: Shi et al., CVPR 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, self.scale**2, 3, padding=1)

    def frame(self, frame: Tensor) -> Tensor:
        """Return the SR frame."""
        x = torch.tanh(self.conv2(torch.tanh(self.conv1(luma(frame)))))
        sr_luma = F.pixel_shuffle(self.conv3(x), self.scale)
        return with_luma(bicubic(frame, self.scale), sr_luma)
