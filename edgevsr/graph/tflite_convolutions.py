"""Reads the convolutions of a .tflite file."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgevsr.graph.ir import Array
from edgevsr.graph.normalise import dense_weight
from edgevsr.graph.tflite_file import OperatorEntry, read_options
from edgevsr.graph.tflite_reader import TfliteReader, UnsupportedError

_SAME, _VALID = 0, 1
_MAX_DENSE_WEIGHTS = 1 << 24


def _check_padding(options: Any, kernel: tuple[int, int]) -> None:
    if options.strideW != 1 or options.strideH != 1:
        raise UnsupportedError(f"with strides {options.strideH}, {options.strideW}: expected 1")
    if options.dilationWFactor != 1 or options.dilationHFactor != 1:
        raise UnsupportedError("with dilation: expected 1")
    if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
        raise UnsupportedError(f"with an even kernel {kernel[0]}x{kernel[1]}: expected odd")
    if options.padding != _SAME and kernel != (1, 1):
        raise UnsupportedError("with VALID padding: expected SAME")


def conv2d(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Read CONV_2D; grouped weights become dense."""
    options = read_options(operator, "Conv2DOptions")
    weight, scale = reader.weight(operator.inputs[1], 0)
    _check_padding(options, weight.shape[1:3])
    bias = reader.bias(operator, 2, weight.shape[0])
    source = reader.source(operator.inputs[0])
    groups, rest = divmod(reader.tensors[source].channels, weight.shape[3])
    if rest or not groups or weight.shape[0] % groups:
        raise UnsupportedError(f"with weights for {weight.shape[3]} channels")
    if weight.size * groups > _MAX_DENSE_WEIGHTS:
        raise UnsupportedError(f"with {groups} groups: too wide to be made dense")
    _add_convolution(reader, operator, source, dense_weight(weight, groups), scale, bias, 1)


def _add_convolution(
    reader: TfliteReader,
    operator: OperatorEntry,
    source: str,
    weight: Array,
    scale: Array | None,
    bias: Array | None,
    groups: int,
) -> None:
    kind = "Conv2DOptions" if operator.name == "CONV_2D" else "DepthwiseConv2DOptions"
    reader.add_node(
        operator,
        "conv2d",
        [source],
        weight.shape[0],
        activation=read_options(operator, kind).fusedActivationFunction,
        name=reader.node_name(operator.inputs[1], "/weight"),
        attrs={"groups": groups},
        weight=np.ascontiguousarray(weight),
        weight_scale=scale,
        bias=bias,
    )


def depthwise_conv2d(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Read DEPTHWISE_CONV_2D."""
    options = read_options(operator, "DepthwiseConv2DOptions")
    weight, scale = reader.weight(operator.inputs[1], 3)
    _check_padding(options, weight.shape[1:3])
    bias = reader.bias(operator, 2, weight.shape[3])
    source = reader.source(operator.inputs[0])
    groups = reader.tensors[source].channels
    if weight.shape[0] != 1 or weight.shape[3] % groups:
        raise UnsupportedError(f"with weights {list(weight.shape)} for {groups} channels")
    weight = weight.transpose(3, 1, 2, 0)
    _add_convolution(reader, operator, source, weight, scale, bias, groups)


def transpose_conv(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Read TRANSPOSE_CONV."""
    options = read_options(operator, "TransposeConvOptions")
    stride = int(options.strideW)
    if options.strideH != stride or not 1 <= stride <= 16:
        raise UnsupportedError(f"with strides {options.strideH}, {stride}: expected equal ones")
    weight, scale = reader.weight(operator.inputs[1], 0)
    height, width = weight.shape[1:3]
    if height != width or height < stride or (options.padding == _VALID and height != stride):
        raise UnsupportedError("whose output is not its input times the stride")
    bias = reader.bias(operator, 3, weight.shape[0])
    source = reader.source(operator.inputs[2])
    if reader.tensors[source].channels != weight.shape[3]:
        raise UnsupportedError(f"with weights for {weight.shape[3]} channels")
    pad = (height - stride) // 2
    reader.add_node(
        operator,
        "transpose_conv",
        [source],
        weight.shape[0],
        (stride, 1),
        activation=options.fusedActivationFunction,
        name=reader.node_name(operator.inputs[1], "/weight"),
        attrs={"stride": stride, "pad": pad},
        weight=_trimmed(weight),
        weight_scale=scale,
        bias=bias,
    )


def _trimmed(weight: Array) -> Array:
    """Return the kernel without the zero rows and columns that padding put at its end."""
    size = weight.shape[1]
    while size > 1 and not weight[:, size - 1].any() and not weight[:, :, size - 1].any():
        size -= 1
        weight = weight[:, :size, :size]
    return np.ascontiguousarray(weight)
