"""One function an ONNX operator: checks attributes first, then adds the graph's node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgevsr.graph.ir import Array
from edgevsr.graph.onnx_constants import QuantizedConstant
from edgevsr.graph.onnx_convolutions import (
    add_affine,
    batch_normalization,
    conv,
    transpose_conv,
)
from edgevsr.graph.onnx_quantization import dequantize, quantize
from edgevsr.graph.onnx_reader import Reader

Attrs = Mapping[str, Any]


def _identity(reader: Reader, proto: Any, attrs: Attrs) -> None:
    reader.aliases[proto.output[0]] = reader.tensor(proto.input[0])


def _relu(reader: Reader, proto: Any, attrs: Attrs) -> None:
    source = reader.tensor(proto.input[0])
    reader.add_node(proto, "relu", [source], reader.tensors[source].channels)


def _leaky_relu(reader: Reader, proto: Any, attrs: Attrs) -> None:
    _add_leaky_relu(reader, proto, float(attrs.get("alpha", 0.01)))


def _add_leaky_relu(reader: Reader, proto: Any, slope: float) -> None:
    if not np.isfinite(slope):
        reader.problem(proto, f"with slope {slope}")
        return
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels
    reader.add_node(proto, "leaky_relu", [source], channels, attrs={"slope": slope})


def _prelu(reader: Reader, proto: Any, attrs: Attrs) -> None:
    slopes = reader.floats(proto, 1, "slope")
    if slopes is None:
        return
    if slopes.size == 1:
        _add_leaky_relu(reader, proto, float(slopes.reshape(-1)[0]))
        return
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels
    by_channel = slopes.ndim >= 3 and slopes.shape[-3] == slopes.size
    if slopes.size != channels or not (by_channel or (slopes.ndim == 1 and reader.opset < 7)):
        reader.problem(proto, f"with slopes {list(slopes.shape)}: expected one a channel")
        return
    quantized = reader.quantized_constants.get(proto.input[1])
    weight: Array = slopes.reshape(-1)
    scale = None
    if reader.quantized and quantized is not None and _one_scale_int8(quantized):
        weight = quantized.codes.reshape(-1)
        scale = quantized.scale.reshape(-1).astype(np.float32)
    reader.add_node(proto, "prelu", [source], channels, weight=weight, weight_scale=scale)


def _one_scale_int8(constant: QuantizedConstant) -> bool:
    symmetric = not constant.zero_point.any()
    return symmetric and constant.codes.dtype == np.int8 and constant.scale.size == 1


def _add(reader: Reader, proto: Any, attrs: Attrs) -> None:
    constants = [i for i, name in enumerate(proto.input) if reader.constant(name) is not None]
    if constants:
        _affine_by_constant(reader, proto, constants[0])
        return
    first, second = (reader.tensor(name) for name in proto.input)
    if reader.tensors[first].channels < reader.tensors[second].channels:
        first, second = second, first
    wide, narrow = reader.tensors[first], reader.tensors[second]
    if wide.factor != narrow.factor or narrow.channels not in (1, wide.channels):
        reader.problem(proto, f"of {wide.channels} and {narrow.channels} channels: shapes differ")
        return
    reader.add_node(proto, "add", [first, second], wide.channels)


def _affine_by_constant(reader: Reader, proto: Any, index: int) -> None:
    """Read Add, Sub, Mul or Div by a constant as a scale and a shift of every channel."""
    values = reader.floats(proto, index, "operand")
    if values is None:
        return
    op, other = proto.op_type, proto.input[1 - index]
    source = reader.tensor(other)
    channels = reader.tensors[source].channels
    by_channel = values.ndim >= 3 and values.shape[-3] == values.size == channels
    if values.size != 1 and not by_channel:
        reader.problem(proto, f"by a constant {list(values.shape)}: expected one value a channel")
        return
    value = np.broadcast_to(values.reshape(-1).astype(np.float64), (channels,))
    if op == "Div" and (index == 0 or not value.all()):
        reader.problem(proto, "by zero or of a constant by a tensor")
        return
    scale, shift = {
        "Add": (np.ones(channels), value),
        "Sub": (np.ones(channels), -value) if index == 1 else (-np.ones(channels), value),
        "Mul": (value, np.zeros(channels)),
        "Div": (1 / value if op == "Div" else value, np.zeros(channels)),
    }[op]
    add_affine(reader, proto, other, scale, shift)


def _scale_by_constant(reader: Reader, proto: Any, attrs: Attrs) -> None:
    constants = [i for i, name in enumerate(proto.input) if reader.constant(name) is not None]
    if constants:
        _affine_by_constant(reader, proto, constants[0])
    elif proto.op_type == "Mul":
        _mul(reader, proto)
    else:
        reader.problem(proto, "of two tensors")


def _mul(reader: Reader, proto: Any) -> None:
    sources = [reader.tensor(name) for name in proto.input]
    first, second = (reader.tensors[name] for name in sources)
    if first != second:
        reader.problem(proto, f"of {first.channels} and {second.channels} channels: shapes differ")
        return
    reader.add_node(proto, "mul", sources, first.channels)


def _concat(reader: Reader, proto: Any, attrs: Attrs) -> None:
    if attrs.get("axis") not in (1, -3):
        reader.problem(proto, f"over axis {attrs.get('axis')}: expected 1 (channels)")
        return
    sources = [reader.tensor(name) for name in proto.input]
    specs = [reader.tensors[name] for name in sources]
    if not specs or len({spec.factor for spec in specs}) != 1:
        reader.problem(proto, "of tensors of different sizes")
        return
    reader.add_node(proto, "concat", sources, sum(spec.channels for spec in specs))


def _depth_to_space(reader: Reader, proto: Any, attrs: Attrs) -> None:
    block = int(attrs.get("blocksize", 0))
    if not 1 < block <= 16:
        reader.problem(proto, f"with blocksize {block}: expected 2 to 16")
        return
    source = reader.tensor(proto.input[0])
    channels, rest = divmod(reader.tensors[source].channels, block**2)
    if rest or not channels:
        reader.problem(proto, f"of {reader.tensors[source].channels} channels by {block}")
        return
    marks = {"crd": True} if attrs.get("mode", "DCR") == "CRD" and channels > 1 else {}
    attrs = {"block": block, **marks}
    reader.add_node(proto, "depth_to_space", [source], channels, (block, 1), attrs=attrs)


def _space_to_depth(reader: Reader, proto: Any, attrs: Attrs) -> None:
    block = int(attrs.get("blocksize", 0))
    if not 1 < block <= 16:
        reader.problem(proto, f"with blocksize {block}: expected 2 to 16")
        return
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels * block**2
    reader.add_node(proto, "space_to_depth", [source], channels, (1, block), attrs={"block": block})


def _resize(reader: Reader, proto: Any, attrs: Attrs) -> None:
    index = 2 if reader.opset >= 11 and proto.op_type == "Resize" else 1
    scales = np.asarray(attrs.get("scales", ()), np.float32)
    if index < len(proto.input) and proto.input[index]:
        read = reader.floats(proto, index, "scales")
        if read is None:
            return
        scales = read
    rule = (
        attrs.get("coordinate_transformation_mode", "half_pixel" if index == 2 else "asymmetric"),
        attrs.get("nearest_mode", "round_prefer_floor" if index == 2 else "floor"),
    )
    exact = rule == ("asymmetric", "floor") or (
        rule[0] in ("half_pixel", "pytorch_half_pixel") and rule[1].startswith("round_prefer")
    )
    if attrs.get("mode", "nearest") != "nearest" or not exact:
        reader.problem(proto, f"with mode {attrs.get('mode', 'nearest')} {rule}: expected nearest")
        return
    factors = scales.reshape(-1).tolist()
    whole = len(factors) == 4 and factors[:2] == [1, 1] and factors[2] == factors[3]
    if not whole or factors[2] != int(factors[2]) or not 1 < factors[2] <= 16:
        reader.problem(
            proto,
            f"by {factors or 'a size'}: expected a constant whole scale, such as "
            "nn.Upsample(scale_factor=2)",
        )
        return
    factor = int(factors[2])
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels
    reader.add_node(
        proto, "resize_nearest", [source], channels, (factor, 1), attrs={"factor": factor}
    )


def _clip(reader: Reader, proto: Any, attrs: Attrs) -> None:
    bounds = [attrs.get("min", -np.inf), attrs.get("max", np.inf)]
    for i in (1, 2):
        if i < len(proto.input) and proto.input[i]:
            values = reader.constant(proto.input[i])
            if values is None or values.size != 1:
                reader.problem(proto, f"whose bound {proto.input[i]!r} is not a constant")
                return
            bounds[i - 1] = float(values.reshape(-1)[0])
    low, high = float(bounds[0]), float(bounds[1])
    if not low < high:
        reader.problem(proto, f"with bounds {low} and {high}")
        return
    if (low, high) == (0.0, np.inf):
        _relu(reader, proto, attrs)
        return
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels
    reader.add_node(proto, "clip", [source], channels, attrs={"low": low, "high": high})


OPERATORS: Mapping[str, Callable[[Reader, Any, Attrs], None]] = {
    "Identity": _identity,
    "Dropout": _identity,
    "Conv": conv,
    "ConvTranspose": transpose_conv,
    "BatchNormalization": batch_normalization,
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Add": _add,
    "Sub": _scale_by_constant,
    "Mul": _scale_by_constant,
    "Div": _scale_by_constant,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Upsample": _resize,
    "Clip": _clip,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
}
