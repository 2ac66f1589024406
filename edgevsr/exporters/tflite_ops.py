"""One function an operation: the .tflite operators that a node of the graph becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgevsr.graph.ir import Array, Node

if TYPE_CHECKING:
    from edgevsr.exporters.tflite import TfliteWriter

_RELU = schema.ActivationFunctionType.RELU
_SAME = schema.Padding.SAME

#: Clips that are one operator in float.
_CLIPS = {(0.0, 6.0): "RELU6", (0.0, 1.0): "RELU_0_TO_1", (-1.0, 1.0): "RELU_N1_TO_1"}


def emit_node(writer: TfliteWriter, node: Node) -> None:
    """Add the operators of one node to the writer's file."""
    _EMIT[node.op](writer, node)


def same_transpose_kernel(weight: Array, stride: int, pad: int) -> Array:
    """Return OHWI weights zero-padded so that TensorFlow's SAME padding cuts `pad` rows off.

    SAME cuts (taps - stride) // 2 rows before the output and the rest after it.
    """
    margins = []
    for taps in weight.shape[1:3]:
        front = max(0, taps - stride - 2 * pad - 1)
        margins.append((front, max(0, 2 * pad + stride - taps + front)))
    return np.pad(weight, ((0, 0), *margins, (0, 0)))


def _activation(node: Node) -> int:
    return int(_RELU) if node.activation == "relu" else 0


def _sources(writer: TfliteWriter, node: Node) -> list[int]:
    return [writer.indices[name] for name in node.inputs]


def _same_scale_sources(writer: TfliteWriter, node: Node) -> list[int]:
    """Return the inputs at the scale of the output, converted where they have another."""
    graph, found = writer.graph, []
    for count, name in enumerate(node.inputs):
        index = writer.indices[name]
        if graph.quantized and graph.qparams[name] != graph.qparams[node.output]:
            q = graph.qparams[node.output]
            shape = graph.shape(name, writer.size)
            label = f"{node.output}/rescaled_{count}"
            rescaled = writer.file.tensor(label, shape, np.int8, None, q.scale, q.zero_point)
            writer.file.operator("QUANTIZE", 1, [index], rescaled)
            index = rescaled
        found.append(index)
    return found


def _weight_and_bias(
    writer: TfliteWriter, node: Node, weight: Array, axis: int = 0
) -> tuple[int, int]:
    channels = weight.shape[axis]
    if node.weight_scale is None:
        bias = np.zeros(channels, np.float32) if node.bias is None else node.bias
        return (
            writer.weight(f"{node.name}/weight", weight),
            writer.weight(f"{node.name}/bias", bias.astype(np.float32)),
        )
    scale = np.broadcast_to(node.weight_scale, (channels,)).astype(np.float32)
    bias = np.zeros(channels, np.int32) if node.bias is None else node.bias
    bias_scale = np.float32(writer.graph.qparams[node.inputs[0]].scale) * scale
    return (
        writer.constant(f"{node.name}/weight", weight, scale, axis),
        writer.constant(f"{node.name}/bias", bias, bias_scale),
    )


def _conv2d(writer: TfliteWriter, node: Node) -> None:
    assert node.weight is not None
    groups = int(node.attrs.get("groups", 1))
    depthwise = groups > 1
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    options.padding = _SAME
    options.strideW = options.strideH = 1
    options.dilationWFactor = options.dilationHFactor = 1
    options.fusedActivationFunction = _activation(node)
    weight = node.weight
    if depthwise:
        options.depthMultiplier = weight.shape[0] // groups
        weight = weight.transpose(3, 1, 2, 0)
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    constants = _weight_and_bias(writer, node, weight, 3 if depthwise else 0)
    version = 3 if writer.graph.quantized else 1
    inputs = [*_sources(writer, node), *constants]
    writer.file.operator(name, version, inputs, writer.activation(node.output), options)


