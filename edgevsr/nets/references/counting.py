"""What a reference network computes for a frame, counted on shapes alone: nothing is allocated.

A MAC is one multiply-accumulate of a convolution or a matrix product, deformable ones included; a
deconvolution counts per LR pixel, sampling and element-wise work not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from edgevsr.nets.references.base import Reference, SlidingWindow
from edgevsr.nets.references.catalogue import System
from edgevsr.nets.references.loading import build_shapes

aten = torch.ops.aten


@dataclass(frozen=True)
class Work:
    """Parameters, and MACs for each SR frame of a clip under way."""

    params: int
    macs: int


def count_reference(system: System, size: tuple[int, int]) -> Work:
    """Return the work of one SR frame at an LR size (width, height).

    A window's whole work counts for its one frame. Of what carries features along a clip, the cost
    of one more frame counts, so that a clip's ends do not. A system that doubles the frame rate
    spends it on two frames.
    """
    net = build_shapes(system.name)
    params = sum(value.numel() for value in net.parameters())
    if isinstance(net, SlidingWindow):
        return Work(params, _macs(net, net.window, size))
    frames = max(net.least, 2)
    more = _macs(net, frames + net.period, size) - _macs(net, frames, size)
    return Work(params, round(more / net.period / system.frame_rate))


@torch.no_grad()
def _macs(net: Reference, frames: int, size: tuple[int, int]) -> int:
    width, height = size
    clip = torch.empty(1, frames, 3, height, width, device="meta")
    with _Counter() as counter:
        if isinstance(net, SlidingWindow):
            net.centre(clip)
        else:
            net(clip)
    return int(counter.macs)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the MACs of what runs on meta tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        shortcut = _SHORTCUTS.get(func.overloadpacket)
        out = shortcut(*args) if shortcut else func(*args, **kwargs)
        flops = flop_registry.get(func.overloadpacket)
        if flops is not None:
            self.macs += int(flops(*args, **kwargs, out_val=out)) // 2
        return out


def _sampled(x: Tensor, grid: Tensor, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:2], *grid.shape[1:3])


def _resized(x: Tensor, size: Any, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:2], *size)


#: None of these has MACs, but torch takes long to work out the shape of one call.
_SHORTCUTS: Mapping[Any, Callable[..., Tensor]] = {
    aten.grid_sampler_2d: _sampled,
    aten.upsample_bilinear2d: _resized,
    aten.upsample_bicubic2d: _resized,
}
