"""One int8 node at a time, bit for bit as LiteRT's reference kernels compute it.

Multipliers are formed with the same mixture of float32 and float64 as the kernels' `Prepare`
functions, because the last bit of a multiplier decides the last bit of a pixel.

Source: TensorFlow Lite kernels/internal/reference/integer_ops and kernels/*.cc (Prepare).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.fixed_point import (
    INT8_MAX,
    INT8_MIN,
    Multiplier,
    multiply,
    quantize_multiplier,
    requantize,
    saturate,
)
from edgevsr.graph.ir import Array, Node, QuantParams
from edgevsr.graph.sampling import (
    Kernel,
    convolve,
    depth_to_space,
    resize_nearest,
    same_kernel,
    space_to_depth,
    subpixel_kernel,
)

Codes = NDArray[np.int8]

#: ADD works on inputs scaled up by this many bits.
_ADD_SHIFT = 20
#: Integers up to here are exact in float32.
_FLOAT32_EXACT = 1 << 24


def run_node(node: Node, inputs: Sequence[Codes], qparams: Mapping[str, QuantParams]) -> Codes:
    """Return the output codes (N, H, W, C) of one node given its input codes."""
    sources = [qparams[name] for name in node.inputs]
    target = qparams[node.output]
    match node.op:
        case "conv2d" | "transpose_conv":
            return _convolution(node, inputs[0], sources[0], target)
        case "relu" | "leaky_relu" | "prelu" | "clip":
            return _lookup(inputs[0], activation_table(node, sources[0], target))
        case "add":
            return _add(node, inputs, sources, target)
        case "mul":
            by = product_multiplier(sources[0], sources[1], target)
            pairs = zip(inputs, sources, strict=True)
            x, y = (codes.astype(np.int64) - source.zero_point for codes, source in pairs)
            return requantize(x * y, by, target.zero_point, _lowest(node, target))
        case "concat":
            parts = [
                rescale(codes, source, target)
                for codes, source in zip(inputs, sources, strict=True)
            ]
            return np.concatenate(parts, axis=3)
    codes = rescale(inputs[0], sources[0], target)
    match node.op:
        case "depth_to_space":
            return depth_to_space(codes, int(node.attrs["block"]))
        case "space_to_depth":
            return space_to_depth(codes, int(node.attrs["block"]))
        case "resize_nearest":
            return resize_nearest(codes, int(node.attrs["factor"]))


def convolution_multiplier(
    source: QuantParams, weight_scale: NDArray[np.float32], target: QuantParams
) -> Multiplier:
    """Return the fixed-point multiplier, one an output channel, from accumulator to output."""
    scales = np.asarray(weight_scale, np.float32).astype(np.float64)
    real = _double(source.scale) * scales / _double(target.scale)
    return quantize_multiplier(real)


def product_multiplier(x: QuantParams, y: QuantParams, target: QuantParams) -> Multiplier:
    """Return the fixed-point multiplier from a product of two tensors' codes to the output's."""
    real = np.float32(x.scale) * np.float32(y.scale) / np.float32(target.scale)
    return quantize_multiplier(real)


def activation_table(node: Node, source: QuantParams, target: QuantParams) -> Codes:
    """Return the outputs of an element-wise node for every input code: (256, C), C may be 1.

    Row i is the output for code i - 128.
    """
    centred = np.arange(INT8_MIN, INT8_MAX + 1)[:, None] - source.zero_point
    ratio = np.float32(source.scale) / np.float32(target.scale)
    identity = multiply(centred, quantize_multiplier(ratio))
    low, high = INT8_MIN, INT8_MAX
    if node.op == "relu" or node.activation == "relu":
        low = max(low, target.zero_point)
    if node.op == "clip":
        bounds = target.quantize(np.array([node.attrs["low"], node.attrs["high"]], np.float32))
        low, high = int(bounds[0]), int(bounds[1])
        return saturate(rescale(centred_codes(), source, target), low, high)
    if node.op == "leaky_relu":
        slope = np.float32(source.scale) * np.float32(node.attrs["slope"])
        negative = _multiply_signed(centred, float(slope / np.float32(target.scale)))
        identity = np.where(centred >= 0, identity, negative)
    if node.op == "prelu":
        assert node.weight is not None, node.name
        assert node.weight_scale is not None, node.name
        slope = np.float32(source.scale) * np.float32(node.weight_scale.reshape(-1)[0])
        by = quantize_multiplier(slope / np.float32(target.scale))
        negative = multiply(centred * node.weight.reshape(1, -1).astype(np.int64), by)
        identity = np.where(centred >= 0, identity, negative)
    return saturate(identity + target.zero_point, low, high)


def _multiply_signed(values: Array, real: float) -> Array:
    """Return values × real; ties of a negative factor fall as those of its negated product."""
    if real < 0:
        return -multiply(values, quantize_multiplier(-real))
    return multiply(values, quantize_multiplier(real))


def centred_codes() -> Codes:
    """Return every int8 code as a column (256, 1), lowest first."""
    return np.arange(INT8_MIN, INT8_MAX + 1).astype(np.int8)[:, None]


def rescale(codes: Codes, source: QuantParams, target: QuantParams) -> Codes:
    """Return the same values as codes of `target`, as LiteRT's QUANTIZE from int8 to int8."""
    if source == target:
        return codes
    by = quantize_multiplier(_double(source.scale) / _double(target.scale))
    every = np.arange(INT8_MIN, INT8_MAX + 1)[:, None] - source.zero_point
    return _lookup(codes, requantize(every, by, target.zero_point))


