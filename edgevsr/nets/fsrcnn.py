"""FSRCNN: extract, shrink, map, expand, transposed 9×9."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, activation, carry
from edgevsr.nets.ops import Net, Ops
from edgevsr.spec import NetSpec

T = TypeVar("T")

_COPIES = 4


class Fsrcnn(Net):
    """FSRCNN(d, s, m), every convolution a collapsible block.

    Source: FSRCNN, Dong et al., ECCV 2016, section 3.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat, shrink = spec.options["num_feat"], spec.options["num_shrink"]
        wide, gain = spec.expansion, math.sqrt(2.0)
        self.extract = CollapsibleConv(spec.channels, feat, 5, wide, gain=gain)
        self.shrink = CollapsibleConv(feat, shrink, 1, wide, gain=gain)
        self.maps = nn.ModuleList(
            CollapsibleConv(shrink, shrink, 3, wide, gain=gain)
            for _ in range(spec.options["num_map"])
        )
        self.grow = CollapsibleConv(shrink, feat, 1, wide, gain=gain)
        self.deconv = CollapsibleDeconv(feat, spec.channels, 9, spec.scale, wide)
        widths = [feat, shrink, *[shrink] * len(self.maps), feat]
        self.acts = nn.ModuleList(activation(spec.activation, width) for width in widths)
        self._start_as_interpolation()

    def _start_as_interpolation(self) -> None:
        """Let a few channels carry the frame to a bilinear upscale.

        With no image residual, the network would spend thousands of steps on learning the picture
        itself before it could learn its detail; and in int8 a picture carried by one channel
        would lose more to rounding than the detail brings.
        """
        colours, scale = self.spec.channels, self.spec.scale
        copies = max(1, min(_COPIES, self.spec.options["num_shrink"] // (2 * colours)))
        blocks = [self.extract, self.shrink, *self.maps, self.grow]
        for index, block in enumerate(blocks):
            assert isinstance(block, CollapsibleConv)
            size = block.expand.weight.shape[-1]
            taps = torch.zeros(size, size)
            taps[size // 2, size // 2] = 1.0
            carry(block, taps, colours, (copies if index else 1, copies))
        distance = (torch.arange(9) - self.deconv.padding + 0.5) / scale - 0.5
        tent = torch.clamp(1.0 - distance.abs(), min=0.0)
        carry(self.deconv, torch.outer(tent, tent), colours, (copies, 1))

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return the SR of the frame, built of `ops`."""
        frame = given["frame"]
        names = ["extract", "shrink", *[f"map{i}" for i in range(len(self.maps))], "grow"]
        blocks = [self.extract, self.shrink, *self.maps, self.grow]
        h = frame
        for name, block, act in zip(names, blocks, self.acts, strict=True):
            assert isinstance(block, CollapsibleConv)
            h = ops.activate(act, ops.conv(block, h, name), f"{name}_act")
        return {"sr": ops.deconv(self.deconv, h, "sr")}
