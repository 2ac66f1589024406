"""int8 weights under int16 activations (w8a16): a float graph that knows its integers.

Its weights are what the codes stand for, so that everything made for float graphs holds for it;
`meta[INT16_KEY]` has the scales, from which ONNX files are written. Zero points are 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgevsr.errors import ExportError
from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.quantize_int import quantize_bias

#: {"activations": {tensor: scale}, "weights": {node: scales}}
INT16_KEY = "int16"
#: A pixel of 8 bits is 128 codes, so pixels are codes and white leaves a step of headroom.
IMAGE_SCALE_INT16 = 1.0 / (128 * 255)


def has_int16(graph: Graph) -> bool:
    """Whether a graph's activations are int16 in its file."""
    return not graph.quantized and INT16_KEY in graph.meta


def with_int16(integers: Graph) -> Graph:
    """Return the float graph of integer weights and the scales of every tensor beside them."""
    nodes = tuple(real_node(node, integers.qparams) for node in integers.nodes)
    scales = {
        "activations": {name: q.scale for name, q in integers.qparams.items()},
        "weights": {
            node.name: [float(scale) for scale in node.weight_scale]
            for node in integers.nodes
            if node.weight_scale is not None
        },
    }
    return replace(integers, nodes=nodes, qparams={}).with_meta(**{INT16_KEY: scales})


def real_node(node: Node, qparams: Mapping[str, QuantParams]) -> Node:
    """Return the node with the float weights and biases that its integers stand for."""
    if node.weight is None or node.weight_scale is None:
        return node
    scale = node.weight_scale.astype(np.float64)
    bias = node.bias
    if bias is not None:
        bias = (bias * _bias_scale(node, node.weight_scale, qparams)).astype(np.float32)
    weight = (node.weight * _along_output(scale, node.weight)).astype(np.float32)
    return replace(node, weight=weight, bias=bias, weight_scale=None)


def integers_of(graph: Graph) -> Graph:
    """Return the integers that an int16 file holds: codes of weights, and a scale a tensor.

    Raises:
        ExportError: the scales do not fit the network; names what has none.
    """
    scales = graph.meta.get(INT16_KEY)
    activations = _entries(scales, "activations", graph.tensors)
    learned = [node.name for node in graph.nodes if node.weight is not None]
    weights = _entries(scales, "weights", learned)
    qparams = {
        name: QuantParams(float(_positive(activations[name], 1, name)[0]), 0)
        for name in graph.tensors
    }
    nodes = tuple(
        node if node.weight is None else _integers(node, weights[node.name], qparams)
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, qparams=qparams)


def _integers(node: Node, scales: Any, qparams: Mapping[str, QuantParams]) -> Node:
    assert node.weight is not None
    count = 1 if node.op == "prelu" else node.weight.shape[0]
    scale = _positive(scales, count, node.name)
    real = node.weight / _along_output(scale.astype(np.float64), node.weight)
    codes = np.rint(real)
    if np.abs(codes).max(initial=0) > 127 or np.abs(real - codes).max(initial=0) > 0.01:
        raise ExportError(f"layer {node.name!r}: its weights are not int8 at its scales; {_AGAIN}")
    bias = node.bias
    if bias is not None:
        bias = quantize_bias(bias, 1.0, _bias_scale(node, scale, qparams))
    return replace(node, weight=codes.astype(np.int8), weight_scale=scale, bias=bias)


def _bias_scale(node: Node, scale: Array, qparams: Mapping[str, QuantParams]) -> Array:
    """Return the scales of the bias as the file has them: their product in float32."""
    product: Array = np.float32(qparams[node.inputs[0]].scale) * scale.astype(np.float32)
    return product.astype(np.float64)


def _along_output(scale: Array, weight: Array) -> Array:
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


_AGAIN = "quantize the float network again: edgevsr quantize SOURCE --activations int16"


def _entries(scales: Any, key: str, names: Any) -> Mapping[str, Any]:
    entries = scales.get(key) if isinstance(scales, Mapping) else None
    missing = [n for n in names if n not in entries] if isinstance(entries, Mapping) else [key]
    if missing or not isinstance(entries, Mapping):
        raise ExportError(f"{missing[0]!r} of an int16 network has no scale; {_AGAIN}")
    return entries


def _positive(value: Any, count: int, name: str) -> Array:
    """Return `count` scales of untrusted JSON as float32."""
    values = value if isinstance(value, list) else [value]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if len(values) != count or not numbers or not all(v > 0 and math.isfinite(v) for v in values):
        raise ExportError(f"{name!r} of an int16 network has a damaged scale; {_AGAIN}")
    return np.asarray(values, np.float32)
