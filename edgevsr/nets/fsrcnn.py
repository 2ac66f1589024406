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

#: How many of the channels that the deconvolution reads are the frame. More make its taps smaller,
#: so that the codes of the others, which share their scale, are finer.
_COPIES = 8


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
        self._pass_frame_on()

    def _pass_frame_on(self) -> None:
        """Let one channel hand the frame on as it is, up to copies for a bilinear upscale to start.

        With no image residual, the network would spend thousands of steps on learning the picture
        itself before it could learn its detail, and high rates would shake it; and in int8 a
        picture that layers mix anew is rounded anew by each, which costs more than detail brings.
        So that channel's weights stay: what reads it is learned.
        """
        colours, scale = self.spec.channels, self.spec.scale
        copies = max(1, min(_COPIES, self.spec.options["num_feat"] // (2 * colours)))
        for block in [self.extract, self.shrink, *self.maps, self.grow]:
            assert isinstance(block, CollapsibleConv)
            block.pass_on(colours, copies if block is self.grow else 1)
        distance = (torch.arange(9) - self.deconv.padding + 0.5) / scale - 0.5
        tent = torch.clamp(1.0 - distance.abs(), min=0.0)
        carry(self.deconv, torch.outer(tent, tent), colours, copies)

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
