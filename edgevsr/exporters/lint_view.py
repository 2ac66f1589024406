"""A .tflite or .onnx file as the linter sees it: operators and tensors as the file has them.

Unlike the graph, it holds any operator. A QDQ .onnx is brought to what it means: an operator
between DequantizeLinear and QuantizeLinear works on int8 tensors, so these two remain only where
values really change their type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgevsr.cards import card_beside
from edgevsr.errors import SourceError
from edgevsr.graph.roles import METADATA_KEY, parse_metadata, roles_by_name

INT8 = ("int8", "uint8")
FLOAT = ("float32", "float16")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class LintTensor:
    """A tensor of the file; dimensions that are open are None. `values` counts a constant's."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str | None
    scale: float | None = None
    zero_point: int | None = None
    values: int | None = None

    @property
    def constant(self) -> bool:
        """Whether the file holds its values."""
        return self.values is not None


@dataclass(frozen=True)
class LintOperator:
    """An operator of the file with the tensors it reads and makes, by key of the view."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class LintView:
    """The file; `tensors` is by key, and `roles_in` and `roles_out` give roles to keys."""

    format: Literal["tflite", "onnx"]
    tensors: Mapping[str, LintTensor]
    operators: tuple[LintOperator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    roles_in: Mapping[str, str] = field(default_factory=dict)
    roles_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        """Whether values are 8-bit inside the file, and not at its ends alone."""
        ends = {*self.inputs, *self.outputs}
        return any(
            self.precision(each) == "int8"
            or any(self._is_code(key) for key in {*each.inputs, *each.outputs} - ends)
            for each in self.operators
        )

    def _is_code(self, key: str) -> bool:
        return not self.tensors[key].constant and self.tensors[key].dtype in INT8

    def activations(self, operator: LintOperator) -> list[LintTensor]:
        """Return the tensors at the operator that are no constants, inputs first."""
        found = [self.tensors[key] for key in (*operator.inputs, *operator.outputs)]
        return [tensor for tensor in found if not tensor.constant]

    def precision(self, operator: LintOperator) -> Literal["int8", "float", "other"]:
        """Return what the operator works in: float as soon as one activation is float."""
        dtypes = {tensor.dtype for tensor in self.activations(operator)}
        if dtypes & set(FLOAT):
            return "float"
        return "int8" if dtypes & set(INT8) else "other"


def view_of(path: Path) -> LintView:
    """Return what a .tflite or .onnx file holds, whoever wrote it.

    Raises:
        SourceError: it is neither, damaged, or beyond what is read here.
    """
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        return _from_tflite(path)
    if suffix == ".onnx":
        from edgevsr.exporters.lint_onnx import view_of_onnx

        return view_of_onnx(path)
    raise SourceError(f"{path}: lint reads .tflite and .onnx files; export the net to one of them")


def roles_of(
    path: Path, metadata: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return roles by name, from the file's metadata, else its card, else the names."""
    roles_in, roles_out = roles_by_name(inputs, outputs)
    card = card_beside(path) or {}
    for names, key, roles in ((inputs, "inputs", roles_in), (outputs, "outputs", roles_out)):
        entries = card.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") in names:
                roles[str(entry["name"])] = str(entry.get("role"))
        declared = metadata.get("roles")
        if isinstance(declared, dict):
            roles |= {name: str(declared[name]) for name in names if name in declared}
    return roles_in, roles_out


def _from_tflite(path: Path) -> LintView:
    from edgevsr.graph.tflite_file import TensorEntry, load_tflite

    model = load_tflite(path, str(path))
    made = Counter(index for operator in model.operators for index in operator.outputs)
    given = {*made, *model.inputs}

    def tensor(index: int, entry: TensorEntry) -> LintTensor:
        scale = None if entry.scale is None or entry.scale.size != 1 else float(entry.scale[0])
        zero = None if scale is None or entry.zero_point is None else int(entry.zero_point[0])
        shape: tuple[int | None, ...] = entry.shape
        if entry.dynamic:
            shape = (None, *shape[1:])
        values = None if index in given else int(np.prod(entry.shape, dtype=np.int64))
        dtype = None if entry.dtype is None else entry.dtype.name
        return LintTensor(entry.name or f"#{index}", shape, dtype, scale, zero, values)

    tensors = {str(index): tensor(index, entry) for index, entry in enumerate(model.tensors)}
    operators = tuple(
        LintOperator(each.name, _keys(each.inputs), _keys(each.outputs)) for each in model.operators
    )
    inputs, outputs = _keys(model.inputs), _keys(model.outputs)

    def name(key: str) -> str:
        return model.io_names.get(int(key)) or tensors[key].name

    metadata = parse_metadata(model.metadata.get(METADATA_KEY, b"{}"))
    by_name = roles_of(path, metadata, [*map(name, inputs)], [*map(name, outputs)])
    roles_in = {key: by_name[0].get(name(key), "") for key in inputs}
    roles_out = {key: by_name[1].get(name(key), "") for key in outputs}
    return LintView("tflite", tensors, operators, inputs, outputs, roles_in, roles_out)


def _keys(indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(index) for index in indices if index >= 0)
