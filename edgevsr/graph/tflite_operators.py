"""One function an operator of a .tflite file that is not a convolution, and the table of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgevsr.graph.ir import Array
from edgevsr.graph.quantize_int import quantize_slopes
from edgevsr.graph.tflite_convolutions import conv2d, depthwise_conv2d, transpose_conv
from edgevsr.graph.tflite_file import OperatorEntry, TensorEntry, read_options
from edgevsr.graph.tflite_reader import TfliteReader, UnsupportedError, tensor_qparams

_CLIPS = {"RELU6": (0.0, 6.0), "RELU_0_TO_1": (0.0, 1.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def _relu(reader: TfliteReader, operator: OperatorEntry) -> None:
    source = reader.source(operator.inputs[0])
    reader.add_node(operator, "relu", [source], reader.tensors[source].channels)


def _leaky_relu(reader: TfliteReader, operator: OperatorEntry) -> None:
    slope = float(read_options(operator, "LeakyReluOptions").alpha)
    if not np.isfinite(slope):
        raise UnsupportedError(f"with slope {slope}")
    source = reader.source(operator.inputs[0])
    channels = reader.tensors[source].channels
    reader.add_node(operator, "leaky_relu", [source], channels, attrs={"slope": slope})


def _prelu(reader: TfliteReader, operator: OperatorEntry) -> None:
    entry = reader.constant(operator.inputs[1], "slope")
    assert entry.data is not None
    source = reader.source(operator.inputs[0])
    channels = reader.tensors[source].channels
    if entry.data.size != channels or (entry.shape and entry.shape[-1] != channels):
        raise UnsupportedError(f"with slopes {list(entry.shape)}: expected one a channel")
    slopes: Array = entry.data.reshape(-1)
    scale = None
    if reader.quantized:
        if slopes.dtype != np.int8 or entry.scale is None or entry.zero_point is None:
            raise UnsupportedError("whose slopes are not int8")
        slopes, scale = _symmetric_slopes(slopes, entry.scale, entry.zero_point)
    reader.add_node(
        operator,
        "prelu",
        [source],
        channels,
        name=reader.node_name(operator.inputs[1], "/slope"),
        weight=slopes if reader.quantized else slopes.astype(np.float32),
        weight_scale=scale,
    )


def _symmetric_slopes(codes: Array, scale: Array, zero: Array) -> tuple[Array, Array]:
    """Return slope codes with zero point 0; they are rounded anew only where they do not fit."""
    centred = codes.astype(np.int64) - zero
    if np.abs(centred).max() <= 127 and scale.size == 1:
        return centred.astype(np.int8), scale.astype(np.float32)
    return quantize_slopes(centred * scale.astype(np.float64))


def _add(reader: TfliteReader, operator: OperatorEntry) -> None:
    options = read_options(operator, "AddOptions")
    first, second = (reader.source(index) for index in operator.inputs)
    if reader.tensors[first].channels < reader.tensors[second].channels:
        first, second = second, first
    wide, narrow = reader.tensors[first], reader.tensors[second]
    if wide.factor != narrow.factor or narrow.channels not in (1, wide.channels):
        raise UnsupportedError(f"of {wide.channels} and {narrow.channels} channels: shapes differ")
    activation = options.fusedActivationFunction
    reader.add_node(operator, "add", [first, second], wide.channels, activation=activation)


def _mul(reader: TfliteReader, operator: OperatorEntry) -> None:
    options = read_options(operator, "MulOptions")
    sources = [reader.source(index) for index in operator.inputs]
    first, second = (reader.tensors[name] for name in sources)
    if first != second:
        raise UnsupportedError(f"of {first.channels} and {second.channels} channels: shapes differ")
    activation = options.fusedActivationFunction
    reader.add_node(operator, "mul", sources, first.channels, activation=activation)


def _concat(reader: TfliteReader, operator: OperatorEntry) -> None:
    options = read_options(operator, "ConcatenationOptions")
    if options.axis not in (3, -1):
        raise UnsupportedError(f"over axis {options.axis}: expected 3 (channels)")
    sources = [reader.source(index) for index in operator.inputs]
    specs = [reader.tensors[name] for name in sources]
    if len({spec.factor for spec in specs}) != 1:
        raise UnsupportedError("of tensors of different sizes")
    channels = sum(spec.channels for spec in specs)
    activation = options.fusedActivationFunction
    reader.add_node(operator, "concat", sources, channels, activation=activation)


def _depth_to_space(reader: TfliteReader, operator: OperatorEntry) -> None:
    block = int(read_options(operator, "DepthToSpaceOptions").blockSize)
    source = reader.source(operator.inputs[0])
    if not 1 < block <= 16 or reader.tensors[source].channels % block**2:
        raise UnsupportedError(f"by {block} of {reader.tensors[source].channels} channels")
    channels = reader.tensors[source].channels // block**2
    attrs = {"block": block}
    reader.add_node(operator, "depth_to_space", [source], channels, (block, 1), attrs=attrs)


def _space_to_depth(reader: TfliteReader, operator: OperatorEntry) -> None:
    block = int(read_options(operator, "SpaceToDepthOptions").blockSize)
    source = reader.source(operator.inputs[0])
    if not 1 < block <= 16:
        raise UnsupportedError(f"by {block}")
    channels = reader.tensors[source].channels * block**2
    attrs = {"block": block}
    reader.add_node(operator, "space_to_depth", [source], channels, (1, block), attrs=attrs)


def _resize_nearest(reader: TfliteReader, operator: OperatorEntry) -> None:
    options = read_options(operator, "ResizeNearestNeighborOptions")
    source = reader.source(operator.inputs[0])
    size = reader.constant(operator.inputs[1], "size").data
    before = reader.model.tensors[operator.inputs[0]].shape
    if options.alignCorners or size is None or size.size != 2 or len(before) != 4:
        raise UnsupportedError("with align_corners or without a constant size")
    (height, rest_h), (width, rest_w) = (
        divmod(int(after), max(size_before, 1))
        for after, size_before in zip(size.reshape(-1), before[1:3], strict=True)
    )
    if rest_h or rest_w or height != width or not 1 < height <= 16:
        raise UnsupportedError("to a size that is no whole multiple")
    channels, attrs = reader.tensors[source].channels, {"factor": height}
    name = reader.node_name(operator.inputs[1], "/size")
    reader.add_node(
        operator, "resize_nearest", [source], channels, (height, 1), name=name, attrs=attrs
    )


def _clip(reader: TfliteReader, operator: OperatorEntry) -> None:
    low, high = _CLIPS[operator.name]
    source = reader.source(operator.inputs[0])
    channels = reader.tensors[source].channels
    reader.add_node(operator, "clip", [source], channels, attrs={"low": low, "high": high})


def _bound(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Read MAXIMUM or MINIMUM with a constant; a pair of them becomes one clip."""
    source = reader.source(operator.inputs[0])
    entry = reader.constant(operator.inputs[1], "bound")
    assert entry.data is not None
    if entry.data.size != 1:
        raise UnsupportedError(f"with bounds of shape {list(entry.shape)}: expected one")
    value = float(entry.data.reshape(-1)[0])
    if reader.quantized:
        value = float(tensor_qparams(entry).dequantize(entry.data.reshape(-1))[0])
    side = "low" if operator.name == "MAXIMUM" else "high"
    bounds = {"low": -np.inf, "high": np.inf, side: value}
    name = reader.node_name(operator.inputs[1], f"/{side}")
    last = reader.nodes[-1] if reader.nodes else None
    uses = sum(op.inputs.count(operator.inputs[0]) for op in reader.model.operators)
    channels = reader.tensors[source].channels
    alone = uses == 1 and operator.inputs[0] not in reader.model.outputs
    pair = last is not None and last.op == "clip" and last.output == source and side == "high"
    if last is not None and pair and alone and last.attrs["high"] == np.inf:
        reader.nodes.pop()
        del reader.tensors[source]
        reader.qparams.pop(source, None)
        bounds["low"], source = last.attrs["low"], last.inputs[0]
    reader.add_node(operator, "clip", [source], channels, name=name, attrs=bounds)


