"""Reads QuantizeLinear and DequantizeLinear: scales of tensors, codes of constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgevsr.graph.ir import Array, QuantParams
from edgevsr.graph.onnx_constants import QuantizedConstant, quantize_constant
from edgevsr.graph.onnx_reader import Reader

Attrs = Mapping[str, Any]


def _quantization(reader: Reader, proto: Any, attrs: Attrs) -> tuple[Array, Array, int] | None:
    """Return scale, zero point and axis of a (De)QuantizeLinear node."""
    scale = reader.floats(proto, 1, "scale")
    has_zero = len(proto.input) > 2 and proto.input[2]
    zero = reader.constants.get(proto.input[2]) if has_zero else np.zeros((), np.uint8)
    if scale is None or zero is None:
        reader.problem(proto, "without a constant scale and zero point")
        return None
    if scale.size == 0 or scale.min() <= 0 or zero.size not in (1, scale.size):
        reader.problem(proto, "with a scale that is not positive")
        return None
    return scale, zero, int(attrs.get("axis", 1))


def quantize(reader: Reader, proto: Any, attrs: Attrs) -> None:
    read = _quantization(reader, proto, attrs)
    if read is None:
        return
    scale, zero, axis = read
    values = reader.constants.get(proto.input[0])
    if zero.dtype == np.int16 and values is None and scale.size == 1:
        _int16(reader, proto, float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]))
        return
    if zero.dtype not in (np.int8, np.uint8):
        reader.problem(proto, f"to {zero.dtype}: expected int8, uint8, or int16 for activations")
        return
    if values is not None:
        constant = quantize_constant(values, scale, zero, axis)
        reader.quantized_constants[proto.output[0]] = constant
        return
    if scale.size != 1:
        reader.problem(proto, "of an activation with a scale a channel: expected one scale")
        return
    tensor = reader.tensor(proto.input[0])
    code = int(zero.reshape(-1)[0]) - (128 if zero.dtype == np.uint8 else 0)
    reader.set_qparams(proto, tensor, QuantParams(float(scale.reshape(-1)[0]), code))
    reader.aliases[proto.output[0]] = tensor


def _int16(reader: Reader, proto: Any, scale: float, zero_point: int) -> None:
    """Note an int16 activation's scale; in the graph it is float."""
    tensor = reader.tensor(proto.input[0])
    if zero_point:
        reader.problem(proto, f"to int16 with zero point {zero_point}: expected 0")
    if reader.int16.setdefault(tensor, scale) != scale:
        reader.problem(proto, f"gives {tensor!r} a second scale")
    reader.aliases[proto.output[0]] = tensor


def dequantize(reader: Reader, proto: Any, attrs: Attrs) -> None:
    name, output = proto.input[0], proto.output[0]
    if name in reader.quantized_constants:
        reader.quantized_constants[output] = reader.quantized_constants[name]
        return
    if name not in reader.constants:
        reader.aliases[output] = reader.tensor(name)
        return
    codes = reader.constants[name]
    has_zero = len(proto.input) > 2 and proto.input[2]
    scale = reader.floats(proto, 1, "scale")
    zero = reader.constants.get(proto.input[2]) if has_zero else np.zeros((), codes.dtype)
    axis = int(attrs.get("axis", 1))
    known = codes.dtype in (np.int8, np.uint8, np.int32)
    if not known or scale is None or zero is None or scale.size == 0 or scale.min() <= 0:
        reader.problem(proto, f"of {codes.dtype} constants")
        return
    by_axis = codes.ndim and -codes.ndim <= axis < codes.ndim and codes.shape[axis] == scale.size
    if (scale.size > 1 and not by_axis) or zero.size not in (1, scale.size):
        reader.problem(proto, f"with {scale.size} scales over axis {axis} of {list(codes.shape)}")
        return
    reader.quantized_constants[output] = QuantizedConstant(codes, scale, zero, axis)