def _double(scale: float) -> float:
    """Return a scale as the kernels read it: stored as float32, widened to float64."""
    return float(np.float32(scale))


def _lookup(codes: Codes, table: Codes) -> Codes:
    rows = codes.astype(np.intp) - INT8_MIN
    if table.shape[1] == 1:
        return table[:, 0][rows]
    return table[rows, np.arange(table.shape[1])]


def _convolution(node: Node, x: Codes, source: QuantParams, target: QuantParams) -> Codes:
    assert node.weight is not None, node.name
    assert node.weight_scale is not None, node.name
    stride = int(node.attrs["stride"]) if node.op == "transpose_conv" else 1
    if node.op == "transpose_conv":
        kernel = subpixel_kernel(node.weight, stride, int(node.attrs["pad"]))
    else:
        kernel = same_kernel(node.weight, int(node.attrs.get("groups", 1)))
    kernel = _exact(kernel)
    phases = stride * stride
    scales = np.broadcast_to(node.weight_scale, node.weight.shape[:1])
    if kernel.depthwise:
        scales = np.broadcast_to(node.weight_scale, kernel.weight.shape[3:])
    by = convolution_multiplier(source, np.tile(scales, phases), target)
    bias = 0 if node.bias is None else np.tile(node.bias.astype(np.int64), phases)
    low = _lowest(node, target)
    out = np.empty((*x.shape[:3], kernel.weight.shape[3]), np.int8)
    for image, plane in zip(x, out, strict=True):
        for rows, sums in convolve(image, kernel, source.zero_point):
            accumulators = sums.astype(np.int64) + bias
            plane[rows] = requantize(accumulators, by, target.zero_point, low)
    return depth_to_space(out, stride) if stride > 1 else out


def _exact(kernel: Kernel) -> Kernel:
    """Return the kernel in the smallest float type whose sums of products are exact integers."""
    taps = np.abs(kernel.weight.astype(np.int64)).reshape(-1, kernel.weight.shape[3])
    largest = int(taps.sum(axis=0).max()) * (INT8_MAX - INT8_MIN)
    dtype = np.float32 if largest < _FLOAT32_EXACT else np.float64
    return kernel._replace(weight=np.ascontiguousarray(kernel.weight, dtype))


def _add(
    node: Node, inputs: Sequence[Codes], sources: Sequence[QuantParams], target: QuantParams
) -> Codes:
    widest = 2.0 * max(_double(source.scale) for source in sources)
    total: Array = np.zeros((), np.int64)
    every = np.arange(INT8_MIN, INT8_MAX + 1)
    for codes, source in zip(inputs, sources, strict=True):
        by = quantize_multiplier(_double(source.scale) / widest)
        shifted = (every - source.zero_point) << _ADD_SHIFT
        total = total + multiply(shifted, by)[codes.astype(np.intp) - INT8_MIN]
    by = quantize_multiplier(widest / ((1 << _ADD_SHIFT) * _double(target.scale)))
    return requantize(total, by, target.zero_point, _lowest(node, target))


def _lowest(node: Node, target: QuantParams) -> int:
    """Return the lowest code a node gives: behind a fused ReLU that of zero."""
    return target.zero_point if node.activation == "relu" else INT8_MIN