def _quantize(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Read a conversion: at an end of the file, or before an operator that moves codes."""
    index, made = operator.inputs[0], operator.outputs[0]
    source = reader.source(index)
    before, after = reader.model.tensors[index], reader.model.tensors[made]
    if index in reader.model.inputs and after.dtype == np.int8 and before.dtype != np.int8:
        _check_uint8(before, after)
        reader.io = "uint8" if before.dtype == np.uint8 else "float"
        reader.qparams[source] = tensor_qparams(after)
        reader.aliases[made] = source
    elif made in reader.model.outputs and before.dtype == np.int8 and after.dtype == np.uint8:
        _check_uint8(after, before)
        reader.io = "uint8"
        reader.aliases[made] = source
    elif before.dtype == after.dtype == np.int8 and _feeds_pass_through(reader, made):
        reader.aliases[made] = source
    else:
        raise UnsupportedError("inside the network")


def _check_uint8(outer: TensorEntry, inner: TensorEntry) -> None:
    if outer.dtype == np.float32:
        return
    if outer.dtype != np.uint8 or outer.scale is None or inner.scale is None:
        raise UnsupportedError(f"of {outer.dtype}")
    assert outer.zero_point is not None
    assert inner.zero_point is not None
    if outer.scale[0] != inner.scale[0] or outer.zero_point[0] - inner.zero_point[0] != 128:
        raise UnsupportedError("from uint8 to another scale")


def _feeds_pass_through(reader: TfliteReader, index: int) -> bool:
    readers = [op for op in reader.model.operators if index in op.inputs]
    target = reader.model.tensors[index]
    return len(readers) > 0 and all(
        op.name in _PASS_THROUGH_NAMES
        and tensor_qparams(reader.model.tensors[op.outputs[0]]) == tensor_qparams(target)
        for op in readers
    )


def _dequantize(reader: TfliteReader, operator: OperatorEntry) -> None:
    index, made = operator.inputs[0], operator.outputs[0]
    entry = reader.constants.get(index)
    if entry is not None and entry.data is not None and entry.data.dtype == np.float16:
        reader.constants[made] = replace(entry, data=entry.data.astype(np.float32))
        return
    if made not in reader.model.outputs or reader.model.tensors[index].dtype != np.int8:
        raise UnsupportedError("inside the network")
    reader.io = "float"
    reader.aliases[made] = reader.source(index)


OPERATORS: Mapping[str, Callable[[TfliteReader, OperatorEntry], None]] = {
    "CONV_2D": conv2d,
    "DEPTHWISE_CONV_2D": depthwise_conv2d,
    "TRANSPOSE_CONV": transpose_conv,
    "RELU": _relu,
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _prelu,
    "ADD": _add,
    "MUL": _mul,
    "CONCATENATION": _concat,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "RELU6": _clip,
    "RELU_0_TO_1": _clip,
    "RELU_N1_TO_1": _clip,
    "MAXIMUM": _bound,
    "MINIMUM": _bound,
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
}
_PASS_THROUGH_NAMES = (
    "CONCATENATION",
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "RESIZE_NEAREST_NEIGHBOR",
    "MAXIMUM",
    "MINIMUM",
)
