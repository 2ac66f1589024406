"""What reading an ONNX graph has found so far: tensors, constants, nodes and problems."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from onnx import helper

from edgevsr.graph.ir import Array, Graph, Node, Op, QuantParams, TensorSpec
from edgevsr.graph.onnx_constants import QuantizedConstant

MAX_CHANNELS = 8192
_MAX_FACTOR = 64


class UnknownInputError(Exception):
    """A node reads what an unsupported node should have made; it was reported there."""


class Reader:
    """Reads one ONNX graph node by node.

    Values are ONNX names; tensors are the graph's. Identity, QuantizeLinear and DequantizeLinear
    make a value another name of a tensor. Problems are gathered, so that one error lists them all.
    """

    def __init__(self, model: Any, where: str) -> None:
        self.where = where
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
        self.quantized = False
        self.int16: dict[str, float] = {}
        self.constants: dict[str, Array] = {}
        self.quantized_constants: dict[str, QuantizedConstant] = {}
        self.aliases: dict[str, str] = {}
        self.unknown: set[str] = set()
        self.tensors: dict[str, TensorSpec] = {}
        self.qparams: dict[str, QuantParams] = {}
        self.nodes: list[Node] = []
        self.problems: list[str] = []
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(output.name for output in model.graph.output)

    def declare(self, value: str, channels: int) -> None:
        """Enter an input of the graph."""
        self.tensors[value] = TensorSpec(channels)
        self.aliases[value] = value

    def problem(self, proto: Any, text: str) -> None:
        """Note what is unsupported about a node."""
        name = proto.name or (proto.output[0] if proto.output else "")
        domain = f"{proto.domain}." if proto.domain not in ("", "ai.onnx") else ""
        self.problems.append(f"{domain}{proto.op_type} {name!r}{text and ' ' + text}")

    def attributes(self, proto: Any) -> dict[str, Any]:
        """Return the node's attributes by name, texts decoded."""
        values = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        return {
            key: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for key, value in values.items()
        }

    def tensor(self, value: str) -> str:
        """Return the activation tensor that an ONNX value stands for."""
        if value not in self.aliases:
            raise UnknownInputError(value)
        return self.aliases[value]

    def constant(self, value: str) -> Array | None:
        """Return a constant as it is, dequantized where it was quantized, or None."""
        if value in self.quantized_constants:
            return self.quantized_constants[value].real()
        return self.constants.get(value)

    def floats(self, proto: Any, index: int, what: str) -> Array | None:
        """Return a constant input as finite float32, or note the problem and return None."""
        if index >= len(proto.input) or not proto.input[index]:
            return None
        name = proto.input[index]
        values = self.constant(name)
        if values is None:
            self.problem(proto, f"whose {what} {name!r} is not constant")
            return None
        if not np.isfinite(values).all():
            self.problem(proto, f"whose {what} {name!r} holds NaN or infinite values")
            return None
        return np.asarray(values, np.float32)

    def add_node(
        self,
        proto: Any,
        op: Op,
        sources: list[str],
        channels: int,
        factor: tuple[int, int] = (1, 1),
        **rest: Any,
    ) -> Node:
        """Append a node that makes the proto's first output, and settle that tensor's shape."""
        numerator, denominator = self.tensors[sources[0]].factor
        numerator, denominator = numerator * factor[0], denominator * factor[1]
        common = int(np.gcd(numerator, denominator))
        ratio = (numerator // common, denominator // common)
        if channels > MAX_CHANNELS or max(ratio) > _MAX_FACTOR:
            self.problem(proto, f"with {channels} channels at {ratio[0]}/{ratio[1]} of the LR size")
        output = proto.output[0]
        node = Node(op, proto.name or output, tuple(sources), output, **rest)
        self.nodes.append(node)
        self.tensors[output] = TensorSpec(min(channels, MAX_CHANNELS), ratio)
        self.aliases[output] = output
        return node

    def last_producer(self, value: str) -> Node | None:
        """Return the convolution that makes this value for one reader alone, if one does."""
        node = next((node for node in self.nodes if node.output == value), None)
        alone = self.uses[value] == 1
        return node if node and alone and node.op in ("conv2d", "transpose_conv") else None

    def set_qparams(self, proto: Any, tensor: str, qparams: QuantParams) -> None:
        """Give a tensor its quantization, once."""
        if self.qparams.setdefault(tensor, qparams) != qparams:
            self.problem(proto, f"gives {tensor!r} a second scale or zero point")

    def graph(self, inputs: list[str], outputs: list[str], size: tuple[int, int] | None) -> Graph:
        """Return what was read, with output tensors under the names the file gives them."""
        new = {self.aliases[name]: name for name in outputs}
        return Graph(
            tuple(inputs),
            tuple(new),
            tuple(self.nodes),
            self.tensors,
            {},
            qparams=self.qparams,
            size=size,
        ).renamed(new)
