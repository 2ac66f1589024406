"""Constants of an ONNX file: initializers, Constant nodes and what is computed of them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from edgevsr.errors import SourceError
from edgevsr.graph.ir import Array

_MAX_ELEMENTS = 1 << 26
_CASTS = {TensorProto.FLOAT: np.float32, TensorProto.INT64: np.int64, TensorProto.INT32: np.int32}

#: Operators that are computed at once when all they read is constant.
FOLDED = (
    "Constant",
    "Identity",
    "Reshape",
    "Unsqueeze",
    "Squeeze",
    "Transpose",
    "Cast",
    "Concat",
)


@dataclass(frozen=True)
class QuantizedConstant:
    """Integer codes with a scale and a zero point, one for all or one an index of `axis`."""

    codes: Array
    scale: Array
    zero_point: Array
    axis: int

    def real(self) -> Array:
        """Return the float64 values that the codes stand for."""
        shape = [1] * self.codes.ndim
        if self.scale.size > 1:
            shape[self.axis] = -1
        scale = self.scale.astype(np.float64).reshape(shape)
        return (self.codes.astype(np.float64) - self.zero_point.reshape(shape)) * scale


def tensor_values(tensor: Any, where: str) -> Array:
    """Return the values of an ONNX tensor; float16 and float64 become float32.

    Raises:
        SourceError: the values lie in another file, are damaged or are too many.
    """
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise SourceError(
            f"{where}: {tensor.name!r} keeps its values in another file; save the model as one "
            "file: onnx.save(onnx.load(FILE), FILE, save_as_external_data=False)"
        )
    count = 1
    for size in tensor.dims:
        count *= max(int(size), 0)
    if count > _MAX_ELEMENTS or min(tensor.dims, default=0) < 0:
        raise SourceError(f"{where}: {tensor.name!r} has an unlikely shape {list(tensor.dims)[:8]}")
    try:
        values = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise SourceError(f"{where}: {tensor.name!r} is damaged ({error})") from error
    return values.astype(np.float32) if values.dtype in (np.float16, np.float64) else values


def fold(op: str, inputs: Sequence[Array], attrs: Mapping[str, Any], where: str) -> Array | None:
    """Return the value of an operator of FOLDED on constants, or None where it has none."""
    try:
        return _fold(op, inputs, attrs, where)
    except (ValueError, TypeError, IndexError, KeyError):
        return None


def _fold(op: str, inputs: Sequence[Array], attrs: Mapping[str, Any], where: str) -> Array | None:
    if op == "Constant":
        return _constant_value(attrs, where)
    values = inputs[0]
    match op:
        case "Identity":
            return values
        case "Reshape":
            shape = [int(n) for n in inputs[1].reshape(-1)]
            filled = [values.shape[i] if n == 0 else n for i, n in enumerate(shape)]
            return values.reshape(filled)
        case "Transpose":
            return values.transpose(attrs.get("perm"))
        case "Cast":
            return values.astype(_CASTS[attrs["to"]])
        case "Concat":
            return np.concatenate(inputs, axis=attrs["axis"])
    listed = inputs[1].reshape(-1).tolist() if len(inputs) > 1 else attrs.get("axes")
    axes = None if listed is None else tuple(int(axis) for axis in listed)
    return values.squeeze(axes) if op == "Squeeze" else np.expand_dims(values, axes or ())


def _constant_value(attrs: Mapping[str, Any], where: str) -> Array | None:
    if "value" in attrs:
        return tensor_values(attrs["value"], where)
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if key in attrs:
            return np.array(attrs[key], dtype)
    for key in ("value_int", "value_ints"):
        if key in attrs:
            return np.array(attrs[key], np.int64)
    return None


def quantize_constant(
    values: Array, scale: Array, zero_point: Array, axis: int
) -> QuantizedConstant:
    """Return what QuantizeLinear makes of constant values: nearest, ties to even, saturated."""
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    limits = np.iinfo(zero_point.dtype)
    codes = np.rint(values / scale.reshape(shape)) + zero_point.astype(np.int64).reshape(shape)
    return QuantizedConstant(
        np.clip(codes, limits.min, limits.max).astype(zero_point.dtype), scale, zero_point, axis
    )
