"""Reads Conv, ConvTranspose and what folds into them.

Attributes are checked before inputs are looked up, so that a node behind an unsupported one is
still judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgevsr.graph.ir import Array
from edgevsr.graph.normalise import dense_weight
from edgevsr.graph.onnx_reader import Reader

_MAX_DENSE_WEIGHTS = 1 << 24

Attrs = Mapping[str, Any]


def _convolution_weight(
    reader: Reader, proto: Any, order: tuple[int, ...]
) -> tuple[Array, Array | None] | None:
    """Return OHWI weights and their scales: int8 where the file has per-channel int8 codes."""
    real = reader.floats(proto, 1, "weight")
    if real is None:
        if len(proto.input) < 2:
            reader.problem(proto, "without weights")
        return None
    if real.ndim != 4:
        reader.problem(proto, f"with {real.ndim - 2} spatial dimensions: expected 2")
        return None
    if 0 in real.shape:
        reader.problem(proto, f"with empty weights {list(real.shape)}")
        return None
    quantized = reader.quantized_constants.get(proto.input[1])
    out_axis = order[0]
    if quantized is None or not reader.quantized or quantized.scale.size == 0:
        return real.transpose(order), None
    codes = quantized.codes.astype(np.int16)
    zero = quantized.zero_point.astype(np.int16)
    if quantized.codes.dtype == np.uint8:
        codes, zero = codes - 128, zero - 128
    if zero.any() or (quantized.scale.size > 1 and quantized.axis % 4 != out_axis):
        reader.problem(proto, "whose weights are not symmetric int8 by output channel")
        return None
    weight = codes.astype(np.int8).transpose(order)
    scale = np.broadcast_to(quantized.scale.reshape(-1), weight.shape[:1])
    return weight, scale.astype(np.float32)


def _bias(reader: Reader, proto: Any, channels: int) -> Array | None:
    bias = reader.floats(proto, 2, "bias")
    if bias is None:
        return None
    if bias.size != channels:
        reader.problem(proto, f"with {bias.size} biases for {channels} channels")
        return None
    if proto.input[2] in reader.quantized_constants:  # float64 keeps an int32 bias whole
        whole = reader.quantized_constants[proto.input[2]].real().reshape(-1)
        return whole if reader.quantized else whole.astype(np.float32)
    return bias.reshape(-1)


def _check_kernel(reader: Reader, proto: Any, attrs: Attrs, taps: tuple[int, int]) -> None:
    if any(d != 1 for d in attrs.get("dilations", [])):
        reader.problem(proto, f"with dilations {list(attrs['dilations'])}: expected 1")
    if list(attrs.get("kernel_shape", taps)) != list(taps):
        reader.problem(proto, "whose kernel_shape is not that of its weights")


def conv(reader: Reader, proto: Any, attrs: Attrs) -> None:
    before = len(reader.problems)
    if any(s != 1 for s in attrs.get("strides", [])):
        reader.problem(proto, f"with strides {list(attrs['strides'])}: expected 1")
    loaded = _convolution_weight(reader, proto, (0, 2, 3, 1))
    if loaded is None:
        return
    weight, scale = loaded
    height, width = weight.shape[1:3]
    _check_kernel(reader, proto, attrs, (height, width))
    pads = list(attrs.get("pads", [0, 0, 0, 0]))
    same = [height // 2, width // 2] * 2
    padding = attrs.get("auto_pad", "NOTSET")
    if height % 2 == 0 or width % 2 == 0:
        reader.problem(proto, f"with an even kernel {height}x{width}: expected odd")
    elif padding not in ("SAME_UPPER", "SAME_LOWER") and (pads != same or padding == "VALID"):
        reader.problem(proto, f"with pads {pads}: expected {same} (output as large as input)")
    bias = _bias(reader, proto, weight.shape[0])
    if len(reader.problems) > before:
        return
    source = reader.tensor(proto.input[0])
    channels, groups = reader.tensors[source].channels, int(attrs.get("group", 1))
    if groups < 1 or weight.shape[3] * groups != channels or weight.shape[0] % groups:
        reader.problem(
            proto, f"with weights for {weight.shape[3] * groups} channels, given {channels}"
        )
        return
    if 1 < groups < channels:
        if weight.size * groups > _MAX_DENSE_WEIGHTS:
            reader.problem(proto, f"with {groups} groups: too wide to be made dense")
            return
        weight, groups = dense_weight(weight, groups), 1
    reader.add_node(
        proto,
        "conv2d",
        [source],
        weight.shape[0],
        attrs={"groups": groups},
        weight=np.ascontiguousarray(weight),
        bias=bias,
        weight_scale=scale,
    )


def transpose_conv(reader: Reader, proto: Any, attrs: Attrs) -> None:
    before = len(reader.problems)
    loaded = _convolution_weight(reader, proto, (1, 2, 3, 0))
    if loaded is None:
        return
    weight, scale = loaded
    height, width = weight.shape[1:3]
    _check_kernel(reader, proto, attrs, (height, width))
    strides = list(attrs.get("strides", [1, 1]))
    top, left, bottom, right = [*attrs.get("pads", []), 0, 0, 0, 0][:4]
    extra = list(attrs.get("output_padding", [0, 0]))
    ends = (height + extra[0] - top - bottom, width + extra[-1] - left - right)
    if int(attrs.get("group", 1)) != 1:
        reader.problem(proto, f"with {attrs['group']} groups: expected 1")
    if len(set(strides)) != 1 or not 1 <= strides[0] <= 16:
        reader.problem(proto, f"with strides {strides}: expected two equal ones up to 16")
    elif "output_shape" in attrs or attrs.get("auto_pad", "NOTSET") != "NOTSET":
        reader.problem(proto, "with output_shape or auto_pad: expected pads and output_padding")
    elif ends != (strides[0], strides[0]) or top != left or top < 0:
        reader.problem(
            proto,
            f"whose output is not its input times {strides[0]} "
            f"(kernel {height}x{width}, pads {[top, left, bottom, right]}, output_padding {extra})",
        )
    bias = _bias(reader, proto, weight.shape[0])
    if len(reader.problems) > before:
        return
    source = reader.tensor(proto.input[0])
    if reader.tensors[source].channels != weight.shape[3]:
        reader.problem(proto, f"with weights for {weight.shape[3]} channels")
        return
    reader.add_node(
        proto,
        "transpose_conv",
        [source],
        weight.shape[0],
        (strides[0], 1),
        attrs={"stride": strides[0], "pad": int(top)},
        weight=np.ascontiguousarray(weight),
        bias=bias,
        weight_scale=scale,
    )


def batch_normalization(reader: Reader, proto: Any, attrs: Attrs) -> None:
    names = ("scale", "bias", "mean", "variance")
    loaded = [reader.floats(proto, i + 1, name) for i, name in enumerate(names)]
    if any(values is None for values in loaded) or attrs.get("training_mode", 0):
        return reader.problem(proto, "in training mode or without statistics")
    gamma, beta, mean, variance = (np.asarray(v, np.float64).reshape(-1) for v in loaded)
    source = reader.tensor(proto.input[0])
    channels = reader.tensors[source].channels
    if {gamma.size, beta.size, mean.size, variance.size} != {channels} or variance.min() < 0:
        return reader.problem(proto, f"whose statistics do not fit {channels} channels")
    scale = gamma / np.sqrt(variance + float(attrs.get("epsilon", 1e-5)))
    return add_affine(reader, proto, proto.input[0], scale, beta - mean * scale)


def add_affine(reader: Reader, proto: Any, value: str, scale: Array, shift: Array) -> None:
    """Add scale × x + shift a channel: into the convolution before, else as a depthwise 1×1."""
    source = reader.tensor(value)
    if reader.quantized:
        reader.problem(proto, "in a quantized file: fold it into a convolution and quantize again")
        return
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        reader.problem(proto, "with infinite values")
        return
    node = reader.last_producer(value)
    if node is None or node.weight is None:
        channels = len(scale)
        weight = scale.reshape(-1, 1, 1, 1).astype(np.float32)
        attrs = {"groups": channels}
        bias = shift.astype(np.float32)
        reader.add_node(proto, "conv2d", [source], channels, attrs=attrs, weight=weight, bias=bias)
        return
    old_bias = np.zeros(len(scale)) if node.bias is None else node.bias.astype(np.float64)
    weight = (node.weight.astype(np.float64) * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
    bias = (old_bias * scale + shift).astype(np.float32)
    output = proto.output[0]
    folded = replace(node, weight=weight, bias=bias, output=output)
    reader.nodes[reader.nodes.index(node)] = folded
    reader.tensors[output] = reader.tensors.pop(source)
    reader.aliases[output] = output
