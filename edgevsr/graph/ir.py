"""A small NHWC graph: what is left of a network once it is collapsed.

Every stage after collapse works on this type. Tensors are named; activations have a number of
channels and a spatial factor relative to the LR frame, so one graph stands for every frame size.
Weights are OHWI. Rectified linear units are fused into the node that feeds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Op = Literal[
    "conv2d",  # weight OHWI, bias O; stride 1, SAME; attrs: groups (1 or input channels)
    "transpose_conv",  # weight OHWI; attrs: stride, pad (before, torch meaning), kernel trimmed
    "relu",
    "leaky_relu",  # attrs: slope
    "prelu",  # weight: slopes, one a channel
    "add",  # second operand may have one channel (broadcast)
    "mul",  # of two tensors of one shape
    "concat",  # over channels
    "depth_to_space",  # attrs: block; TensorFlow's (DCR) channel order
    "space_to_depth",  # attrs: block
    "resize_nearest",  # attrs: factor
    "clip",  # attrs: low, high
]

OPS: tuple[Op, ...] = Op.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class QuantParams:
    """Affine int8 quantization of a tensor: real = scale * (code - zero_point)."""

    scale: float
    zero_point: int

    def quantize(self, values: Array) -> NDArray[np.int8]:
        """Return the nearest int8 codes, ties away from zero as TensorFlow Lite rounds."""
        scaled = np.asarray(values, np.float64) / self.scale
        codes = np.trunc(scaled + np.copysign(0.5, scaled)) + self.zero_point
        clipped: NDArray[np.int8] = np.clip(codes, -128, 127).astype(np.int8)
        return clipped

    def dequantize(self, codes: Array) -> NDArray[np.float32]:
        """Return the real values that the codes stand for."""
        return ((codes.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True)
class Node:
    """One operation with a single output.

    `weight` is float32 OHWI, or int8 with `weight_scale` of one value an output channel;
    `bias` is float32, or int32 at scale input_scale * weight_scale.
    `activation` is the fused function applied last: "none" or "relu".
    """

    op: Op
    name: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    weight: Array | None = None
    bias: Array | None = None
    weight_scale: NDArray[np.float32] | None = None
    activation: Literal["none", "relu"] = "none"


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor whatever the frame size.

    `factor` is its height and width over those of the LR frame, as (numerator, denominator).
    """

    channels: int
    factor: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Graph:
    """A network as nodes in execution order, with everything a file needs to say about itself.

    `qparams` is empty for a float graph and covers every activation tensor of an int8 one.
    `roles` maps each graph input and output to its role (`frame`, `previous_frame`, `previous_sr`
    as `edgevsr.alignment.compensated` gives it, `state_in:K`, `sr`, `state_out:K`). `meta` is
    provenance: net, scale, colour, activation.
    `size` is (width, height) when the source file fixed one.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorSpec]
    roles: Mapping[str, str]
    meta: Mapping[str, Any] = field(default_factory=dict)
    qparams: Mapping[str, QuantParams] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    @property
    def quantized(self) -> bool:
        """Whether every activation carries int8 quantization."""
        return bool(self.qparams)

    @property
    def scale(self) -> int:
        """Width of the SR frame over that of the LR frame."""
        numerator, denominator = self.tensors[self.output_of("sr")].factor
        return numerator // denominator

    @property
    def channels(self) -> int:
        """Image channels of the frame: 1 for Y, 3 for RGB."""
        return self.tensors[self.input_of("frame")].channels

    @property
    def params(self) -> int:
        """Number of convolution weights, without biases and slopes."""
        return sum(
            node.weight.size
            for node in self.nodes
            if node.weight is not None and node.op in ("conv2d", "transpose_conv")
        )

    def input_of(self, role: str) -> str:
        """Return the input tensor with this role."""
        return next(name for name in self.inputs if self.roles[name] == role)

    def output_of(self, role: str) -> str:
        """Return the output tensor with this role."""
        return next(name for name in self.outputs if self.roles[name] == role)

    def consumers(self, tensor: str) -> list[Node]:
        """Return the nodes that read this tensor."""
        return [node for node in self.nodes if tensor in node.inputs]

    def shape(self, tensor: str, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the NHWC shape of a tensor for an LR frame of (width, height)."""
        spec = self.tensors[tensor]
        numerator, denominator = spec.factor
        width, height = size
        return (
            1,
            height * numerator // denominator,
            width * numerator // denominator,
            spec.channels,
        )

    def renamed(self, new: Mapping[str, str]) -> Graph:
        """Return the same graph with tensors under new names; those not in `new` keep theirs."""

        def names(old: Iterable[str]) -> tuple[str, ...]:
            return tuple(new.get(name, name) for name in old)

        return replace(
            self,
            inputs=names(self.inputs),
            outputs=names(self.outputs),
            nodes=tuple(
                replace(node, inputs=names(node.inputs), output=new.get(node.output, node.output))
                for node in self.nodes
            ),
            tensors={new.get(name, name): spec for name, spec in self.tensors.items()},
            roles={new.get(name, name): role for name, role in self.roles.items()},
            qparams={new.get(name, name): q for name, q in self.qparams.items()},
        )

    def with_meta(self, **changes: Any) -> Graph:
        """Return the same graph with these provenance entries set."""
        return replace(self, meta={**self.meta, **changes})
