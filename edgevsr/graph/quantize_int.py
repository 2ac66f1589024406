"""From real numbers to the integers that int8 kernels take: weights, biases, slopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.streaming import fed_back

#: The key of a float graph's meta, and of a checkpoint's description, that holds the scale and
#: zero point of every tensor where training has settled them.
RANGES_KEY = "int8_ranges"

#: Operations that move or clip codes and never change what a code stands for.
PASS_THROUGH = ("depth_to_space", "space_to_depth", "resize_nearest", "clip", "concat")

# Weight scales below this vanish in the kernels' fixed-point multipliers.
_SMALLEST_SCALE = 1e-8
# A bias is kept a bit short of int32, so that the sum of products still has room beside it.
_LARGEST_BIAS = 2.0**30


def tied_tensors(graph: Graph) -> list[frozenset[str]]:
    """Return the groups of tensors that must share scale and zero point.

    These are the two sides of every pass-through operation, and what is fed back.
    """
    group: dict[str, set[str]] = {name: {name} for name in graph.tensors}

    def tie(a: str, b: str) -> None:
        if group[a] is not group[b]:
            group[a] |= group[b]
            for name in group[b]:
                group[name] = group[a]

    for node in graph.nodes:
        if node.op in PASS_THROUGH:
            for name in node.inputs:
                tie(node.output, name)
    for name, output in fed_back(graph):
        tie(name, output)
    unique = {id(members): frozenset(members) for members in group.values() if len(members) > 1}
    return list(unique.values())


def quantize_constants(graph: Graph, qparams: Mapping[str, QuantParams]) -> Graph:
    """Return the int8 graph of a float one, given the scale and zero point of every tensor.

    Weights become symmetric int8 with a scale an output channel, biases int32 at
    input scale × weight scale, PReLU slopes int8 with one scale.
    """
    exact = {
        name: QuantParams(float(np.float32(q.scale)), q.zero_point) for name, q in qparams.items()
    }
    nodes = tuple(quantize_node(node, exact[node.inputs[0]].scale) for node in graph.nodes)
    return replace(graph, nodes=nodes, qparams=exact)


def quantize_node(node: Node, input_scale: float) -> Node:
    if node.weight is None:
        return node
    if node.op == "prelu":
        codes, scale = quantize_slopes(node.weight)
        return replace(node, weight=codes, weight_scale=scale)
    scale = weight_scales(node.weight, node.bias, input_scale)
    bias = None if node.bias is None else quantize_bias(node.bias, input_scale, scale)
    return replace(node, weight=quantize_weight(node.weight, scale), weight_scale=scale, bias=bias)


def weight_scales(weight: Array, bias: Array | None, input_scale: float) -> NDArray[np.float32]:
    """Return one scale an output channel, large enough for the weights and for an int32 bias."""
    largest = np.abs(weight).max(axis=(1, 2, 3)).astype(np.float64)
    scale = np.maximum(largest / 127.0, _SMALLEST_SCALE)
    if bias is not None:
        scale = np.maximum(scale, np.abs(bias.astype(np.float64)) / (input_scale * _LARGEST_BIAS))
    return np.asarray(scale, np.float32)


def quantize_weight(weight: Array, scale: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return OHWI weights as int8 codes in [-127, 127], nearest to even."""
    codes = np.rint(weight.astype(np.float64) / scale.reshape(-1, 1, 1, 1))
    return np.clip(codes, -127, 127).astype(np.int8)


def quantize_bias(bias: Array, input_scale: float, scale: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return biases as int32 at input scale × weight scale."""
    codes = np.rint(bias.astype(np.float64) / (input_scale * scale.astype(np.float64)))
    limits = np.iinfo(np.int32)
    return np.clip(codes, limits.min, limits.max).astype(np.int32)


def quantize_slopes(slopes: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return PReLU slopes as int8 codes and their one scale."""
    scale = np.float32(max(float(np.abs(slopes).max()) / 127.0, _SMALLEST_SCALE))
    codes = np.clip(np.rint(slopes.astype(np.float64) / float(scale)), -127, 127)
    return codes.astype(np.int8), np.array([scale], np.float32)
