"""SESR: 5×5, m residual 3×3, long residual, 5×5, nearest-neighbour image residual, shuffle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from edgevsr.nets.blocks import CollapsibleConv, SeparableConv, activation
from edgevsr.nets.ops import Net, Ops
from edgevsr.spec import NetSpec

T = TypeVar("T")


class Sesr(Net):
    """SESR with m + 1 activations, the first after the first 5×5.

    Source: SESR, Bhardwaj et al., MLSys 2022, figure 2.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat, block = spec.options["num_feat"], spec.options["num_block"]
        channels, wide = spec.channels, spec.expansion
        self.first = CollapsibleConv(channels, feat, 5, wide)
        self.body = residual_blocks(spec)
        self.last = CollapsibleConv(feat, channels * spec.scale**2, 5, wide)
        self.acts = nn.ModuleList(activation(spec.activation, feat) for _ in range(block + 1))

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return the SR of the frame, built of `ops`."""
        frame = given["frame"]
        skip = ops.activate(self.acts[0], ops.conv(self.first, frame, "first"), "first_act")
        h = through_blocks(ops, self.body, self.acts[1:], skip)
        h = ops.conv(self.last, ops.add(h, skip, "long_residual"), "last")
        return {"sr": shuffled(ops, self.spec, h, frame)}


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
