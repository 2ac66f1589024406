"""Reads any .tflite file for what it costs: a graph that asks for the same work, operator by
operator, and computes nothing.

`graph.from_tflite` gives the function of a file and so leaves out the conversions at its ends and
refuses operators that it cannot compute. To predict a latency neither is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgevsr.errors import SourceError
from edgevsr.graph.ir import Array, Graph, Node, Op, QuantParams, TensorSpec
from edgevsr.graph.tflite_file import ModelEntry, OperatorEntry, TensorEntry, damaged, load_tflite

_CONVOLUTIONS: dict[str, Op] = {
    "CONV_2D": "conv2d",
    "DEPTHWISE_CONV_2D": "conv2d",
    "TRANSPOSE_CONV": "transpose_conv",
}
#: One value in, one value out: a lookup that the unit which computes the input can apply.
_ACTIVATIONS = (
    "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "TANH", "LOGISTIC",
    "HARD_SWISH", "ELU", "GELU", "ABS", "NEG", "MINIMUM", "MAXIMUM",
)  # fmt: skip
_SUMS = ("ADD", "SUB", "MUL")
#: A pass over the output, whatever is done to it.
_PASSES = (
    "CONCATENATION", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND",
    "QUANTIZE", "DEQUANTIZE", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "TRANSPOSE", "PAD",
    "STRIDED_SLICE", "SLICE", "SPLIT", "PACK", "TILE", "GATHER", "MAX_POOL_2D", "AVERAGE_POOL_2D",
)  # fmt: skip
_FREE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_ENDS = ("QUANTIZE", "DEQUANTIZE")


def cost_graph(path: Path) -> Graph:
    """Return a graph whose layers ask a device for the work of a .tflite file's operators.

    Raises:
        SourceError: not a .tflite file, damaged, of several subgraphs or dynamic shapes, or with
            an operator whose cost is not modelled.
    """
    model = load_tflite(path, str(path))
    with damaged(str(path)):
        return _Builder(model, str(path)).build()


def end_elements(path: Path) -> tuple[int, ...]:
    """Return the elements of each QUANTIZE and DEQUANTIZE at a .tflite file's ends.

    Raises:
        SourceError: not a .tflite file, or damaged.
    """
    model = load_tflite(path, str(path))
    ends = {*model.inputs, *model.outputs}
    return tuple(
        math.prod(model.tensors[operator.outputs[0]].shape)
        for operator in model.operators
        if operator.name in _ENDS and ends & {*operator.inputs, *operator.outputs}
    )


@dataclass
class _Builder:
    model: ModelEntry
    where: str
    nodes: list[Node] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)

    def build(self) -> Graph:
        images = [index for index in self.model.inputs if len(self._entry(index).shape) == 4]
        if not images or not self.model.outputs:
            raise SourceError(f"{self.where}: no input of shape N×H×W×C; is it an image network?")
        self.height, self.width = self._entry(images[0]).shape[1:3]
        if min(self.height, self.width) < 1:
            raise SourceError(f"{self.where}: its frame size is dynamic; export it at a fixed size")
        inputs = tuple(self._name(index) for index in self.model.inputs)
        for position, operator in enumerate(self.model.operators):
            self._add(operator, position)
        outputs = tuple(self._name(index) for index in self.model.outputs)
        quantized = any(node.weight is not None and node.weight.dtype == np.int8
                        for node in self.nodes)  # fmt: skip
        codes = QuantParams(1 / 255, -128)
        return Graph(
            inputs,
            outputs,
            tuple(self.nodes),
            self.tensors,
            dict.fromkeys(outputs, "sr") | dict.fromkeys(inputs, "frame"),
            qparams=dict.fromkeys(self.tensors, codes) if quantized else {},
            size=(self.width, self.height),
        )

    def _entry(self, index: int) -> TensorEntry:
        return self.model.tensors[index]

    def _name(self, index: int) -> str:
        if index not in self.names:
            self.names[index] = f"{index}:{self._entry(index).name}"
            self.tensors[self.names[index]] = self._spec(self._entry(index).shape)
        return self.names[index]

    def _spec(self, shape: tuple[int, ...]) -> TensorSpec:
        """Return channels and factor; what is no multiple of the frame counts its elements."""
        if len(shape) == 4 and shape[0] == 1 and shape[1] * self.width == shape[2] * self.height:
            common = math.gcd(shape[1], self.height)
            return TensorSpec(shape[3], (shape[1] // common, self.height // common))
        return TensorSpec(-(-math.prod(shape) // (self.height * self.width)))

    def _add(self, operator: OperatorEntry, position: int) -> None:
        given = [i for i in operator.inputs if i >= 0 and self._entry(i).data is None]
        if not given:
            return
        if operator.name in _FREE:
            self.names[operator.outputs[0]] = self._name(given[0])
            return
        inputs = tuple(dict.fromkeys(self._name(index) for index in given))
        name, output = f"{position}:{operator.name}", self._name(operator.outputs[0])
        if operator.name in _CONVOLUTIONS:
            weight = self._weight(operator)
            self.nodes.append(
                Node(_CONVOLUTIONS[operator.name], name, inputs[-1:], output, weight=weight)
            )
            return
        self.nodes.append(Node(self._op(operator, inputs), name, inputs, output))

    def _op(self, operator: OperatorEntry, inputs: tuple[str, ...]) -> Op:
        if operator.name in _ACTIVATIONS and len(inputs) == 1:
            return "relu"
        if operator.name in _SUMS or operator.name in _ACTIVATIONS:
            return "add"
        if operator.name in _PASSES:
            return "concat"
        raise SourceError(
            f"{self.where}: the cost of {operator.name} is not modelled; known: "
            f"{', '.join(sorted({*_CONVOLUTIONS, *_ACTIVATIONS, *_SUMS, *_PASSES, *_FREE}))}"
        )

    def _weight(self, operator: OperatorEntry) -> Array:
        entry = self._entry(operator.inputs[1])
        if len(entry.shape) != 4 or entry.dtype is None:
            raise SourceError(f"{self.where}: {operator.name} with weights {list(entry.shape)}")
        shape = entry.shape
        if operator.name == "DEPTHWISE_CONV_2D":
            shape = (shape[3], shape[1], shape[2], 1)
        return np.broadcast_to(np.zeros((), entry.dtype), shape)  # no memory behind the shape