def _transpose_conv(writer: TfliteWriter, node: Node) -> None:
    assert node.weight is not None
    stride = int(node.attrs["stride"])
    weight = same_transpose_kernel(node.weight, stride, int(node.attrs["pad"]))
    shape = np.array(writer.graph.shape(node.output, writer.size), np.int32)
    output_shape = writer.constant(f"{node.name}/output_shape", shape)
    options = schema.TransposeConvOptionsT()
    options.padding, options.strideW, options.strideH = _SAME, stride, stride
    options.fusedActivationFunction = _activation(node)
    if node.bias is None:
        version = 2 if writer.graph.quantized else 1
        kernel = writer.weight(f"{node.name}/weight", weight, node.weight_scale)
        inputs = [output_shape, kernel, *_sources(writer, node)]
    else:
        version = 3
        kernel, bias = _weight_and_bias(writer, node, weight)
        inputs = [output_shape, kernel, *_sources(writer, node), bias]
    version = 4 if node.activation == "relu" else version
    output = writer.activation(node.output)
    writer.file.operator("TRANSPOSE_CONV", version, inputs, output, options)


def _relu(writer: TfliteWriter, node: Node) -> None:
    version = 2 if writer.graph.quantized else 1
    inputs = _sources(writer, node)
    writer.file.operator("RELU", version, inputs, writer.activation(node.output))


def _leaky_relu(writer: TfliteWriter, node: Node) -> None:
    options = schema.LeakyReluOptionsT()
    options.alpha = float(node.attrs["slope"])
    inputs = _sources(writer, node)
    writer.file.operator("LEAKY_RELU", 1, inputs, writer.activation(node.output), options)


def _prelu(writer: TfliteWriter, node: Node) -> None:
    assert node.weight is not None
    slopes = node.weight.reshape(1, 1, -1)
    alpha = writer.weight(f"{node.name}/slope", slopes, node.weight_scale)
    inputs = [*_sources(writer, node), alpha]
    writer.file.operator("PRELU", 1, inputs, writer.activation(node.output))


def _of_two(operator: str, make_options: Callable[[], Any]) -> Callable[[TfliteWriter, Node], None]:
    """Return what emits an element-wise operator of two tensors."""

    def emit(writer: TfliteWriter, node: Node) -> None:
        options = make_options()
        options.fusedActivationFunction = _activation(node)
        version = 2 if writer.graph.quantized else 1
        inputs, output = _sources(writer, node), writer.activation(node.output)
        writer.file.operator(operator, version, inputs, output, options)

    return emit


def _concat(writer: TfliteWriter, node: Node) -> None:
    options = schema.ConcatenationOptionsT()
    options.axis = 3
    version = 2 if writer.graph.quantized else 1
    inputs = _same_scale_sources(writer, node)
    output = writer.activation(node.output)
    writer.file.operator("CONCATENATION", version, inputs, output, options)


def _depth_to_space(writer: TfliteWriter, node: Node) -> None:
    if node.attrs.get("form") == "rows":
        _rows(writer, node)
        return
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = int(node.attrs["block"])
    inputs = _same_scale_sources(writer, node)
    writer.file.operator("DEPTH_TO_SPACE", 1, inputs, writer.activation(node.output), options)


