"""What a run is judged by: PSNR-Y of whole pictures and clips that it does not train on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from edgevsr.data.pairs import Pairs
from edgevsr.metrics import psnr_db


@contextmanager
def assigned(net: nn.Module, values: dict[str, Tensor]) -> Iterator[None]:
    """Give the net these parameters to run with inside the block, its own ones back after it."""
    own = {name: value.detach().clone() for name, value in net.named_parameters()}
    training = net.training
    assign(net, values)
    net.eval()
    try:
        yield
    finally:
        assign(net, own)
        net.train(training)


def assign(net: nn.Module, values: dict[str, Tensor]) -> None:
    """Copy values into the net's parameters of the same names."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(values[name])


@torch.inference_mode()
def validate(forward: nn.Module, pairs: Pairs, frames: int) -> float:
    """Return the mean PSNR-Y in dB over stills and the first `frames` frames of each clip.

    `forward` maps clips (N, T, C, H, W) in [0, 1] to their SR.
    """
    values = [
        clip_psnr_db(forward, pairs, int(first), min(int(count), frames))
        for first, count in pairs.clips
    ]
    return float(np.mean(values))


def clip_psnr_db(forward: nn.Module, pairs: Pairs, first: int, count: int) -> float:
    """Return the mean PSNR-Y of the frames of a clip, or of the one picture that a still is."""
    from edgevsr.data.colour import rgb_to_y

    device = next(forward.parameters()).device
    views = [pairs.picture(first + i) for i in range(count)]
    lrs = np.stack([(lr / pairs.unit).astype(np.float32) for lr, _ in views])
    clip = torch.from_numpy(lrs.transpose(0, 3, 1, 2)[None]).to(device)
    srs = forward(clip).float().clamp(0, 1)[0].permute(0, 2, 3, 1).cpu().numpy()
    scores = []
    for sr, (_, hr) in zip(srs, views, strict=True):
        rounded, truth = np.round(sr * 255.0), hr / (pairs.unit / 255.0)
        if pairs.channels == 3:
            scores.append(psnr_db(rgb_to_y(rounded), rgb_to_y(truth), pairs.scale))
        else:
            scores.append(psnr_db(rounded[..., 0], truth[..., 0], pairs.scale))
    return float(np.mean(scores))
