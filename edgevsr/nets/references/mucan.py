"""MuCAN: each pixel takes its best matches from the other frames and from coarser scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.base import SlidingWindow, bicubic
from edgevsr.nets.references.edvr import SpatialAttention, TemporalWeights
from edgevsr.nets.references.parts import conv3x3, leaky, trunk, upsample

_MATCHES = 4
_GROUPS = 8
_PATCH = 3
_REACH = {"L3": 3, "L2": 5, "L1": 7, "cas": 3}
#: Positions whose matched patches are gathered at once: what bounds the memory.
_CHUNK = 4096


class Leaky(nn.Module):
    """A convolution, its size kept, then a leaky rectifier unless `rectify` is off."""

    def __init__(
        self, inputs: int, outputs: int, size: tuple[int, int] = (3, 3), rectify: bool = True
    ) -> None:
        super().__init__()
        padding = (size[0] // 2, size[1] // 2)
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding)
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W)."""
        y: Tensor = self.conv(x)
        return leaky(y) if self.rectify else y


class Matching(nn.Module):
    """At one level: blends the four 3×3 patches of a neighbour that match best, pixel by pixel.

    `weights` reads both frames' features (and the coarser level's guide) for how the blended
    patch's taps are summed.

    Source: MuCAN, Li et al., ECCV 2020, section 3.1.
    """

    def __init__(self, channels: int, reach: int, coarser: bool, fused: bool) -> None:
        super().__init__()
        self.reach = reach
        self.conv1 = Leaky(2 * channels, channels)
        if coarser:
            self.conv2 = Leaky(2 * channels, channels)
        self.conv3 = Leaky(channels, channels)
        self.conv4 = Leaky(channels, channels, (7, 1))
        self.conv5 = Leaky(channels, channels, (1, 7))
        self.mask = Leaky(channels, _GROUPS * _PATCH**2, rectify=False)
        self.nn_conv = Leaky(channels * _MATCHES, channels)
        if fused:
            self.fea_conv = Leaky(2 * channels, channels)

    def guide(self, features: Tensor, reference: Tensor, coarser: Tensor | None) -> Tensor:
        """Return the features that the taps' weights are read from."""
        x = self.conv1(torch.cat((features, reference), dim=1))
        if coarser is not None:
            x = self.conv2(torch.cat((x, upsample(coarser, 2)), dim=1))
        y: Tensor = self.conv5(self.conv4(self.conv3(x)))
        return y

    def forward(self, features: Tensor, reference: Tensor, guide: Tensor) -> Tensor:
        """Return the neighbour's features as the reference shows them (N, C, H, W)."""
        n, c, height, width = features.shape
        weights = self.mask(guide).view(n, _GROUPS, 1, _PATCH**2, height * width)
        best = self._best(features, reference)
        padding = self.reach + _PATCH // 2
        patches = F.unfold(features, _PATCH, padding=padding).transpose(1, 2)
        blended = [self._blend(one, where) for one, where in zip(patches, best, strict=True)]
        taps = torch.stack(blended).permute(0, 2, 3, 1)
        grouped = taps.reshape(n, _GROUPS, c // _GROUPS, _PATCH**2, height * width)
        return leaky((grouped * weights).sum(3).view(n, c, height, width))

    def _best(self, features: Tensor, reference: Tensor) -> Tensor:
        """Return, for each position, its best matches as rows of the padded unfold, (N, HW, 4)."""
        height, width = features.shape[-2:]
        reach, span = self.reach, 2 * self.reach + 1
        likeness = _correlation(F.normalize(reference, dim=1), F.normalize(features, dim=1), reach)
        best = likeness.topk(_MATCHES, dim=1).indices.flatten(2).transpose(1, 2)
        row_length = width + 2 * reach
        rows = torch.arange(height, device=features.device).view(-1, 1)
        columns = torch.arange(width, device=features.device).view(1, -1)
        corner = (rows * row_length + columns).view(1, -1, 1)
        return corner + torch.div(best, span, rounding_mode="floor") * row_length + best % span

    def _blend(self, patches: Tensor, where: Tensor) -> Tensor:
        """Return (HW, C, 9): the convolved blend of each position's patches, a chunk at a time."""
        channels = patches.shape[1] // _PATCH**2
        chunks = []
        for part in torch.split(where, _CHUNK):
            found = patches[part.flatten()].view(-1, _MATCHES * channels, _PATCH, _PATCH)
            chunks.append(self.nn_conv(found).flatten(2))
        return torch.cat(chunks)


def _correlation(reference: Tensor, features: Tensor, reach: int) -> Tensor:
    """Return (N, (2 · reach + 1)², H, W): products of 3×3 patches, displacements in row order."""
    height, width = features.shape[-2:]
    padded = F.pad(features, (reach,) * 4)
    span = range(2 * reach + 1)
    # Only which matches are best leaves this function, and that has no gradient.
    with torch.no_grad():
        products = [
            (reference * padded[..., dy : dy + height, dx : dx + width]).sum(1)
            for dy in span
            for dx in span
        ]
        return F.avg_pool2d(torch.stack(products, dim=1), _PATCH, 1, 1)


class TemporalAggregation(nn.Module):
    """Matches each frame to the middle one over three levels and once more, then weighs them."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {
                name: Matching(channels, reach, name in ("L2", "L1"), name in ("L2", "L1"))
                for name, reach in _REACH.items()
            }
        )
        self.weights = TemporalWeights(channels)
        self.up_conv = nn.Conv2d(channels * frames, channels * 4, 1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Return features (N, C, 2H, 2W) of three levels (N, T, C, …), the largest first."""
        frames = pyramid[0].shape[1]
        middle = [level[:, frames // 2] for level in pyramid]
        aligned = [self._aligned([level[:, i] for level in pyramid], middle) for i in range(frames)]
        weighted = self.weights(torch.stack(aligned, dim=1))
        return F.pixel_shuffle(leaky(self.up_conv(weighted)), 2)

    def _aligned(self, features: list[Tensor], reference: list[Tensor]) -> Tensor:
        guide: Tensor | None = None
        found: Tensor | None = None
        for name, x, ref in zip(("L3", "L2", "L1"), features[::-1], reference[::-1], strict=True):
            level = self.levels[name]
            assert isinstance(level, Matching)
            guide = level.guide(x, ref, guide)
            matched = level(x, ref, guide)
            if found is not None:
                matched = level.fea_conv(torch.cat((matched, upsample(found, 2)), dim=1))
            found = matched
        cascade = self.levels["cas"]
        assert isinstance(cascade, Matching)
        assert found is not None
        y: Tensor = cascade(found, reference[0], cascade.guide(found, reference[0], None))
        return y


class CrossScale(nn.Module):
    """Each position also takes its best match from three coarser scales of the frame itself.

    Source: MuCAN, section 3.2.
    """

    def __init__(self, channels: int, scales: int = 3) -> None:
        super().__init__()
        self.scales = scales
        self.down_conv = Leaky(channels, channels)
        self.down_conv.conv.stride = (2, 2)
        self.cat_conv = Leaky(channels * (scales + 1), channels * 4, (1, 1))
        self.up_conv1 = Leaky(channels, channels)
        self.up_conv2 = Leaky(2 * channels, channels)
        self.spa_l = nn.ModuleList(SpatialAttention(channels, channels) for _ in range(scales + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W); sides are multiples of 8."""
        small = self.down_conv(x)
        n, c, height, width = small.shape
        query = F.normalize(small.flatten(2), dim=1).transpose(1, 2)
        found, coarser = [self._attended(0, small)], small
        for scale in range(1, self.scales + 1):
            coarser = F.avg_pool2d(coarser, 3, 2, 1)
            keys = F.normalize(coarser.flatten(2), dim=1)
            best = _best_keys(query, keys)
            matched = keys.gather(2, best.unsqueeze(1).expand(n, c, -1))
            found.append(self._attended(scale, matched.view(n, c, height, width)))
        up = F.pixel_shuffle(self.cat_conv(torch.cat(found, dim=1)), 2)
        y: Tensor = self.up_conv2(torch.cat((x, self.up_conv1(up)), dim=1))
        return y

    def _attended(self, index: int, x: Tensor) -> Tensor:
        attention = self.spa_l[index]
        assert isinstance(attention, SpatialAttention)
        logits, added = attention.attend(x)
        return x * torch.sigmoid(logits) * 2.0 + added


def _best_keys(query: Tensor, keys: Tensor) -> Tensor:
    """Return (N, positions): which key (N, C, K) is most like each query (N, positions, C)."""
    with torch.no_grad():
        return torch.cat(
            [(part @ keys).argmax(2) for part in torch.split(query, _CHUNK, dim=1)], dim=1
        )


class Mucan(SlidingWindow):
    """MuCAN as trained on REDS: 5 frames, 128 channels, 40 blocks behind the aggregation.

    Source: Li et al., ECCV 2020; the authors' released configuration.
    """

    multiple = 4

    def __init__(self, channels: int = 128, blocks: int = 40) -> None:
        super().__init__()
        self.first_conv = conv3x3(3, channels)
        self.fea_ext = trunk(channels, 5)
        self.L2_conv1, self.L2_conv2 = conv3x3(channels, channels, 2), conv3x3(channels, channels)
        self.L3_conv1, self.L3_conv2 = conv3x3(channels, channels, 2), conv3x3(channels, channels)
        self.tmcam = TemporalAggregation(channels, self.window)
        self.cncam = CrossScale(channels)
        self.recon = trunk(channels, blocks)
        self.up_conv = conv3x3(channels, 64 * 4)
        self.hr_conv = conv3x3(64, 64)
        self.last_conv = conv3x3(64, 3)

    def centre(self, window: Tensor) -> Tensor:
        """Return the SR of the middle frame."""
        n, t = window.shape[:2]
        full = self.fea_ext(leaky(self.first_conv(window.flatten(0, 1))))
        half = leaky(self.L2_conv2(leaky(self.L2_conv1(full))))
        quarter = leaky(self.L3_conv2(leaky(self.L3_conv1(half))))
        pyramid = [level.view(n, t, *level.shape[1:]) for level in (full, half, quarter)]
        x = self.recon(self.cncam(self.tmcam(pyramid)))
        x = leaky(F.pixel_shuffle(self.up_conv(x), 2))
        y: Tensor = self.last_conv(leaky(self.hr_conv(x)))
        return y + bicubic(window[:, t // 2], self.scale)
