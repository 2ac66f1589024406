"""Channels brought to one range before they share one scale; the function stays the same.

A tensor has one int8 scale for all its channels, so a channel of small range would get few codes.
Rectifiers let a positive factor through: a channel times s here and its readers' weights over s
there cancel exactly.

Source: cross-layer equalization, Nagel et al., ICCV 2019, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Graph, Node

_ELEMENTWISE = ("relu", "leaky_relu", "prelu", "add")
_CONVOLUTIONS = ("conv2d", "transpose_conv")
_LARGEST_FACTOR = 64.0
_PERCENT = 0.1
_TINY = 1e-9
_RECTIFIERS = ("relu", "leaky_relu", "prelu")
_STEPS = (0.5, 0.7, 0.85, 0.95, 1.05, 1.2, 1.4, 2.0)
_ROUNDS = 20
#: Another round is worth its while where this share of the cost went in the last one.
_WORTHWHILE = 1e-3
#: How much finer the scale behind a rectifier may be than the one before it.
FINEST = 4.0

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
    for group in scalable_groups(graph):
        factor = _factor(graph, group, samples, weights)
        factors |= dict.fromkeys(group, factor)
    nodes = tuple(scaled(node, factors) for node in graph.nodes)
    return replace(graph, nodes=nodes), factors


def scalable_groups(graph: Graph) -> list[set[str]]:
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
    """Return the factor of each channel, at least 1: where no channel's change costs less."""
    spans = _spans(graph, group, samples, weights)
    factor = np.ones(len(spans[0].weight))
    least = _cost(spans, factor)
    for _ in range(_ROUNDS):
        before = least
        for channel in range(len(factor)):
            for step in _STEPS:
                tried = factor.copy()
                tried[channel] *= step
                cost = _cost(spans, tried)
                if cost < least:
                    factor, least = tried, cost
        if least > before * (1.0 - _WORTHWHILE):
            break
    factors: NDArray[np.float64] = np.minimum(factor / factor.min(), _LARGEST_FACTOR)
    return factors


@dataclass(frozen=True)
class _Span:
    """How far each channel of a tensor reaches above and below zero, what an error in it counts,
    and behind a rectifier the place of the tensor before it."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    weight: NDArray[np.float64]
    before: int | None


def _spans(
    graph: Graph,
    group: set[str],
    samples: Mapping[str, NDArray[np.float32]],
    weights: Mapping[str, NDArray[np.float32]],
) -> list[_Span]:
    made = [node for node in graph.nodes if node.output in group]
    places = {node.output: place for place, node in enumerate(made)}
    spans = []
    for node in made:
        low, high = np.percentile(samples[node.output], [_PERCENT, 100.0 - _PERCENT], axis=0)
        before = places[node.inputs[0]] if node.op in _RECTIFIERS else None
        spans.append(
            _Span(
                np.maximum(high, 0.0) + _TINY,
                np.maximum(-low, 0.0) + _TINY,
                weights[node.output].astype(np.float64),
                before,
            )
        )
    return spans


def _cost(spans: list[_Span], factor: NDArray[np.float64]) -> float:
    """Return the picture's squared error, up to a constant, with the channels times `factor`."""
    cost, steps = 0.0, list[float]()
    for span in spans:
        step = float((factor * span.high).max() + (factor * span.low).max())
        if span.before is not None:
            coarse = steps[span.before]
            step = min(max(step, coarse / FINEST), coarse)
        steps.append(step)
        cost += step**2 * float(span.weight @ factor**-2.0)
    return cost


def scaled(node: Node, factors: Factors) -> Node:
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
