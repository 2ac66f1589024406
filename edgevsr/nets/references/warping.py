"""Backward warping by optical flow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def flow_warp(x: Tensor, flow: Tensor, border: str = "zeros") -> Tensor:
    """Return `x` (N, C, H, W) sampled bilinearly at pixel + flow; flow is (N, 2, H, W), x then y.

    Outside the frame lies zero, or with `border` "border" its edge.
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=x.dtype).view(1, height, 1)
    columns = torch.arange(width, device=x.device, dtype=x.dtype).view(1, 1, width)
    across = 2.0 * (columns + flow[:, 0]) / max(width - 1, 1) - 1.0
    down = 2.0 * (rows + flow[:, 1]) / max(height - 1, 1) - 1.0
    grid = torch.stack((across, down), dim=-1)
    return F.grid_sample(x, grid, padding_mode=border, align_corners=True)
