"""What reading a .tflite file has found so far: tensors, constants, nodes and problems."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgevsr.graph.ir import Array, Node, Op, QuantParams, TensorSpec
from edgevsr.graph.tflite_file import ModelEntry, OperatorEntry, TensorEntry

_ACTIVATIONS = {0: None, 1: "relu", 2: (-1.0, 1.0), 3: (0.0, 6.0)}


class UnsupportedError(Exception):
    """Something about the operator that is being read is not supported; the text says what."""


class TfliteReader:
    """Reads one file operator by operator; problems are gathered to be reported together."""

    def __init__(self, model: ModelEntry) -> None:
        self.model = model
        self.names = self._unique_names()
        self.constants = {i: t for i, t in enumerate(model.tensors) if t.data is not None}
        self.aliases: dict[int, str] = {}
        self.tensors: dict[str, TensorSpec] = {}
        self.qparams: dict[str, QuantParams] = {}
        self.nodes: list[Node] = []
        self.problems: list[str] = []
        self.io = "float"
        self.quantized = any(
            model.tensors[op.outputs[0]].dtype == np.int8 for op in model.operators if op.outputs
        )

    def read_inputs(self) -> list[str]:
        """Declare the inputs of the file as tensors of the graph."""
        for index in self.model.inputs:
            name, entry = self.names[index], self.model.tensors[index]
            self.aliases[index] = name
            self.tensors[name] = TensorSpec(entry.shape[-1] if entry.shape else 0)
            if entry.dtype == np.int8:
                self.qparams[name] = tensor_qparams(entry)
        return [self.names[index] for index in self.model.inputs]

    def source(self, index: int) -> str:
        """Return the graph's tensor for an activation of the file."""
        if index in self.aliases:
            return self.aliases[index]
        if index in self.constants:
            raise UnsupportedError("with a constant operand")
        raise UnsupportedError("" if self.problems else "reads a tensor that nothing makes")

    def constant(self, index: int, what: str) -> TensorEntry:
        """Return a constant of the file; float constants must be finite."""
        entry = self.constants.get(index)
        if entry is None or entry.data is None:
            raise UnsupportedError(f"whose {what} is not constant")
        if entry.data.dtype.kind == "f" and not np.isfinite(entry.data).all():
            raise UnsupportedError(f"whose {what} holds NaN or infinite values")
        return entry

    def add_node(
        self,
        operator: OperatorEntry,
        op: Op,
        sources: list[str],
        channels: int,
        factor: tuple[int, int] = (1, 1),
        activation: int = 0,
        name: str | None = None,
        **rest: Any,
    ) -> None:
        """Append a node; a fused activation other than ReLU becomes a clip behind it."""
        index = operator.outputs[0]
        output = self.names[index]
        if activation not in _ACTIVATIONS:
            raise UnsupportedError(f"with fused activation {activation}")
        fused = _ACTIVATIONS[activation]
        numerator, denominator = self.tensors[sources[0]].factor
        numerator, denominator = numerator * factor[0], denominator * factor[1]
        common = int(np.gcd(numerator, denominator))
        spec = TensorSpec(channels, (numerator // common, denominator // common))
        made = f"{output}_unclipped" if isinstance(fused, tuple) else output
        relu: Any = "relu" if fused == "relu" else "none"
        self.nodes.append(Node(op, name or made, tuple(sources), made, activation=relu, **rest))
        if isinstance(fused, tuple):
            bounds = {"low": fused[0], "high": fused[1]}
            self.nodes.append(Node("clip", output, (made,), output, bounds))
        for tensor in (made, output):
            self.tensors[tensor] = spec
            if self.quantized:
                self.qparams[tensor] = tensor_qparams(self.model.tensors[index])
        self.aliases[index] = output

    def weight(self, index: int, out_axis: int) -> tuple[Array, Array | None]:
        """Return 4-D weights and their scales: int8 in an int8 graph, else float32."""
        entry = self.constant(index, "weight")
        assert entry.data is not None
        if entry.data.ndim != 4 or 0 in entry.data.shape:
            raise UnsupportedError(f"with weights of shape {list(entry.data.shape)}")
        if entry.data.dtype != np.int8:
            if self.quantized or entry.data.dtype.kind != "f":
                raise UnsupportedError(f"with {entry.data.dtype} weights")
            return entry.data.astype(np.float32), None
        if entry.scale is None or entry.zero_point is None or entry.zero_point.any():
            raise UnsupportedError("whose weights are not symmetric int8")
        channels = entry.data.shape[out_axis]
        if entry.scale.size not in (1, channels) or (
            entry.scale.size > 1 and entry.axis % 4 != out_axis
        ):
            raise UnsupportedError("whose weights are not quantized by output channel")
        scale = np.broadcast_to(entry.scale, (channels,)).astype(np.float32)
        if self.quantized:
            return entry.data, scale
        shape = [1] * 4
        shape[out_axis] = -1
        return entry.data.astype(np.float32) * scale.reshape(shape), None

    def bias(self, operator: OperatorEntry, position: int, channels: int) -> Array | None:
        """Return the bias, int32 in an int8 graph, or None where there is none."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            return None
        data = self.constant(operator.inputs[position], "bias").data
        kind = np.int32 if self.quantized else np.float32
        if data is None or data.size != channels or data.dtype != kind:
            raise UnsupportedError(f"whose bias is not {channels} of {np.dtype(kind)}")
        return data.reshape(-1).astype(kind)

    def node_name(self, index: int, suffix: str) -> str | None:
        """Return the name of the node whose constant this is, where we wrote it."""
        name = self.model.tensors[index].name
        return name.removesuffix(suffix) if name.endswith(suffix) else None

    def _unique_names(self) -> list[str]:
        taken: set[str] = set()
        names = []
        for index, entry in enumerate(self.model.tensors):
            is_io = index in self.model.inputs or index in self.model.outputs
            wish = self.model.io_names.get(index) if is_io else None
            name = wish or entry.name or f"tensor_{index}"
            name = f"{name}_{index}" if name in taken else name
            taken.add(name)
            names.append(name)
        return names


def tensor_qparams(entry: TensorEntry) -> QuantParams:
    """Return the scale and zero point of an int8 feature map."""
    if entry.dtype != np.int8 or entry.scale is None or entry.zero_point is None:
        raise UnsupportedError("with a feature map that is not int8")
    if entry.scale.size != 1 or not -128 <= entry.zero_point[0] <= 127:
        raise UnsupportedError("with a feature map quantized by channel")
    return QuantParams(float(entry.scale[0]), int(entry.zero_point[0]))
