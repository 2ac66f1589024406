"""Channels brought to one range before they share one scale; the function stays the same.

A tensor has one int8 scale for all its channels, so a channel of small range would get few codes.
Rectifiers let a positive factor through: a channel times s here and its readers' weights over s
there cancel exactly.

Source: cross-layer equalization, Nagel et al., ICCV 2019, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Graph, Node

_ELEMENTWISE = ("relu", "leaky_relu", "prelu", "add")
_CONVOLUTIONS = ("conv2d", "transpose_conv")
_LARGEST_FACTOR = 64.0
_PERCENT = 0.1
_TINY = 1e-9
_NEGATIVE_SHARES = np.linspace(0.05, 0.8, 16)

#: For each scaled tensor, the factor of each channel.
Factors = dict[str, NDArray[np.float64]]


def equalize(
    graph: Graph,
    samples: Mapping[str, NDArray[np.float32]],
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[Graph, Factors]:
    """Return the equal graph whose channels fill their tensors' ranges, and each tensor's factors.

    `samples` are pixels (n, C) of every tensor of the float graph, `weights` say how much an error
    in each channel (C) counts.
    """
    factors: Factors = {}
    for group in _scalable_groups(graph):
        factor = _factor(graph, group, samples, weights)
        factors |= dict.fromkeys(group, factor)
    nodes = tuple(_scaled(node, factors) for node in graph.nodes)
    return replace(graph, nodes=nodes), factors


def _scalable_groups(graph: Graph) -> list[set[str]]:
    """Return groups of tensors that take the same factors: made and read by convolutions alone."""
    groups: list[set[str]] = []
    for node in graph.nodes:
        tied = {node.output, *node.inputs} if node.op in _ELEMENTWISE else {node.output}
        touching = [group for group in groups if group & tied]
        groups = [group for group in groups if not group & tied]
        groups.append(tied.union(*touching))
    return [group for group in groups if _is_scalable(graph, group)]


def _is_scalable(graph: Graph, group: set[str]) -> bool:
    if group & {*graph.inputs, *graph.outputs}:
        return False
    if len({graph.tensors[name].channels for name in group}) > 1:
        return False
    allowed = (*_ELEMENTWISE, *_CONVOLUTIONS)
    touching = [node for node in graph.nodes if group & {node.output, *node.inputs}]
    return all(node.op in allowed and node.attrs.get("groups", 1) == 1 for node in touching)


def _factor(
    graph: Graph,
    group: set[str],
    samples: Mapping[str, NDArray[np.float32]],
    weights: Mapping[str, NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Return the factor of each channel, at least 1.

    Codes are shared by a positive and a negative side: for each way to divide them, a channel
    grows until one of its sides is full, and the division that costs the picture least is taken.
    """
    made = [node.output for node in graph.nodes if node.output in group]
    filled = [name for name in made if _produced_by(graph, name) in (*_CONVOLUTIONS, "add")]
    weight = np.sum([weights[name] for name in made], axis=0).astype(np.float64)
    highs, lows = [], []
    for name in filled:
        low, high = np.percentile(samples[name], [_PERCENT, 100.0 - _PERCENT], axis=0)
        reach = max(float(high.max()), float(-low.min()), _TINY)
        highs.append(np.maximum(high, 0.0) / reach)
        lows.append(np.maximum(-low, 0.0) / reach)
    high, low = np.max(highs, axis=0) + _TINY, np.max(lows, axis=0) + _TINY
    best, chosen = np.inf, np.ones_like(high)
    for share in _NEGATIVE_SHARES:
        factor = np.minimum((1.0 - share) / high, share / low)
        cost = float(weight @ factor**-2.0)
        if cost < best:
            best, chosen = cost, factor
    factors: NDArray[np.float64] = np.minimum(chosen / chosen.min(), _LARGEST_FACTOR)
    return factors


def _produced_by(graph: Graph, name: str) -> str:
    return next(node.op for node in graph.nodes if node.output == name)


def _scaled(node: Node, factors: Factors) -> Node:
    """Return the node with its output times, and its input over, their factors."""
    if node.op not in _CONVOLUTIONS or node.weight is None:
        return node
    weight = node.weight.astype(np.float64)
    bias = node.bias
    if node.inputs[0] in factors:
        weight = weight / factors[node.inputs[0]]
    if node.output in factors:
        out = factors[node.output]
        weight = weight * out.reshape(-1, 1, 1, 1)
        bias = None if bias is None else (bias * out).astype(np.float32)
    return replace(node, weight=weight.astype(np.float32), bias=bias)
