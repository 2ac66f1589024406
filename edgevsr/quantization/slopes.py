"""Leaky slopes and scales that every int8 kernel computes alike."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgevsr.graph.ir import Graph, Node, QuantParams

#: LiteRT's fast leaky kernels keep a slope in steps of 1/256; a slope on the grid loses nothing.
_SLOPE_STEPS = 256.0
#: The smallest negative factor, in those steps, that every kernel rounds once.
_SLOPE_LIFTED = 129.0


def on_slope_grid(graph: Graph) -> Graph:
    """Return the graph with leaky slopes on the grid that fast kernels keep exactly."""
    nodes = tuple(
        replace(node, attrs={**node.attrs, "slope": _grid_slope(node.attrs["slope"])})
        if node.op == "leaky_relu"
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _grid_slope(slope: float) -> float:
    return round(float(slope) * _SLOPE_STEPS) / _SLOPE_STEPS


def rounded_once(
    graph: Graph, leaky: Node, before: QuantParams, after: QuantParams
) -> tuple[Graph, QuantParams]:
    """Return a steep leaky layer with a finer output scale, where its codes have room for one.

    Reference kernels round a factor below 1/2 twice, fast ones once; a scale that lifts the
    negative side's factor just over 1/2 makes them agree. Both factors stay multiples of 1/256.
    """
    if after.scale != before.scale:
        return graph, after
    slope = float(leaky.attrs.get("slope", 0.0))
    if not _SLOPE_LIFTED / (2 * _SLOPE_STEPS) < slope < _SLOPE_LIFTED / _SLOPE_STEPS:
        return graph, after
    positive = round(_SLOPE_LIFTED / slope)
    highest = (127 - before.zero_point) * positive / _SLOPE_STEPS
    lowest = (128 + before.zero_point) * _SLOPE_LIFTED / _SLOPE_STEPS
    if highest + lowest > 255:
        return graph, after
    lifted = replace(leaky, attrs={**leaky.attrs, "slope": _SLOPE_LIFTED / positive})
    nodes = tuple(lifted if node is leaky else node for node in graph.nodes)
    scale = float(np.float32(before.scale * _SLOPE_STEPS / positive))
    return replace(graph, nodes=nodes), QuantParams(scale, min(127, -128 + math.ceil(lowest)))