def _rows(writer: TfliteWriter, node: Node) -> None:
    """Write depth_to_space as one slice of channels for each dy, laid under one another."""
    (source,) = _same_scale_sources(writer, node)
    block = int(node.attrs["block"])
    _, height, width, channels = writer.graph.shape(node.inputs[0], writer.size)
    wide = channels // block
    file, q, dtype = writer.file, writer.graph.qparams.get(node.output), writer.dtype

    def add(name: str, shape: tuple[int, ...]) -> int:
        scale, zero_point = (None, 0) if q is None else (q.scale, q.zero_point)
        return file.tensor(f"{node.output}/{name}", shape, dtype, None, scale, zero_point)

    def constant(name: str, values: tuple[int, ...]) -> int:
        return writer.constant(f"{node.name}/{name}", np.array(values, np.int32))

    def reshape(index: int, shape: tuple[int, ...], output: int, name: str) -> None:
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        file.operator("RESHAPE", 1, [index, constant(name, shape)], output, options)

    strides, row_shape = constant("strides", (1, 1, 1, 1)), (1, height, 1, width * wide)
    rows = []
    for dy in range(block):
        begin = constant(f"begin_{dy}", (0, 0, 0, dy * wide))
        end = constant(f"end_{dy}", (1, height, width, (dy + 1) * wide))
        piece = add(f"slice_{dy}", (1, height, width, wide))
        options, version = schema.StridedSliceOptionsT(), 1 if q is None else 2
        file.operator("STRIDED_SLICE", version, [source, begin, end, strides], piece, options)
        rows.append(add(f"row_{dy}", row_shape))
        reshape(piece, row_shape, rows[-1], f"row_shape_{dy}")
    stacked = add("stacked", (1, height, block, width * wide))
    concatenation = schema.ConcatenationOptionsT()
    concatenation.axis = 2
    file.operator("CONCATENATION", 1 if q is None else 2, rows, stacked, concatenation)
    shape = writer.graph.shape(node.output, writer.size)
    reshape(stacked, shape, writer.activation(node.output), "shape")


def _space_to_depth(writer: TfliteWriter, node: Node) -> None:
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = int(node.attrs["block"])
    version = 2 if writer.graph.quantized else 1
    inputs = _same_scale_sources(writer, node)
    output = writer.activation(node.output)
    writer.file.operator("SPACE_TO_DEPTH", version, inputs, output, options)


def _resize_nearest(writer: TfliteWriter, node: Node) -> None:
    _, height, width, _ = writer.graph.shape(node.output, writer.size)
    size = writer.constant(f"{node.name}/size", np.array([height, width], np.int32))
    options = schema.ResizeNearestNeighborOptionsT()
    version = 2 if writer.graph.quantized else 1
    inputs = [*_same_scale_sources(writer, node), size]
    output = writer.activation(node.output)
    writer.file.operator("RESIZE_NEAREST_NEIGHBOR", version, inputs, output, options)


def _clip(writer: TfliteWriter, node: Node) -> None:
    low, high = float(node.attrs["low"]), float(node.attrs["high"])
    (source,) = _same_scale_sources(writer, node)
    if not writer.graph.quantized and (low, high) in _CLIPS:
        writer.file.operator(_CLIPS[low, high], 1, [source], writer.activation(node.output))
        return
    steps = [("MAXIMUM", "low", low)] if np.isfinite(low) else []
    steps += [("MINIMUM", "high", high)] if np.isfinite(high) else []
    for name, side, bound in steps:
        constant = _bound(writer, node, side, bound)
        last = name == steps[-1][0]
        output = (
            writer.activation(node.output)
            if last
            else writer.body_tensor(f"{node.output}/above", node.output)
        )
        version = 2 if writer.graph.quantized else 1
        options = schema.MaximumMinimumOptionsT()
        writer.file.operator(name, version, [source, constant], output, options)
        source = output


def _bound(writer: TfliteWriter, node: Node, side: str, bound: float) -> int:
    name, shape, value = f"{node.name}/{side}", (1,), np.array([bound], np.float32)
    if not writer.graph.quantized:
        return writer.constant(name, value)
    q = writer.graph.qparams[node.output]
    codes: Any = q.quantize(value)
    return writer.file.tensor(name, shape, np.int8, codes, q.scale, q.zero_point)


_EMIT: Mapping[str, Callable[[TfliteWriter, Node], None]] = {
    "conv2d": _conv2d,
    "transpose_conv": _transpose_conv,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "add": _of_two("ADD", schema.AddOptionsT),
    "mul": _of_two("MUL", schema.MulOptionsT),
    "concat": _concat,
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "resize_nearest": _resize_nearest,
    "clip": _clip,
}
