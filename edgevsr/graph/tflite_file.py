"""Looks into a .tflite file that may be damaged or hostile: every length is bounded before a loop.

The schema module checks nothing, so whatever it raises becomes a SourceError here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgevsr.errors import EdgeVsrError, SourceError
from edgevsr.files import read_at_most
from edgevsr.graph.ir import Array

MAX_BYTES = 256 << 20
_MAX_OPERATORS = 10_000
_MAX_TENSORS = 40_000
_MAX_RANK = 6

_DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT16: np.dtype("<i2"),
    schema.TensorType.INT32: np.dtype("<i4"),
    schema.TensorType.INT64: np.dtype("<i8"),
}
_OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}


@dataclass(frozen=True)
class TensorEntry:
    """A tensor of the file; `data` is given for constants, `scale` for quantized ones.

    `dynamic` says that its signature leaves a dimension open, whatever `shape` has there.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    data: Array | None
    scale: Array | None
    zero_point: Array | None
    axis: int
    dynamic: bool = False


@dataclass(frozen=True)
class OperatorEntry:
    """An operator of the file: its builtin name, tensor indices (-1: left out) and options."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class ModelEntry:
    """What a file with one subgraph holds."""

    tensors: tuple[TensorEntry, ...]
    operators: tuple[OperatorEntry, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, bytes]
    io_names: dict[int, str]


@contextmanager
def damaged(where: str) -> Iterator[None]:
    """Turn whatever a broken file makes the parser raise into a SourceError."""
    try:
        yield
    except EdgeVsrError:
        raise
    except Exception as error:
        raise SourceError(
            f"{where}: the .tflite file is damaged ({type(error).__name__}); copy or export it "
            "again"
        ) from error


def load_tflite(source: Path | bytes, where: str) -> ModelEntry:
    """Return what `read_model` does, of a file.

    Raises:
        SourceError: the file cannot be read, or as `read_model`.
    """
    if isinstance(source, Path):
        source = read_at_most(source, MAX_BYTES, "this network", SourceError)
    return read_model(source, where)


def read_model(data: bytes, where: str) -> ModelEntry:
    """Return the tensors, operators and metadata of a .tflite file.

    Raises:
        SourceError: it is no .tflite file, damaged, too large, or has more than one subgraph.
    """
    if not 8 < len(data) <= MAX_BYTES or data[4:8] != b"TFL3":
        raise SourceError(
            f"{where}: not a .tflite file of at most {MAX_BYTES >> 20} MiB (no TFL3 mark); "
            "copy or export it again"
        )
    with damaged(where):
        return _Parser(data, where).read()


class _Parser:
    def __init__(self, data: bytes, where: str) -> None:
        self._where, self._limit = where, len(data) // 4
        self._model = schema.Model.GetRootAs(data, 0)

    def read(self) -> ModelEntry:
        model = self._model
        if model.SubgraphsLength() != 1:
            raise SourceError(
                f"{self._where}: {model.SubgraphsLength()} subgraphs; expected one without "
                "control flow"
            )
        graph = model.Subgraphs(0)
        tensors = tuple(
            self._tensor(graph.Tensors(i))
            for i in range(self._bounded(graph.TensorsLength(), _MAX_TENSORS))
        )
        operators = tuple(
            self._operator(graph.Operators(i))
            for i in range(self._bounded(graph.OperatorsLength(), _MAX_OPERATORS))
        )
        inputs, outputs = _indices(graph.InputsAsNumpy()), _indices(graph.OutputsAsNumpy())
        for indices in (inputs, outputs, *(op.inputs + op.outputs for op in operators)):
            if any(not -1 <= index < len(tensors) for index in indices):
                raise SourceError(f"{self._where}: damaged: a tensor index is out of range")
        names = self._io_names()
        return ModelEntry(tensors, operators, inputs, outputs, self._metadata(), names)

    def _bounded(self, count: int, limit: int) -> int:
        if not 0 <= count <= min(limit, self._limit):
            raise SourceError(f"{self._where}: damaged or not a mobile net ({count} entries)")
        return count

    def _tensor(self, tensor: Any) -> TensorEntry:
        shape = tuple(int(size) for size in _array(tensor.ShapeAsNumpy()))
        if len(shape) > _MAX_RANK or min(shape, default=1) < 0:
            raise SourceError(f"{self._where}: damaged: a tensor of shape {shape[:8]}")
        dtype = _DTYPES.get(tensor.Type())
        name = (tensor.Name() or b"").decode("utf-8", "replace")
        payload = self._payload(tensor.Buffer())
        data = None
        if payload is not None and dtype is not None:
            data = payload.view(dtype).reshape(shape)
        scale, zero_point, axis = _quantization(tensor.Quantization())
        dynamic = bool((_array(tensor.ShapeSignatureAsNumpy()) < 0).any())
        return TensorEntry(name, shape, dtype, data, scale, zero_point, axis, dynamic)

    def _payload(self, index: int) -> Array | None:
        """Return the bytes of a buffer, or None where it is empty."""
        if not 0 <= index < self._bounded(self._model.BuffersLength(), _MAX_TENSORS):
            raise SourceError(f"{self._where}: damaged: buffer {index} does not exist")
        values = _array(self._model.Buffers(index).DataAsNumpy())
        return np.frombuffer(values.tobytes(), np.uint8) if values.size else None

    def _operator(self, operator: Any) -> OperatorEntry:
        codes = self._bounded(self._model.OperatorCodesLength(), _MAX_OPERATORS)
        index = operator.OpcodeIndex()
        if not 0 <= index < codes:
            raise SourceError(f"{self._where}: damaged: operator code {index} does not exist")
        code = self._model.OperatorCodes(index)
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _OPERATOR_NAMES.get(builtin, f"builtin {builtin}")
        if name == "CUSTOM":
            name = f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
        options = operator.BuiltinOptions()
        return OperatorEntry(
            name,
            _indices(operator.InputsAsNumpy()),
            _indices(operator.OutputsAsNumpy()),
            options,
        )

    def _metadata(self) -> dict[str, bytes]:
        found = {}
        for i in range(self._bounded(self._model.MetadataLength(), _MAX_OPERATORS)):
            entry = self._model.Metadata(i)
            payload = self._payload(entry.Buffer())
            name = (entry.Name() or b"").decode("utf-8", "replace")
            found[name] = b"" if payload is None else payload.tobytes()
        return found

    def _io_names(self) -> dict[int, str]:
        """Return the names that the first signature gives to inputs and outputs."""
        names: dict[int, str] = {}
        if not self._bounded(self._model.SignatureDefsLength(), _MAX_OPERATORS):
            return names
        signature = self._model.SignatureDefs(0)
        for count, entry_at in (
            (signature.InputsLength(), signature.Inputs),
            (signature.OutputsLength(), signature.Outputs),
        ):
            for i in range(self._bounded(count, _MAX_TENSORS)):
                entry = entry_at(i)
                name = (entry.Name() or b"").decode("utf-8", "replace")
                if name:
                    names[int(entry.TensorIndex())] = name
        return names


def read_options(operator: OperatorEntry, kind: str) -> Any:
    """Return an operator's options as the schema's class of this name, defaults where absent."""
    options = getattr(schema, f"{kind}T")()
    if operator.options is not None:
        table = getattr(schema, kind)()
        table.Init(operator.options.Bytes, operator.options.Pos)
        options = getattr(schema, f"{kind}T").InitFromObj(table)
    return options


def _array(values: Any) -> Array:
    """Return what the schema's AsNumpy gave; it gives the number 0 for an absent vector."""
    return values if isinstance(values, np.ndarray) else np.zeros(0, np.int32)


def _indices(values: Any) -> tuple[int, ...]:
    return tuple(int(index) for index in _array(values))


def _quantization(quantization: Any) -> tuple[Array | None, Array | None, int]:
    scale = _array(quantization.ScaleAsNumpy()) if quantization is not None else np.zeros(0)
    if not scale.size:
        return None, None, 0
    if not np.isfinite(scale).all() or scale.min() <= 0:
        raise ValueError("a scale is not a positive number")
    zero = _array(quantization.ZeroPointAsNumpy()).astype(np.int64)
    if zero.size == 0:
        zero = np.zeros(1, np.int64)
    return scale.astype(np.float32), zero, int(quantization.QuantizedDimension())
