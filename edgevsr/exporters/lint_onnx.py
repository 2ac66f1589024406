"""A .onnx file as the linter sees it: QuantizeLinear and DequantizeLinear folded into tensors."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, numpy_helper

from edgevsr.errors import SourceError
from edgevsr.exporters.lint_view import LintOperator, LintTensor, LintView, roles_of
from edgevsr.graph.from_onnx import load_onnx
from edgevsr.graph.roles import METADATA_KEY, parse_metadata

_DTYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}
_MAX_SCALE_BYTES = 1 << 20


def view_of_onnx(path: Path) -> LintView:
    """Return what an ONNX file holds, whoever wrote it.

    Raises:
        SourceError: it is no ONNX file, damaged, or beyond what is read here.
    """
    model = load_onnx(path, str(path))
    try:
        return _Folder(model).view(path, model)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise SourceError(
            f"{path}: the .onnx file is damaged ({type(error).__name__}); export or copy it again"
        ) from error


class _Folder:
    """Gathers operators and tensors; `same` maps a value to the tensor that it is."""

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.initializers = {each.name: each for each in self.graph.initializer}
        self.outputs = tuple(value.name for value in self.graph.output)
        self.inputs = tuple(
            value.name for value in self.graph.input if value.name not in self.initializers
        )
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.uses.update(self.outputs)
        self.same: dict[str, str] = {}
        self.tensors: dict[str, LintTensor] = {}
        self.dropped: set[int] = set()

    def view(self, path: Path, model: Any) -> LintView:
        """Return the folded view."""
        self._declare(_inferred(model))
        for position, node in enumerate(self.graph.node):
            if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.output:
                self._fold(position, node)
        for position, node in enumerate(self.graph.node):
            if node.op_type == "Relu" and node.input and node.output:
                self._drop_relu(position, node)
        operators = []
        for position, node in enumerate(self.graph.node):
            if position in self.dropped:
                continue
            standard = node.domain in ("", "ai.onnx")
            name = node.op_type if standard else f"{node.domain}.{node.op_type}"
            if node.op_type != "Constant":
                operators.append(
                    LintOperator(name, self._keys(node.input), self._keys(node.output))
                )
        text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), "{}")
        roles = roles_of(path, parse_metadata(text), self.inputs, self.outputs)
        return LintView(
            "onnx", self.tensors, tuple(operators), self._keys(self.inputs),
            self._keys(self.outputs), *roles,
        )  # fmt: skip

    def _declare(self, values: list[Any]) -> None:
        for value in values:
            kind = value.type.tensor_type
            shape: tuple[int | None, ...] | None = None
            if kind.HasField("shape"):
                shape = tuple(
                    dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
                    for dim in kind.shape.dim
                )
            self.tensors[value.name] = LintTensor(value.name, shape, _DTYPES.get(kind.elem_type))
        for name, each in self.initializers.items():
            self.tensors[name] = _constant(name, tuple(each.dims), each.data_type)
        for node in self.graph.node:
            fixed = bool(node.input) and all(self._is_constant(n) for n in node.input if n)
            if node.op_type == "Constant" or fixed:
                for name in node.output:
                    self.tensors[name] = LintTensor(name, None, None, values=0)
            for name in (*node.input, *node.output):
                if name and name not in self.tensors:
                    self.tensors[name] = LintTensor(name, None, "float32")

    def _is_constant(self, name: str) -> bool:
        return name in self.tensors and self.tensors[name].constant

    def _fold(self, position: int, node: Any) -> None:
        """Make a value and its quantized form one tensor, unless it crosses the file's border."""
        source, made = node.input[0], node.output[0]
        if self._is_constant(source):
            values = self.tensors[source].values
            self.tensors[made] = replace(self.tensors[made], values=values)
            self.dropped.add(position)
            return
        scale, zero_point, dtype = self._parameters(node)
        if node.op_type == "DequantizeLinear":
            key = self._key(source)
            self._set(key, scale, zero_point, dtype)
            if made not in self.outputs:
                self.same[made] = key
                self.dropped.add(position)
            return
        self._set(made, scale, zero_point, dtype)
        if source in self.same:  # an operator that only moves codes needs no new ones
            before = self.tensors[self._key(source)]
            if (before.scale, before.zero_point) == (scale, zero_point):
                self.same[made] = self._key(source)
                self.dropped.add(position)
        elif source not in self.inputs and self.uses[source] == 1:
            self.same[source] = made
            self.dropped.add(position)

    def _drop_relu(self, position: int, node: Any) -> None:
        """Leave out a ReLU that quantization does anyway: the lowest code stands for zero."""
        source, made = node.input[0], self.tensors[self._key(node.output[0])]
        lowest = {"int8": -128, "uint8": 0}.get(made.dtype or "")
        inside = source not in self.inputs and source not in self.same and self.uses[source] == 1
        if inside and made.zero_point is not None and made.zero_point == lowest:
            self.same[source] = self._key(node.output[0])
            self.dropped.add(position)

    def _set(self, key: str, scale: float | None, zero: int | None, dtype: str) -> None:
        old = self.tensors[key]
        shape = old.shape
        self.tensors[key] = LintTensor(old.name, shape, dtype, scale, zero)

    def _parameters(self, node: Any) -> tuple[float | None, int | None, str]:
        """Return scale, zero point and type, where one scale stands for the whole tensor."""
        scale, zero = (self._number(node, at) for at in (1, 2))
        dtype = "uint8"
        if len(node.input) > 2 and node.input[2]:
            dtype = self.tensors[node.input[2]].dtype or dtype
        return scale, 0 if zero is None else int(zero), dtype

    def _number(self, node: Any, at: int) -> float | None:
        name = node.input[at] if at < len(node.input) else ""
        proto = self.initializers.get(name)
        if proto is None or math.prod(proto.dims) != 1 or proto.ByteSize() > _MAX_SCALE_BYTES:
            return None
        return float(numpy_helper.to_array(proto).reshape(-1)[0])

    def _key(self, name: str) -> str:
        seen = set()
        while name in self.same and name not in seen:
            seen.add(name)
            name = self.same[name]
        return name

    def _keys(self, names: Any) -> tuple[str, ...]:
        return tuple(self._key(name) for name in names if name)


def _constant(name: str, dims: tuple[int, ...], kind: int) -> LintTensor:
    if min(dims, default=1) < 0 or len(dims) > 8:
        raise ValueError("a constant of negative size")
    return LintTensor(name, dims, _DTYPES.get(kind), values=math.prod(dims))


def _inferred(model: Any) -> list[Any]:
    """Return what the file and shape inference say of its values."""
    with contextlib.suppress(Exception):  # a file beyond inference still holds its operators
        model = onnx.shape_inference.infer_shapes(model)
    graph = model.graph
    return [*graph.value_info, *graph.input, *graph.output]
