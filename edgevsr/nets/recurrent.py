"""Recurrent cells of collapsible blocks: `rsesr` in SESR's form, `rrn` in RRN's.

Both join the frame, the one before it and the state over channels, and end in two heads: the
detail of the frame, and a rectified next state, so that in int8 a state of zeros is code −128.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from edgevsr.nets.blocks import CollapsibleConv, activation
from edgevsr.nets.ops import Ops, RecurrentNet
from edgevsr.nets.sesr import residual_blocks, shuffled, through_blocks
from edgevsr.spec import NetSpec

T = TypeVar("T")

#: What a state starts around, of a frame in [0, 1].
_ALIVE = 0.1


class _Cell(RecurrentNet):
    """The joined input and the two heads, which all cells have."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat, state, wide = spec.options["num_feat"], spec.options["num_state"], spec.expansion
        self.first = CollapsibleConv(sum(self.inputs.values()), feat, 3, wide)
        self.detail = CollapsibleConv(feat, spec.channels * spec.scale**2, 3, wide)
        if state:
            self.state = CollapsibleConv(feat, state, 3, wide, gain=1.0)
            self._begin_unread()
        self.first_act = activation(spec.activation, feat)
        self.state_act = nn.ReLU()

    def _begin_unread(self) -> None:
        """Start with a state that is alive but not read.

        Read through random weights it is noise, and the quickest way to less noise is a state of
        zeros, which no gradient leaves again.
        """
        roles = list(self.inputs)
        first = sum(self.inputs[role] for role in roles[: roles.index("state_in:0")])
        assert self.state.project.bias is not None
        with torch.no_grad():
            self.first.expand.weight[:, first : first + self.inputs["state_in:0"]] = 0.0
            self.state.project.bias.fill_(_ALIVE)

    def _begin(self, ops: Ops[T], given: Mapping[str, T]) -> T:
        joined = ops.concat([given[role] for role in self.inputs], "joined")
        return ops.activate(self.first_act, ops.conv(self.first, joined, "first"), "first_act")

    def _end(self, ops: Ops[T], given: Mapping[str, T], h: T) -> dict[str, T]:
        outputs: dict[str, T] = {}
        if self.spec.options["num_state"]:
            state = ops.conv(self.state, h, "state")
            outputs["state_out:0"] = ops.activate(self.state_act, state, "state_out_0")
        detail = ops.conv(self.detail, h, "detail")
        return {"sr": shuffled(ops, self.spec, detail, given["frame"]), **outputs}


class Rsesr(_Cell):
    """SESR's body in a recurrent cell: m residual 3×3 under one long residual, one activation
    each.

    Source: SESR, Bhardwaj et al., MLSys 2022, for the body; RLSP, Fuoli et al., ICCVW 2019, for
    the state of features; FRVSR, Sajjadi et al., CVPR 2018, for the aligned SR before.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat = spec.options["num_feat"]
        self.body = residual_blocks(spec)
        self.acts = nn.ModuleList(activation(spec.activation, feat) for _ in self.body)

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return SR and next state, built of `ops`."""
        skip = self._begin(ops, given)
        h = through_blocks(ops, self.body, self.acts, skip)
        return self._end(ops, given, ops.add(h, skip, "long_residual"))


class Rrn(_Cell):
    """RRN's body at light widths: residual blocks of two 3×3, no activation after the sum.

    The previous output is not fed back: it is signed, so it could not share the state's scale,
    and it would be an output that the graph also reads.

    Source: RRN, Isobe et al., BMVC 2020; the MAI 2022 baseline MobileRRN for the light form.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        feat, block, wide = spec.options["num_feat"], spec.options["num_block"], spec.expansion
        self.body = nn.ModuleList(CollapsibleConv(feat, feat, 3, wide) for _ in range(2 * block))
        self.acts = nn.ModuleList(activation(spec.activation, feat) for _ in range(block))

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return SR and next state, built of `ops`."""
        h = self._begin(ops, given)
        for index, act in enumerate(self.acts):
            inner, outer = self.body[2 * index], self.body[2 * index + 1]
            assert isinstance(inner, CollapsibleConv)
            assert isinstance(outer, CollapsibleConv)
            y = ops.activate(act, ops.conv(inner, h, f"inner{index}"), f"inner{index}_act")
            h = ops.add(ops.conv(outer, y, f"outer{index}"), h, f"block{index}")
        return self._end(ops, given, h)
