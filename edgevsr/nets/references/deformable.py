"""Deformable convolution, v1 and v2, in plain torch.

Offsets are (N, groups · k² · 2, H, W) as everywhere in the field: a group's taps in row order, y
before x. Masks (v2) are (N, groups · k², H, W). ONNX has the same layout.

Source: Dai et al., ICCV 2017; Zhu et al., CVPR 2019.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.references.parts import conv3x3, leaky


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Tensor:
    """Return the convolution of `x` (N, C, H, W) with taps moved by `offset`; zero lies outside.

    `weight` is (O, C, k, k); the offsets' channels say how many groups of input channels move
    together. In an ONNX export this is one DeformConv (opset 19).
    """
    if torch.onnx.is_in_onnx_export():
        bias = x.new_zeros(weight.shape[0]) if bias is None else bias
        operands = (x, weight, offset, bias) if mask is None else (x, weight, offset, bias, mask)
        exported: Tensor = _Exported.apply(  # type: ignore[no-untyped-call]
            (stride, padding, dilation), *operands
        )
        return exported
    n, channels, *_ = x.shape
    outputs, _, size, _ = weight.shape
    height, width = offset.shape[-2:]
    taps = size * size
    groups = offset.shape[1] // (2 * taps)
    where = _positions(offset.view(n * groups, taps, 2, height, width), stride, padding, dilation)
    # One call samples every tap: the taps are laid out as rows of one tall picture.
    grid = _normalised(where, x.shape[-2:]).reshape(n * groups, taps * height, width, 2)
    sampled = F.grid_sample(
        x.reshape(n * groups, channels // groups, *x.shape[-2:]), grid, align_corners=False
    ).view(n, groups, channels // groups, taps, height, width)
    if mask is not None:
        sampled = sampled * mask.view(n, groups, 1, taps, height, width)
    columns = sampled.reshape(n, channels * taps, height * width)
    y = (weight.view(outputs, -1) @ columns).view(n, outputs, height, width)
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def _positions(offset: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    """Return where (M, k², 2, H, W) each tap samples, in pixels, y before x."""
    taps, height, width = offset.shape[1], *offset.shape[-2:]
    size = int(taps**0.5)
    tap = torch.arange(taps, device=offset.device, dtype=offset.dtype)
    rows = torch.arange(height, device=offset.device, dtype=offset.dtype) * stride - padding
    columns = torch.arange(width, device=offset.device, dtype=offset.dtype) * stride - padding
    tap_row = torch.div(tap, size, rounding_mode="floor") * dilation
    tap_column = torch.remainder(tap, size) * dilation
    down = (tap_row.view(-1, 1, 1) + rows.view(1, -1, 1)).expand(taps, height, width)
    across = (tap_column.view(-1, 1, 1) + columns.view(1, 1, -1)).expand(taps, height, width)
    return offset + torch.stack((down, across), dim=1)


def _normalised(where: Tensor, size: Any) -> Tensor:
    """Return grid_sample's coordinates (M, k², H, W, 2), x before y, −1 and 1 the frame's edges."""
    height, width = size
    down = (2.0 * where[:, :, 0] + 1.0) / height - 1.0
    across = (2.0 * where[:, :, 1] + 1.0) / width - 1.0
    return torch.stack((across, down), dim=-1)


class _Exported(torch.autograd.Function):
    """The shape of the result while tracing, and the ONNX node for it."""

    @staticmethod
    def forward(ctx: Any, geometry: tuple[int, int, int], *operands: Tensor) -> Tensor:
        del ctx, geometry
        x, weight, offset = operands[:3]
        return x.new_zeros(x.shape[0], weight.shape[0], *offset.shape[-2:])

    @staticmethod
    def symbolic(g: Any, geometry: tuple[int, int, int], *operands: Any) -> Any:
        stride, padding, dilation = geometry
        taps = operands[1].type().sizes()[-1] ** 2
        return g.op(
            "DeformConv",
            *operands,
            strides_i=[stride, stride],
            pads_i=[padding] * 4,
            dilations_i=[dilation, dilation],
            offset_group_i=operands[2].type().sizes()[1] // (2 * taps),
        )


class DeformConv(nn.Module):
    """A 3×3 deformable convolution, v1: its own convolution predicts the offsets, from `guide`.

    It starts as a plain convolution: offsets are zero.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.conv_offset = conv3x3(channels, groups * 18)
        start_at_zero(self.conv_offset)

    def forward(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return (N, channels, H, W); the offsets come from `x` itself where no guide is given."""
        offset = self.conv_offset(x if guide is None else guide)
        return deform_conv2d(x, offset, self.weight, padding=1)


class ModulatedDeformConv(nn.Module):
    """A 3×3 deformable convolution, v2: offsets and masks come from `guide`.

    It starts as a plain convolution at half strength: offsets are zero, masks one half.
    """

    def __init__(
        self, channels: int, groups: int, channels_in: int = 0, predictor: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels_in or channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        if predictor is None:
            predictor = conv3x3(channels, groups * 27)
            start_at_zero(predictor)
        self.conv_offset = predictor

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Return (N, channels, H, W)."""
        offset, mask = self.split(self.conv_offset(guide))
        return self.convolve(x, offset, mask)

    @staticmethod
    def split(prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Return offsets and masks in 0 to 1 of what the predictor gives."""
        parts = prediction.chunk(3, dim=1)
        return torch.cat(parts[:2], dim=1), torch.sigmoid(parts[2])

    def convolve(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """Return the convolution with these offsets and masks."""
        return deform_conv2d(x, offset, self.weight, self.bias, mask, padding=1)


class PyramidAlignment(nn.Module):
    """Aligns features to a reference over three levels, each offset refining the one below.

    Features are lists of three levels, each half the size of the one before.

    Source: EDVR, Wang et al., CVPRW 2019, section 3.2.
    """

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__()
        double = 2 * channels
        levels, lower = ("l3", "l2", "l1"), ("l2", "l1")
        self.offset_conv1 = nn.ModuleDict({key: conv3x3(double, channels) for key in levels})
        self.offset_conv2 = nn.ModuleDict(
            {key: conv3x3(channels if key == "l3" else double, channels) for key in levels}
        )
        self.offset_conv3 = nn.ModuleDict({key: conv3x3(channels, channels) for key in lower})
        self.dcn_pack = nn.ModuleDict(
            {key: ModulatedDeformConv(channels, groups) for key in levels}
        )
        self.feat_conv = nn.ModuleDict({key: conv3x3(double, channels) for key in lower})

    def forward(self, features: list[Tensor], reference: list[Tensor]) -> Tensor:
        """Return the features at full size as the reference shows them, before any rectifier."""
        offset = aligned = features[2]
        for level in (3, 2, 1):
            key, x = f"l{level}", features[level - 1]
            pair = torch.cat((x, reference[level - 1]), dim=1)
            guide = leaky(self.offset_conv1[key](pair))
            if level < 3:
                # Offsets are in pixels, and pixels of this level are half as large.
                guide = torch.cat((guide, 2.0 * _doubled(offset)), dim=1)
            guide = leaky(self.offset_conv2[key](guide))
            if level < 3:
                guide = leaky(self.offset_conv3[key](guide))
            moved = self.dcn_pack[key](x, guide)
            if level < 3:
                moved = self.feat_conv[key](torch.cat((moved, _doubled(aligned)), dim=1))
            offset, aligned = guide, leaky(moved) if level > 1 else moved
        return aligned


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def start_at_zero(conv: nn.Conv2d) -> None:
    """Let a convolution start with no say: weights and biases zero."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
