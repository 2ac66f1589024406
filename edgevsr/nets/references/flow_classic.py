"""Optical flow without learning: Horn and Schunck's equations over a pyramid.

Source: Horn and Schunck, 1981; warping between levels as Brox et al., ECCV 2004.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevsr.nets.references.base import luma
from edgevsr.nets.references.warping import flow_warp

_SMALLEST = 16
_WARPS = 3
_SWEEPS = 20
_SMOOTHNESS = 0.1**2


@torch.no_grad()
def variational_flow(frame: Tensor, other: Tensor) -> Tensor:
    """Return the flow (N, 2, H, W) in pixels by which warping `other` gives `frame`.

    Frames are RGB (N, 3, H, W) in [0, 1].
    """
    if frame.is_meta:
        return frame.new_empty(len(frame), 2, *frame.shape[-2:])
    pyramid = [(luma(frame), luma(other))]
    while min(pyramid[0][0].shape[-2:]) >= 2 * _SMALLEST:
        pyramid.insert(0, tuple(F.avg_pool2d(level, 2) for level in pyramid[0]))  # type: ignore[arg-type]
    flow = frame.new_zeros(len(frame), 2, *pyramid[0][0].shape[-2:])
    for a, b in pyramid:
        flow = _enlarged(flow, a.shape[-2:])
        for _ in range(_WARPS):
            flow = _refined(a, b, flow)
    return flow


def _enlarged(flow: Tensor, size: tuple[int, ...]) -> Tensor:
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    factor = flow.new_tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * factor


def _refined(frame: Tensor, other: Tensor, flow: Tensor) -> Tensor:
    """Return the flow after one warp and Jacobi sweeps over the linearised equations."""
    warped = flow_warp(other, flow, "border")
    mean = (warped + frame) / 2.0
    padded = F.pad(mean, (1, 1, 1, 1), "replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2.0
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2.0
    gradient = torch.cat((across, down), dim=1)
    strength = _SMOOTHNESS + (gradient**2).sum(1, keepdim=True)
    constant = warped - frame - (gradient * flow).sum(1, keepdim=True)
    for _ in range(_SWEEPS):
        around = _neighbours(flow)
        error = (gradient * around).sum(1, keepdim=True) + constant
        flow = around - gradient * error / strength
    return flow


def _neighbours(flow: Tensor) -> Tensor:
    padded = F.pad(flow, (1, 1, 1, 1), "replicate")
    sides = padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    return (sides + padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1]) / 4.0
