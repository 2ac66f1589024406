"""EDVR: deformable alignment over a pyramid (PCD), attention over time and space (TSA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import SlidingWindow
from edgevsr.nets.references.deformable import ModulatedDeformConv, PyramidAlignment
from edgevsr.nets.references.parts import Upsampler4, conv3x3, leaky, trunk, upsample


class PcdAlignment(PyramidAlignment):
    """The pyramid, then one more deformable convolution against the reference (cascading)."""

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__(channels, groups)
        self.cas_offset_conv1 = conv3x3(2 * channels, channels)
        self.cas_offset_conv2 = conv3x3(channels, channels)
        self.cas_dcnpack = ModulatedDeformConv(channels, groups)

    def forward(self, features: list[Tensor], reference: list[Tensor]) -> Tensor:
        """Return the aligned features (N, channels, H, W)."""
        aligned = super().forward(features, reference)
        guide = leaky(self.cas_offset_conv1(torch.cat((aligned, reference[0]), dim=1)))
        guide = leaky(self.cas_offset_conv2(guide))
        return leaky(self.cas_dcnpack(aligned, guide))


class SpatialAttention(nn.Module):
    """Attention over two smaller levels: returns the gate before its sigmoid, and what it adds."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.spatial_attn1 = nn.Conv2d(channels_in, channels, 1)
        self.spatial_attn2 = nn.Conv2d(channels * 2, channels, 1)
        self.spatial_attn3 = conv3x3(channels, channels)
        self.spatial_attn4 = nn.Conv2d(channels, channels, 1)
        self.spatial_attn5 = conv3x3(channels, channels)
        self.spatial_attn_l1 = nn.Conv2d(channels, channels, 1)
        self.spatial_attn_l2 = conv3x3(channels * 2, channels)
        self.spatial_attn_l3 = conv3x3(channels, channels)
        self.spatial_attn_add1 = nn.Conv2d(channels, channels, 1)
        self.spatial_attn_add2 = nn.Conv2d(channels, channels, 1)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return gate logits and addend, both (N, channels, H, W); sides are multiples of 4."""
        half = leaky(self.spatial_attn2(_pooled(leaky(self.spatial_attn1(x)))))
        quarter = leaky(self.spatial_attn_l2(_pooled(leaky(self.spatial_attn_l1(half)))))
        quarter = leaky(self.spatial_attn_l3(quarter))
        half = leaky(self.spatial_attn3(half)) + upsample(quarter, 2)
        logits = self.spatial_attn5(upsample(leaky(self.spatial_attn4(half)), 2))
        return logits, self.spatial_attn_add2(leaky(self.spatial_attn_add1(logits)))


def _pooled(x: Tensor) -> Tensor:
    """Return the maxima and means of 3×3 neighbourhoods at half size, joined."""
    return torch.cat((F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)), dim=1)


class TemporalWeights(nn.Module):
    """Weighs each frame's features by their likeness to the middle frame's, pixel by pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reference = conv3x3(channels, channels)
        self.neighbour = conv3x3(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return weighted features (N, T · C, H, W) of (N, T, C, H, W)."""
        n, t, c, height, width = features.shape
        reference = self.reference(features[:, t // 2]).unsqueeze(1)
        embedded = self.neighbour(features.flatten(0, 1)).view(n, t, c, height, width)
        likeness = torch.sigmoid((embedded * reference).sum(2, keepdim=True))
        return (features * likeness).flatten(1, 2)


class TsaFusion(SpatialAttention):
    """Temporal and spatial attention: one feature map of all the window's.

    Source: EDVR, section 3.3.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__(frames * channels, channels)
        self.temporal_attn = TemporalWeights(channels)
        self.feat_fusion = nn.Conv2d(frames * channels, channels, 1)

    def forward(self, aligned: Tensor) -> Tensor:
        """Return (N, channels, H, W) of (N, frames, channels, H, W)."""
        weighted = self.temporal_attn(aligned)
        fused = leaky(self.feat_fusion(weighted))
        logits, added = self.attend(weighted)
        return fused * torch.sigmoid(logits) * 2.0 + added


class EdvrFeatures(nn.Module):
    """EDVR up to its fusion: what IconVSR refills its keyframes with."""

    def __init__(self, channels: int, frames: int, extract_blocks: int = 5) -> None:
        super().__init__()
        self.conv_first = conv3x3(3, channels)
        self.feature_extraction = trunk(channels, extract_blocks)
        self.conv_l2_1 = conv3x3(channels, channels, stride=2)
        self.conv_l2_2 = conv3x3(channels, channels)
        self.conv_l3_1 = conv3x3(channels, channels, stride=2)
        self.conv_l3_2 = conv3x3(channels, channels)
        self.pcd_align = PcdAlignment(channels)
        self.fusion = TsaFusion(channels, frames)

    def fused(self, window: Tensor) -> Tensor:
        """Return (N, channels, H, W) of a window (N, frames, 3, H, W), sides multiples of 4."""
        n, t = window.shape[:2]
        full = self.feature_extraction(leaky(self.conv_first(window.flatten(0, 1))))
        half = leaky(self.conv_l2_2(leaky(self.conv_l2_1(full))))
        quarter = leaky(self.conv_l3_2(leaky(self.conv_l3_1(half))))
        levels = [level.view(n, t, *level.shape[1:]) for level in (full, half, quarter)]
        middle = [level[:, t // 2] for level in levels]
        aligned = [self.pcd_align([level[:, i] for level in levels], middle) for i in range(t)]
        y: Tensor = self.fusion(torch.stack(aligned, dim=1))
        return y


class EdvrExtractor(EdvrFeatures):
    """EDVR-M's features of the middle frame, as a module of its own."""

    def forward(self, window: Tensor) -> Tensor:
        """Return (N, channels, H, W) of (N, frames, 3, H, W)."""
        return self.fused(window)


class Edvr(SlidingWindow):
    """EDVR of 5 frames: EDVR-M has 64 channels and 10 blocks behind the fusion, EDVR 128 and 40.

    Source: Wang et al., CVPRW 2019.
    """

    multiple = 4

    def __init__(self, channels: int = 64, blocks: int = 10) -> None:
        super().__init__()
        self.features = EdvrFeatures(channels, self.window)
        self.reconstruction = trunk(channels, blocks)
        self.tail = Upsampler4(channels)

    def centre(self, window: Tensor) -> Tensor:
        """Return the SR of the middle frame."""
        x = self.reconstruction(self.features.fused(window))
        return self.tail.reconstruct(x) + upsample(window[:, window.shape[1] // 2], 4)
