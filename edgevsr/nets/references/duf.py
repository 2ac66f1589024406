"""DUF: a 3-D dense network writes an upsampling filter for every HR pixel, and a residual."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import SlidingWindow

_TAPS = 5
#: Dense blocks and the channels that each adds, by the number of layers.
_SHAPES = {16: (3, 32), 28: (9, 16), 52: (21, 16)}
#: As the published weights were trained; torch's own default would shift every layer.
_EPS = 1e-3


def _norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=_EPS, momentum=1e-3)


def _dense_layer(channels: int, growth: int, time_padding: int) -> nn.Sequential:
    """Return 1×1×1 then 3×3×3, each after normalisation and ReLU."""
    return nn.Sequential(
        _norm(channels),
        nn.ReLU(),
        nn.Conv3d(channels, channels, 1),
        _norm(channels),
        nn.ReLU(),
        nn.Conv3d(channels, growth, 3, padding=(time_padding, 1, 1)),
    )


class DenseBlocks(nn.Module):
    """Dense layers that keep all frames: each adds `growth` channels."""

    def __init__(self, channels: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.dense_blocks = nn.ModuleList(
            _dense_layer(channels + i * growth, growth, 1) for i in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels + blocks · growth, T, H, W)."""
        for layer in self.dense_blocks:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class TemporalReduction(nn.Module):
    """Three dense layers, each of which takes a frame off either end: seven become one."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for i in range(3):
            layer = _dense_layer(channels + i * growth, growth, 0)
            self.add_module(f"temporal_reduce{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels + 3 · growth, T − 6, H, W)."""
        for i in (1, 2, 3):
            y = self.get_submodule(f"temporal_reduce{i}")(x)
            x = torch.cat((x[:, :, 1:-1], y), dim=1)
        return x


class Duf(SlidingWindow):
    """DUF of 16, 28 or 52 layers, 7 frames.

    Source: Jo et al., CVPR 2018; the structure of the authors' released networks.
    """

    window = 7

    def __init__(self, layers: int = 52) -> None:
        super().__init__()
        blocks, growth = _SHAPES[layers]
        phases = self.scale**2
        width = 64 + growth * blocks
        self.conv3d1 = nn.Conv3d(3, 64, (1, 3, 3), padding=(0, 1, 1))
        self.dense_block1 = DenseBlocks(64, growth, blocks)
        self.dense_block2 = TemporalReduction(width, growth)
        width += 3 * growth
        self.bn3d2 = _norm(width)
        self.conv3d2 = nn.Conv3d(width, 256, (1, 3, 3), padding=(0, 1, 1))
        self.conv3d_r1 = nn.Conv3d(256, 256, 1)
        self.conv3d_r2 = nn.Conv3d(256, 3 * phases, 1)
        self.conv3d_f1 = nn.Conv3d(256, 512, 1)
        self.conv3d_f2 = nn.Conv3d(512, _TAPS**2 * phases, 1)

    def centre(self, window: Tensor) -> Tensor:
        """Return the SR of the middle frame."""
        x = self.conv3d1(window.transpose(1, 2))
        x = self.dense_block2(self.dense_block1(x))
        x = F.relu(self.conv3d2(F.relu(self.bn3d2(x))))
        residual = self.conv3d_r2(F.relu(self.conv3d_r1(x))).squeeze(2)
        filters = self.conv3d_f2(F.relu(self.conv3d_f1(x))).squeeze(2)
        filtered = _filtered(window[:, window.shape[1] // 2], filters, self.scale)
        return F.pixel_shuffle(filtered + residual, self.scale)


def _filtered(frame: Tensor, logits: Tensor, scale: int) -> Tensor:
    """Return (N, 3 · scale², H, W): the frame under the filter of each HR pixel.

    The same 5×5 filter, a softmax over its taps, serves all colours.
    """
    n, _, height, width = frame.shape
    filters = torch.softmax(logits.view(n, _TAPS**2, scale**2, height, width), dim=1)
    around = F.unfold(frame, _TAPS, padding=_TAPS // 2).view(n, 3, _TAPS**2, height, width)
    return torch.einsum("nckhw,nkphw->ncphw", around, filters).flatten(1, 2)
