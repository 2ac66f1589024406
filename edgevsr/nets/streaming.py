"""What a recurrent network takes at each frame of a clip, on tensors that carry gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

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
                motion = _motion_since(frame, before["frame"], scale, white)
                inputs[role] = compensated(before["sr"].clamp(0.0, white), motion, scale)
            else:
                inputs[role] = frame.repeat(1, scale * scale, 1, 1)
        elif (carried := before.get(role.replace("state_in", "state_out"))) is not None:
            inputs[role] = carried
        else:
            inputs[role] = frame.new_zeros(frame.shape[0], count, *frame.shape[2:])
    return inputs


def compensated(sr: Tensor, motion: Tensor, scale: int) -> Tensor:
    """Return SR frames (N, C, H·scale, W·scale) moved by (N, H, W, 2), in space-to-depth order,
    (N, scale²·C, H, W), as `edgevsr.motion.compensated`."""
    count, channels, tall, wide = sr.shape
    height, width = tall // scale, wide // scale
    step = torch.arange(scale, device=sr.device)
    rows = torch.arange(height, device=sr.device)[:, None] * scale + motion[..., 1]
    columns = torch.arange(width, device=sr.device) * scale + motion[..., 0]
    # (N, dy, dx, H, W)
    y = (rows[:, None, None] + step.view(-1, 1, 1, 1)).clamp_(0, tall - 1)
    x = (columns[:, None, None] + step.view(1, -1, 1, 1)).clamp_(0, wide - 1)
    places = (y * wide + x).view(count, 1, -1).expand(-1, channels, -1)
    blocks = sr.flatten(2).gather(2, places).view(count, channels, scale * scale, height, width)
    return blocks.transpose(1, 2).flatten(1, 2)


def _motion_since(frame: Tensor, before: Tensor, scale: int, white: float) -> Tensor:
    """Return the motion (N, H, W, 2) since the frame before, in SR pixels."""
    views = torch.stack([frame, before]).detach().float().cpu() / white
    now, then = views.permute(0, 1, 3, 4, 2).numpy()
    found = np.stack([motion_since(a, b, scale) for a, b in zip(now, then, strict=True)])
    return torch.from_numpy(found).long().to(frame.device)
