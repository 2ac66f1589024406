"""How much the picture suffers from an error in each channel of each tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.graph.reference import run_float, run_node_float
from edgevsr.graph.streaming import state_pairs

_SIDE = 40
_FRAMES = 3
_NUDGE = 0.01

Weights = dict[str, NDArray[np.float32]]


def channel_weights(graph: Graph, feeds: Sequence[Mapping[str, Array]]) -> Weights:
    """Return, for every tensor, the output's squared error for a unit one in each channel (C).

    Measured: each channel is nudged at random by a hundredth of its tensor's range and the rest of
    the float network run again, on a small crop of a few `feeds`, inputs by name. An error in a
    state counts as what it does to the next frame.
    """
    rng = np.random.default_rng(2)
    chosen = [feeds[i] for i in np.linspace(0, len(feeds) - 1, _FRAMES).astype(int)]
    weights = {name: np.zeros(spec.channels, np.float32) for name, spec in graph.tensors.items()}
    for feed in chosen:
        crop = {name: values[:, :_SIDE, :_SIDE] for name, values in feed.items()}
        tensors = run_float(graph, crop)
        ends = {graph.output_of("sr"): np.ones(graph.channels, np.float32)}
        following = Weights()
        for state, output in state_pairs(graph):
            following[output] = _nudged(graph, tensors, state, graph.nodes, ends, rng)
            weights[state] += following[output]
            weights[output] += following[output]
        for index, node in enumerate(graph.nodes):
            if node.output not in graph.outputs:
                later = graph.nodes[index + 1 :]
                weights[node.output] += _nudged(
                    graph, tensors, node.output, later, ends | following, rng
                )
    return {name: values / np.float32(len(chosen)) for name, values in weights.items()}


def _nudged(
    graph: Graph,
    tensors: Mapping[str, Array],
    name: str,
    later: Sequence[Node],
    ends: Weights,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the error at the `ends`, by the weight of their channels, for a nudge of each
    channel of tensor `name`, which the nodes in `later` may read.
    """
    value = tensors[name]
    channels = value.shape[3]
    size = _NUDGE * max(float(np.abs(value).max()), 1e-6)
    signs = rng.choice(np.array([-size, size], np.float32), value.shape[1:3])
    # One copy of the frame a channel, each with that channel nudged.
    copies = np.repeat(value, channels, axis=0)
    copies[np.arange(channels), :, :, np.arange(channels)] += signs
    changed: dict[str, Array] = {name: copies}
    for node in later:
        if any(source in changed for source in node.inputs):
            changed[node.output] = run_node_float(
                node, [_as_many(changed.get(s, tensors[s]), channels) for s in node.inputs]
            )
    error = np.zeros(channels, np.float32)
    for end, weight in ends.items():
        if end in changed:
            squares = np.mean((changed[end] - tensors[end]) ** 2, axis=(1, 2)) / size**2
            error += (squares * weight).mean(axis=1)
    return error


def _as_many(value: Array, count: int) -> Array:
    return value if len(value) == count else np.repeat(value, count, axis=0)
