"""What a recurrent network takes at each frame of a clip, on tensors that carry gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgevsr.alignment import margin_of, places, steps_per_pixel
from edgevsr.motion import motion_since


def inputs_by_role(
    channels: Mapping[str, int], frame: Tensor, before: Mapping[str, Tensor], white: float = 1.0
) -> dict[str, Tensor]:
    """Return what a network takes for frames (N, C, H, W), as
    `edgevsr.graph.streaming.inputs_by_role`.

    `channels` names its inputs by role, `before` holds the outputs of the frame before and that
    frame itself; `white` is the value of a white pixel.
    """
    inputs: dict[str, Tensor] = {}
    for role, count in channels.items():
        if role == "frame":
            inputs[role] = frame
        elif role == "previous_frame":
            inputs[role] = before.get("frame", frame)
        elif role == "previous_sr":
            scale = math.isqrt(count // channels["frame"])
            if "sr" in before:
                starts = _places_since(frame, before["frame"], scale, white)
                sr = before["sr"].clamp(0.0, white)
                inputs[role] = moved(sr, starts, scale, white)
            else:
                inputs[role] = frame.repeat(1, scale * scale, 1, 1)
        elif (carried := before.get(role.replace("state_in", "state_out"))) is not None:
            inputs[role] = carried
        else:
            inputs[role] = frame.new_zeros(frame.shape[0], count, *frame.shape[2:])
    return inputs


def moved(sr: Tensor, starts: Tensor, scale: int, white: float = 1.0) -> Tensor:
    """Return the blocks of SR frames (N, C, H·scale, W·scale) that begin at `starts`, (N, K, H, W),
    in space-to-depth order (N, scale²·C, H, W), as `edgevsr.alignment.moved`.

    Where white is not 1 the values are codes from 0, and rounded as those are.
    """
    channels = sr.shape[1]
    count, _, height, width = starts.shape
    planes = F.pad(sr, [margin_of(scale)] * 4, mode="replicate")
    wide = planes.shape[3]
    if steps_per_pixel(scale) > 1:
        planes = _with_halves(planes, white)
    pixel = torch.arange(scale, device=sr.device)
    block = (pixel[:, None] * wide + pixel).view(-1, 1, 1)

    def take(starts: Tensor) -> Tensor:
        at = (starts[:, None] + block).view(count, 1, -1).expand(-1, channels, -1)
        return planes.flatten(2).gather(2, at)

    taken = [take(each) for each in starts.unbind(1)]
    found = taken[0] if len(taken) == 1 else _rounded((taken[0] + taken[1]) * 0.5, 0.0, white)
    blocks = found.view(count, channels, scale * scale, height, width)
    return blocks.transpose(1, 2).flatten(1, 2)


def _with_halves(planes: Tensor, white: float) -> Tensor:
    """Return frames (N, C, H, W) as (N, C, 4, H, W): as they are, half a pixel to the right,
    further down, and both."""
    across = _half_way(planes, 3, white)
    both = _half_way(across, 2, white)
    return torch.stack([planes, across, _half_way(planes, 2, white), both], 2)


def _half_way(planes: Tensor, dim: int, white: float) -> Tensor:
    far, behind, beyond = (planes.roll(by, dim) for by in (1, -1, -2))
    mean = (planes + behind) * (9 / 16) - (far + beyond) * (1 / 16)
    return _rounded(mean, 0.5, white).clamp(0.0, white)


def _rounded(values: Tensor, added: float, white: float) -> Tensor:
    """Return codes rounded down after adding, gradients as if they were not; others as they are."""
    if white == 1.0:
        return values
    return values + ((values + added).floor() - values).detach()


def _places_since(frame: Tensor, before: Tensor, scale: int, white: float) -> Tensor:
    """Return where blocks were in the frame before, (N, K, H, W), as `edgevsr.alignment.places`."""
    views = torch.stack([frame, before]).detach().float().cpu() / white
    now, then = views.permute(0, 1, 3, 4, 2).numpy()
    found = [places(motion_since(a, b, scale), scale) for a, b in zip(now, then, strict=True)]
    return torch.from_numpy(np.stack(found)).to(frame.device)
