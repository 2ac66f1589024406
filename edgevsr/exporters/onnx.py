"""Writes a graph as ONNX of standard operators: float, or int8 as QuantizeLinear/DequantizeLinear,
with int8 or int16 activations.

Inputs and outputs are NCHW float32 in [0, 1]. The same graph always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgevsr import __version__
from edgevsr.errors import ExportError
from edgevsr.graph.half import HALF, has_half_weights
from edgevsr.graph.int16 import has_int16, integers_of
from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.graph.roles import METADATA_KEY, metadata_text

#: Old enough for the tools people have, new enough for per-channel DequantizeLinear.
OPSET = 17
IR_VERSION = 8
#: The first in which QuantizeLinear knows int16.
OPSET_INT16 = 21
IR_VERSION_INT16 = 10


def onnx_bytes(graph: Graph, size: tuple[int, int] | None = None) -> bytes:
    """Return the graph as an ONNX file, NCHW float32 in [0, 1] at both ends.

    `size` fixes (width, height) of the LR frame; without it both stay dynamic. `graph.meta` and
    the roles are kept as JSON under the metadata key "edgevsr".

    Raises:
        ExportError: a transposed convolution has no ONNX form, or meta is not JSON.
    """
    writer = _Writer(graph)
    writer.write_inputs()
    for node in writer.graph.nodes:
        writer.write_node(node)
    opset, ir_version = (OPSET_INT16, IR_VERSION_INT16) if writer.int16 else (OPSET, IR_VERSION)
    onnx_graph = helper.make_graph(
        writer.nodes,
        str(graph.meta.get("net", "edgevsr")),
        [_value_info(graph, name, size) for name in graph.inputs],
        [_value_info(graph, name, size) for name in graph.outputs],
        writer.initializers,
    )
    model = helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
        producer_name="edgevsr",
        producer_version=__version__,
    )
    helper.set_model_props(model, {METADATA_KEY: metadata_text(graph)})
    return bytes(model.SerializeToString(deterministic=True))


def _value_info(graph: Graph, name: str, size: tuple[int, int] | None) -> Any:
    channels = graph.tensors[name].channels
    if size is not None:
        _, height, width, _ = graph.shape(name, size)
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, height, width))
    numerator, denominator = graph.tensors[name].factor
    factor = "" if numerator == denominator else f"_x{numerator}"
    factor += f"_d{denominator}" if denominator > 1 else ""
    dims = (1, channels, f"height{factor}", f"width{factor}")
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


class _Writer:
    """Collects ONNX nodes and initializers, and knows under which name a tensor is read."""

    def __init__(self, graph: Graph) -> None:
        self.int16 = has_int16(graph)
        self.graph = integers_of(graph) if self.int16 else graph
        self.half = has_half_weights(self.graph)
        self.codes = np.int16 if self.int16 else np.int8
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._initialized: set[str] = set()
        self._read_as: dict[str, str] = {}

    def write_inputs(self) -> None:
        for name in self.graph.inputs:
            self._read_as[name] = name
            if self.graph.quantized:
                self._quantize_dequantize(name, name, f"{name}/dq")

    def write_node(self, node: Node) -> None:
        """Emit the node, its fused ReLU, and in an int8 graph the pair that rounds its output."""
        is_output = node.output in self.graph.outputs
        real = f"{node.output}/real" if self.graph.quantized and is_output else node.output
        end = f"{node.output}/linear" if node.activation == "relu" else real
        inputs = [self._read_as[name] for name in node.inputs]
        _EMIT[node.op](self, node, inputs, end)
        if node.activation == "relu":
            self.emit("Relu", f"{node.name}/relu", [end], real)
        self._read_as[node.output] = node.output
        if self.graph.quantized:
            read_as = node.output if is_output else f"{node.output}/dq"
            self._quantize_dequantize(node.output, real, read_as)

    def emit(self, op: str, name: str, inputs: list[str], output: str, **attrs: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], name, **attrs))

    def constant(self, name: str, values: Array) -> str:
        if name not in self._initialized:
            self._initialized.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, name: str, values: Array) -> str:
        """Emit float values that a layer learned, kept as the graph keeps weights."""
        if not self.half:
            return self.constant(name, values)
        kept = self.constant(f"{name}/{HALF}", values.astype(np.float16))
        self.emit("Cast", f"{name}/cast", [kept], name, to=TensorProto.FLOAT)
        return name

    def dequantized(self, name: str, codes: Array, scale: Array, axis: int = 0) -> str:
        """Emit int8 or int32 codes and the DequantizeLinear that reads them."""
        per_axis = scale.size > 1
        values = scale.astype(np.float32) if per_axis else scale.astype(np.float32).reshape(())
        zeros = np.zeros(values.shape, codes.dtype)
        inputs = [
            self.constant(name, codes),
            self.constant(f"{name}/scale", values),
            self.constant(f"{name}/zero_point", zeros),
        ]
        attrs = {"axis": axis} if per_axis else {}
        self.emit("DequantizeLinear", f"{name}/dequantize", inputs, f"{name}/dq", **attrs)
        return f"{name}/dq"

    def weight_and_bias(self, node: Node, weight: Array, axis: int) -> list[str]:
        """Emit the weights in ONNX's layout, and the bias where there is one."""
        names = (f"{node.name}/weight", f"{node.name}/bias")
        if node.weight_scale is None:
            bias = [] if node.bias is None else [self.weight(names[1], node.bias)]
            return [self.weight(names[0], weight), *bias]
        read = [self.dequantized(names[0], weight, node.weight_scale, axis)]
        if node.bias is not None:
            input_scale = np.float32(self.graph.qparams[node.inputs[0]].scale)
            scale = input_scale * node.weight_scale
            read.append(self.dequantized(names[1], node.bias, scale))
        return read

    def _quantize_dequantize(self, tensor: str, real: str, read_as: str) -> None:
        qparams = self.graph.qparams[tensor]
        scale = self.constant(f"{tensor}/scale", np.array(qparams.scale, np.float32))
        zero = self.constant(f"{tensor}/zero_point", np.array(qparams.zero_point, self.codes))
        codes = f"{tensor}/codes"
        self.emit("QuantizeLinear", f"{tensor}/quantize", [real, scale, zero], codes)
        self.emit("DequantizeLinear", f"{tensor}/dequantize", [codes, scale, zero], read_as)
        self._read_as[tensor] = read_as


