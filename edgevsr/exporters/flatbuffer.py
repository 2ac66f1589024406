"""Assembles a .tflite file, table by table, with LiteRT's own schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgevsr.graph.ir import Array

FILE_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
# Runtimes map weights straight from the file and read them with vector instructions.
_ALIGNMENT = 16

_DTYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int32): schema.TensorType.INT32,
}


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose bytes start at a multiple of 16, as the schema demands."""

    def __init__(self, payload: bytes) -> None:
        super().__init__()
        self.payload = payload

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the schema's name
        count = len(self.payload)
        builder.StartVector(1, count, _ALIGNMENT)
        builder.head -= count
        builder.Bytes[builder.head : builder.head + count] = self.payload
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class TfliteFile:
    """A model with one subgraph; the same calls give the same bytes."""

    def __init__(self, description: str) -> None:
        self._graph = schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._model = schema.ModelT()
        self._model.version = _SCHEMA_VERSION
        self._model.description = description.encode()
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes, self._model.metadata = [], []
        self._model.subgraphs = [self._graph]
        self._codes: dict[tuple[int, int], int] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        data: Array | None = None,
        scale: Any = None,
        zero_point: int = 0,
        axis: int = 0,
    ) -> int:
        """Add a tensor (a constant where `data` is given) and return its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), [int(size) for size in shape]
        tensor.type, tensor.buffer = _DTYPES[np.dtype(dtype)], 0
        if data is not None:
            little = np.ascontiguousarray(data).astype(np.dtype(dtype).newbyteorder("<"))
            tensor.buffer = self._buffer(little.tobytes())
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            quantization.zeroPoint = np.full(quantization.scale.shape, zero_point, np.int64)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self,
        name: str,
        version: int,
        inputs: Sequence[int],
        output: int,
        options: Any = None,
    ) -> None:
        """Add an operator by its builtin name, such as CONV_2D."""
        code = getattr(schema.BuiltinOperator, name)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._operator_code(code, version)
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self._graph.operators.append(operator)

    def metadata(self, name: str, payload: bytes) -> None:
        """Add named bytes that runtimes carry and do not read."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self._buffer(payload)
        self._model.metadata.append(entry)

    def finish(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """Return the file, with a default signature under these names."""
        self._graph.inputs = list(inputs.values())
        self._graph.outputs = list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.subgraphIndex = 0
        signature.inputs = [_tensor_map(*item) for item in inputs.items()]
        signature.outputs = [_tensor_map(*item) for item in outputs.items()]
        self._model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self._model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _buffer(self, payload: bytes) -> int:
        self._model.buffers.append(_AlignedBuffer(payload))
        return len(self._model.buffers) - 1

    def _operator_code(self, code: int, version: int) -> int:
        if (code, version) not in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.version = code, version
            entry.deprecatedBuiltinCode = min(code, 127)
            self._codes[code, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(entry)
        return self._codes[code, version]


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry
