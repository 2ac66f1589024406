"""BRCN: convolutions in place, from the frame before and from the state before, both ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import Bidirectional, bicubic, luma, with_luma

_CHANNELS = (1, 64, 32, 1)
_SIZES = (9, 1, 5)


class _Direction(nn.Module):
    """Three layers; a layer sees its input now and one step ago, and (but the last) its state.

    Biases stand once a layer, beside the feed-forward convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.v, self.t, self.r = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for inputs, outputs, size in zip(_CHANNELS, _CHANNELS[1:], _SIZES, strict=False):
            self.v.append(nn.Conv2d(inputs, outputs, size, padding=size // 2))
            self.t.append(nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False))
            if outputs > 1:
                self.r.append(nn.Conv2d(outputs, outputs, 1, bias=False))

    def forward(self, frames: list[Tensor]) -> list[Tensor]:
        for layer, (v, t) in enumerate(zip(self.v, self.t, strict=True)):
            last = layer == len(self.r)
            before: Tensor | None = None
            outputs: list[Tensor] = []
            for x in frames:
                y = v(x)
                if before is not None:
                    y = y + t(before)
                    y = y if last else y + self.r[layer](outputs[-1])
                outputs.append(y if last else F.relu(y))
                before = x
            frames = outputs
        return frames


class Brcn(Bidirectional):
    """BRCN 9-1-5 on luma that bicubic has enlarged; both directions' outputs add up.

    Source: Huang et al., NeurIPS 2015.
    """

    least = 1

    def __init__(self) -> None:
        super().__init__()
        self.state_channels = 2 * _CHANNELS[1] * self.scale**2
        self.ahead, self.back = _Direction(), _Direction()

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR clip."""
        enlarged = bicubic(clip, self.scale)
        frames = list(luma(enlarged).unbind(1))
        both = zip(self.ahead(frames), self.back(frames[::-1])[::-1], strict=True)
        return with_luma(enlarged, torch.stack([a + b for a, b in both], dim=1))