def _conv(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    assert node.weight is not None
    height, width = node.weight.shape[1:3]
    rows, columns = height // 2, width // 2
    writer.emit(
        "Conv",
        node.name,
        inputs + writer.weight_and_bias(node, node.weight.transpose(0, 3, 1, 2), axis=0),
        output,
        kernel_shape=[height, width],
        pads=[rows, columns, rows, columns],
        group=int(node.attrs.get("groups", 1)),
    )


def _transpose_conv(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    assert node.weight is not None
    stride, pad = int(node.attrs["stride"]), int(node.attrs["pad"])
    ends = [_end_pad(node, taps, stride, pad) for taps in node.weight.shape[1:3]]
    writer.emit(
        "ConvTranspose",
        node.name,
        inputs + writer.weight_and_bias(node, node.weight.transpose(3, 0, 1, 2), axis=1),
        output,
        kernel_shape=list(node.weight.shape[1:3]),
        strides=[stride, stride],
        pads=[pad, pad, ends[0][0], ends[1][0]],
        output_padding=[ends[0][1], ends[1][1]],
    )


def _end_pad(node: Node, taps: int, stride: int, pad: int) -> tuple[int, int]:
    """Return (padding at the end, output padding) for output size = input size × stride.

    Equal padding at both ends is preferred: it is what torch writes and every tool reads.
    """
    extra = stride - taps + 2 * pad
    if 0 <= extra < stride:
        return pad, extra
    end = taps - stride - pad
    if end >= 0:
        return end, 0
    if -end < stride:
        return 0, -end
    raise ExportError(
        f"layer {node.name!r}: a transposed convolution of {taps} taps, stride {stride} and "
        f"padding {pad} has no ONNX form; export to target tflite"
    )


def _prelu(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    assert node.weight is not None
    slopes, name = node.weight.reshape(-1, 1, 1), f"{node.name}/slope"
    if node.weight_scale is None:
        read = writer.weight(name, slopes)
    else:
        read = writer.dequantized(name, slopes, node.weight_scale)
    writer.emit("PRelu", node.name, [*inputs, read], output)


def _resize_nearest(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    factor = float(node.attrs["factor"])
    scales = writer.constant(f"{node.name}/scales", np.array([1, 1, factor, factor], np.float32))
    writer.emit(
        "Resize",
        node.name,
        [*inputs, "", scales],
        output,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _clip(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    bounds = []
    for key, none in (("low", -np.inf), ("high", np.inf)):
        value = np.array(node.attrs[key], np.float32)
        name = "" if value == none else writer.constant(f"{node.name}/{key}", value)
        bounds.append(name)
    while bounds and not bounds[-1]:
        bounds.pop()
    writer.emit("Clip", node.name, [*inputs, *bounds], output)


def _plain(op: str, **attrs: Any) -> Callable[[_Writer, Node, list[str], str], None]:
    """Return the emitter of an operator whose attributes are constant."""

    def emit(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
        writer.emit(op, node.name, inputs, output, **attrs)

    return emit


def _leaky_relu(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    writer.emit("LeakyRelu", node.name, inputs, output, alpha=float(node.attrs["slope"]))


def _depth_to_space(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    block = int(node.attrs["block"])
    writer.emit("DepthToSpace", node.name, inputs, output, blocksize=block, mode="DCR")


def _space_to_depth(writer: _Writer, node: Node, inputs: list[str], output: str) -> None:
    writer.emit("SpaceToDepth", node.name, inputs, output, blocksize=int(node.attrs["block"]))


_EMIT: Mapping[str, Callable[[_Writer, Node, list[str], str], None]] = {
    "conv2d": _conv,
    "transpose_conv": _transpose_conv,
    "relu": _plain("Relu"),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "add": _plain("Add"),
    "mul": _plain("Mul"),
    "concat": _plain("Concat", axis=1),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "resize_nearest": _resize_nearest,
    "clip": _clip,
}
