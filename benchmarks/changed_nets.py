"""Networks changed in ways that have no narrow graph, and how the ablations score them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.data.degrade import round_u8
from edgevsr.nets.ops import Net


class _Gated(nn.Module):
    """A convolution of features that are multiplied by a gate first."""

    def __init__(self, block: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.block, self.gate = block, gate

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the gated features."""
        # A gate of zeros lets everything through; the weights can take the 2 once trained.
        y: Tensor = self.block(x * (2.0 * F.hardsigmoid(self.gate(x))))
        return y


def pixel_gate(channels: int) -> nn.Module:
    """Return a gate of its own for every channel of every pixel, starting at zero."""
    return _zeroed(nn.Conv2d(channels, channels, 1))


def squeeze_excite(channels: int) -> nn.Module:
    """Return a gate for every channel of the whole picture, starting at zero.

    Source: SENet, Hu et al., CVPR 2018.
    """
    squeezed = channels // 4
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, squeezed, 1),
        nn.ReLU(),
        _zeroed(nn.Conv2d(squeezed, channels, 1)),
    )


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def add_gate(net: Net, gate: nn.Module) -> None:
    """Gate the features before the last convolution."""
    net.add_module("last", _Gated(net.get_submodule("last"), gate))


def drop_first_activation(net: Net) -> None:
    """Leave the first layer of a SESR linear, as its authors' code has it."""
    acts = net.get_submodule("acts")
    assert isinstance(acts, nn.ModuleList)
    acts[0] = nn.Identity()


class TorchModel:
    """A wide network as evaluation takes it, for what has no narrow graph."""

    def __init__(self, net: Net) -> None:
        self.net = net.eval()
        self.scale, self.channels = net.spec.scale, net.spec.channels

    @torch.inference_mode()
    def upscale(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the SR frame in [0, 1]."""
        sr: Tensor = self.net(torch.from_numpy(lr.transpose(2, 0, 1)[None]))
        found: NDArray[np.float32] = sr[0].permute(1, 2, 0).clamp(0, 1).numpy()
        return found

    def upscale_u8(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the SR frame in 0 to 255."""
        return round_u8(self.upscale((lr / 255.0).astype(np.float32)) * 255.0)

    def reset(self) -> None:
        """Forget nothing: each frame stands alone."""
