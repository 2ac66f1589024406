"""A network's structure is written once, over these operations.

`TorchOps` computes them on tensors; `edgevsr.collapsing` has another implementation that records
the narrow graph. So training and the exported file cannot disagree about the structure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, Form
from edgevsr.spec import NetSpec

T = TypeVar("T")


class Ops(Protocol[T]):
    """The operations a network may be built of; T is a tensor or the name of one."""

    def conv(self, block: CollapsibleConv, x: T, name: str) -> T:
        """Apply a collapsible convolution."""

    def deconv(self, block: CollapsibleDeconv, x: T, name: str) -> T:
        """Apply a collapsible transposed convolution."""

    def activate(self, module: nn.Module, x: T, name: str) -> T:
        """Apply an activation made by `blocks.activation`."""

    def add(self, x: T, y: T, name: str) -> T:
        """Add two tensors; `y` may have one channel."""

    def concat(self, xs: list[T], name: str) -> T:
        """Join tensors over channels."""

    def depth_to_space(self, x: T, block: int, name: str) -> T:
        """Move channels (dy·block + dx)·C + c to pixels."""


class TorchOps:
    """Computes on tensors (N, C, H, W)."""

    def conv(self, block: CollapsibleConv, x: Tensor, name: str) -> Tensor:
        """Apply a collapsible convolution."""
        del name
        y: Tensor = block(x)
        return y

    def deconv(self, block: CollapsibleDeconv, x: Tensor, name: str) -> Tensor:
        """Apply a collapsible transposed convolution."""
        del name
        y: Tensor = block(x)
        return y

    def activate(self, module: nn.Module, x: Tensor, name: str) -> Tensor:
        """Apply an activation."""
        del name
        y: Tensor = module(x)
        return y

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Add two tensors."""
        del name
        return x + y

    def concat(self, xs: list[Tensor], name: str) -> Tensor:
        """Join tensors over channels."""
        import torch

        del name
        return torch.cat(xs, dim=1)

    def depth_to_space(self, x: Tensor, block: int, name: str) -> Tensor:
        """Move channels to pixels, in TensorFlow's channel order."""
        del name
        n, channels, height, width = x.shape
        depth = channels // (block * block)
        if depth > 1:
            x = x.view(n, block * block, depth, height, width).transpose(1, 2)
            x = x.reshape(n, channels, height, width)
        return F.pixel_shuffle(x, block)


class Net(nn.Module, ABC):
    """A single-image network: frame (N, C, H, W) in [0, 1] to SR (N, C, H·scale, W·scale)."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def describe(self, ops: Ops[T], frame: T) -> T:
        """Return the SR of `frame`, built of `ops`."""

    def forward(self, frame: Tensor) -> Tensor:
        """Return the SR frame, not clipped."""
        return self.describe(TorchOps(), frame)

    def set_form(self, form: Form) -> Any:
        """Choose whether blocks compute through their narrow or their wide weights."""
        for module in self.modules():
            if isinstance(module, CollapsibleConv | CollapsibleDeconv):
                module.form = form
        return self
