"""Writes a graph as .tflite directly: NHWC, no TRANSPOSE, the same graph always the same bytes.

Operator versions are the lowest that mean the same, so that runtimes of old phones accept the
file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgevsr import __version__
from edgevsr.errors import ExportError, nearest
from edgevsr.exporters.flatbuffer import TfliteFile
from edgevsr.exporters.tflite_ops import emit_node
from edgevsr.graph.half import HALF, has_half_weights
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.normalise import drop_idle_clips
from edgevsr.graph.roles import METADATA_KEY, metadata_text
from edgevsr.graph.streaming import fed_back

IO_DTYPES = ("int8", "uint8", "float")
IMAGE_ROLES = ("frame", "previous_frame", "previous_sr", "sr")


def tflite_bytes(
    graph: Graph,
    size: tuple[int, int],
    io: str = "int8",
    *,
    outputs: Sequence[str] | None = None,
) -> bytes:
    """Return the graph as a .tflite file for LR frames of `size` (width, height).

    `io` is the type of the image tensors of an int8 graph: int8 (value = pixel - 128), uint8 or
    float in [0, 1], with one conversion at each end; states stay int8. A float graph always has
    float ends. `outputs` names the tensors to emit in the place of the graph's outputs.

    Raises:
        ExportError: unknown `io` or output, a size that the graph cannot take, int16
            activations, a state whose input and output differ in scale, or an int8 value that has
            no scale.
    """
    if io not in IO_DTYPES:
        raise ExportError(f"io {io!r}: expected int8, uint8 or float{nearest(io, IO_DTYPES)}")
    if has_int16(graph):
        raise ExportError(
            "this network has int16 activations, and LiteRT has no int16 DEPTH_TO_SPACE; export to "
            "target onnx, or quantize to int8: edgevsr quantize SOURCE --calib FRAMES"
        )
    graph = _prepared(graph, size, outputs)
    writer = TfliteWriter(graph, size, io if graph.quantized else "int8")
    inputs = {name: writer.input_tensor(name) for name in graph.inputs}
    for node in graph.nodes:
        emit_node(writer, node)
    ends = {name: writer.output_tensor(name) for name in graph.outputs}
    writer.file.metadata(METADATA_KEY, metadata_text(graph).encode())
    return writer.file.finish(inputs, ends)


def _prepared(graph: Graph, size: tuple[int, int], outputs: Sequence[str] | None) -> Graph:
    """Return the graph that is written: checked, its idle clips dropped, its outputs chosen."""
    if outputs is None:
        graph = drop_idle_clips(graph)
    else:
        unknown = next((name for name in outputs if name not in graph.tensors), None)
        if unknown is not None:
            raise ExportError(
                f"output {unknown!r}: no such tensor{nearest(unknown, graph.tensors)}"
            )
        graph = replace(graph, outputs=tuple(outputs))
    width, height = size
    for name, spec in graph.tensors.items():
        numerator, denominator = spec.factor
        if width * numerator % denominator or height * numerator % denominator:
            raise ExportError(
                f"size {width}x{height}: tensor {name!r} has 1/{denominator} of it; give a --size "
                f"whose width and height are multiples of {denominator}"
            )
        if min(graph.shape(name, size)) < 1:
            raise ExportError(f"size {width}x{height}: width and height must be at least 1")
    if graph.quantized:
        _check_quantization(graph)
    return graph


def _check_quantization(graph: Graph) -> None:
    missing = next((name for name in graph.tensors if name not in graph.qparams), None)
    if missing is not None:
        raise ExportError(f"tensor {missing!r} of an int8 graph has no scale; quantize it again")
    for name, output in fed_back(graph):
        if graph.qparams[name] != graph.qparams[output]:
            raise ExportError(
                f"{graph.roles[name].replace('state_in:', 'state ')}: input {name!r} and output "
                f"{output!r} differ in scale, so one cannot feed the other; quantize the float "
                "net here"
            )


class TfliteWriter:
    """Turns tensors and constants of the graph into indices of the file."""

    def __init__(self, graph: Graph, size: tuple[int, int], io: str) -> None:
        self.graph, self.size, self.io = graph, size, io
        self.file = TfliteFile(f"edgevsr {__version__}")
        self.dtype = np.int8 if graph.quantized else np.float32
        self.half = has_half_weights(graph)
        self.indices: dict[str, int] = {}

    def activation(self, tensor: str) -> int:
        """Add the tensor of an activation and return its index."""
        named = f"{tensor}_int8" if self._converted(tensor) else tensor
        self.indices[tensor] = self.body_tensor(named, tensor)
        return self.indices[tensor]

    def body_tensor(self, name: str, like: str) -> int:
        """Add a tensor with the shape and quantization of one of the graph's."""
        shape = self.graph.shape(like, self.size)
        if not self.graph.quantized:
            return self.file.tensor(name, shape, np.float32)
        q = self.graph.qparams[like]
        return self.file.tensor(name, shape, np.int8, None, q.scale, q.zero_point)

    def constant(self, name: str, values: Array, scale: Any = None, axis: int = 0) -> int:
        """Add a constant; a scale makes it symmetric quantized."""
        return self.file.tensor(name, values.shape, values.dtype, values, scale, 0, axis)

    def weight(self, name: str, values: Array, scale: Any = None, axis: int = 0) -> int:
        """Add a constant that a layer learned; a float one is kept as the graph keeps weights."""
        if not self.half or scale is not None:
            return self.constant(name, values, scale, axis)
        read = self.file.tensor(name, values.shape, np.float32)
        kept = self.constant(f"{name}/{HALF}", values.astype(np.float16))
        self.file.operator("DEQUANTIZE", 3, [kept], read)
        return read

    def input_tensor(self, tensor: str) -> int:
        """Add an input of the file, converted to int8 where it has another type."""
        if not self._converted(tensor):
            return self.activation(tensor)
        outer = self._outer_tensor(tensor)
        self.file.operator("QUANTIZE", 1, [outer], self.activation(tensor))
        return outer

    def output_tensor(self, tensor: str) -> int:
        """Return the index of an output of the file, converted from int8 where it has to be."""
        if not self._converted(tensor):
            return self.indices[tensor]
        outer = self._outer_tensor(tensor)
        name, version = ("QUANTIZE", 1) if self.io == "uint8" else ("DEQUANTIZE", 2)
        self.file.operator(name, version, [self.indices[tensor]], outer)
        return outer

    def _converted(self, tensor: str) -> bool:
        at_end = tensor in self.graph.inputs or tensor in self.graph.outputs
        is_image = self.graph.roles.get(tensor) in IMAGE_ROLES
        return self.io != "int8" and at_end and is_image

    def _outer_tensor(self, tensor: str) -> int:
        shape = self.graph.shape(tensor, self.size)
        if self.io == "float":
            return self.file.tensor(tensor, shape, np.float32)
        q = self.graph.qparams[tensor]
        return self.file.tensor(tensor, shape, np.uint8, None, q.scale, q.zero_point + 128)
