"""Weights kept as float16: half the bytes, computed with as float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgevsr.errors import ExportError
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.ir import Array, Graph

#: The key of a graph's meta that says how its float weights are kept; absent where as float32.
WEIGHTS_KEY = "weights"
HALF = "float16"


def has_half_weights(graph: Graph) -> bool:
    """Whether the weights of a float graph are kept as float16."""
    return not graph.quantized and graph.meta.get(WEIGHTS_KEY) == HALF


def half_weights(graph: Graph) -> Graph:
    """Return a float graph with weights, biases and slopes rounded to float16.

    Raises:
        ExportError: the graph is int8, or a weight is beyond float16.
    """
    _check_float(graph)
    if has_half_weights(graph):
        return graph
    nodes = tuple(
        replace(node, weight=_half(node.weight, node.name), bias=_half(node.bias, node.name))
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes).with_meta(**{WEIGHTS_KEY: HALF})


def full_weights(graph: Graph) -> Graph:
    """Return a float graph whose weights are kept as float32, whatever they were rounded to.

    Raises:
        ExportError: the graph is int8.
    """
    _check_float(graph)
    meta = {key: value for key, value in graph.meta.items() if key != WEIGHTS_KEY}
    return replace(graph, meta=meta)


def _check_float(graph: Graph) -> None:
    if graph.quantized or has_int16(graph):
        raise ExportError(
            "this network is quantized, and its weights are int8; leave --weights out, or export "
            "the float network it came from"
        )


def _half(values: Array | None, name: str) -> Array | None:
    if values is None:
        return None
    largest = float(np.abs(values).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ExportError(
            f"layer {name!r}: holds {largest:g}, beyond float16; export with float32 weights"
        )
    return values.astype(np.float16).astype(np.float32)
