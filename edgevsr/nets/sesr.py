"""SESR: 5×5, m residual 3×3, long residual, 5×5, nearest-neighbour image residual, shuffle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from edgevsr.nets.blocks import CollapsibleConv, SeparableConv, activation
from edgevsr.nets.ops import Net, Ops
from edgevsr.spec import NetSpec

T = TypeVar("T")

#: The bound of RELU6, one operator on every runtime.
_WIDEST_GATE = 6.0


class Sesr(Net):
    """SESR with m + 1 activations, the first after the first 5×5.

    `gated`, every channel of every pixel is multiplied by a gate of its own before the last 5×5.

    Source: SESR, Bhardwaj et al., MLSys 2022, figure 2.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat, block = spec.options["num_feat"], spec.options["num_block"]
        channels, wide = spec.channels, spec.expansion
        self.first = CollapsibleConv(channels, feat, 5, wide)
        self.body = residual_blocks(spec)
        self.last = CollapsibleConv(feat, channels * spec.scale**2, 5, wide)
        self.gate = _open_gate(self.last, wide) if spec.options.get("gated") else None
        self.acts = nn.ModuleList(activation(spec.activation, feat) for _ in range(block + 1))

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return the SR of the frame, built of `ops`."""
        frame = given["frame"]
        skip = ops.activate(self.acts[0], ops.conv(self.first, frame, "first"), "first_act")
        h = through_blocks(ops, self.body, self.acts[1:], skip)
        h = ops.add(h, skip, "long_residual")
        if self.gate is not None:
            gate = ops.clip(ops.conv(self.gate, h, "gate"), 0.0, _WIDEST_GATE, "gate_clip")
            h = ops.mul(h, gate, "gated")
        h = ops.conv(self.last, h, "last")
        return {"sr": shuffled(ops, self.spec, h, frame)}


def _open_gate(reader: CollapsibleConv, wide: int) -> CollapsibleConv:
    """Return a 1×1 block whose output is half of the widest gate, whatever it is given.

    The block that reads what is gated takes that factor out of its weights.
    """
    channels = reader.expand.in_channels
    gate = CollapsibleConv(channels, channels, 1, wide)
    assert gate.project.bias is not None
    with torch.no_grad():
        gate.project.weight.zero_()
        gate.project.bias.fill_(_WIDEST_GATE / 2)
        for factor in (reader.expand.weight, reader.project.weight):
            factor.div_(math.sqrt(_WIDEST_GATE / 2))
    return gate


def residual_blocks(spec: NetSpec) -> nn.ModuleList:
    """Return the body of a spec: `num_block` residual 3×3 blocks, of the kind that it names."""
    feat, options = spec.options["num_feat"], spec.options
    if options.get("separable"):
        blocks: list[nn.Module] = [
            SeparableConv(feat, 3, spec.expansion) for _ in range(options["num_block"])
        ]
    else:
        filtered = bool(options.get("filtered"))
        blocks = [
            CollapsibleConv(feat, feat, 3, spec.expansion, residual=True, filtered=filtered)
            for _ in range(options["num_block"])
        ]
    return nn.ModuleList(blocks)


def through_blocks(ops: Ops[T], body: nn.ModuleList, acts: nn.ModuleList, h: T) -> T:
    """Return `h` passed through `residual_blocks`, each with its activation."""
    for index, (block, act) in enumerate(zip(body, acts, strict=True)):
        name = f"body{index}"
        if isinstance(block, SeparableConv):
            h = ops.conv(block.depthwise, h, f"{name}_depthwise")
            block = block.pointwise
        assert isinstance(block, CollapsibleConv)
        h = ops.activate(act, ops.conv(block, h, name), f"{name}_act")
    return h


def shuffled(ops: Ops[T], spec: NetSpec, h: T, frame: T) -> T:
    """Return the SR: features (C·scale² channels) on the nearest-neighbour upscale of `frame`."""
    image = frame
    if spec.channels > 1:
        image = ops.concat([frame] * spec.scale**2, "image_repeat")
    return ops.depth_to_space(ops.add(h, image, "image_residual"), spec.scale, "sr")
