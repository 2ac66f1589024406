"""How much the picture suffers from an error in each channel of each tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.reference import run_float, run_node_float

_SIDE = 40
_FRAMES = 3
_NUDGE = 0.01


def channel_weights(
    graph: Graph, frames: Sequence[NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return, for every tensor, the output's squared error for a unit one in each channel (C).

    Measured: each channel is nudged at random by a hundredth of its tensor's range and the rest of
    the float network run again, on a small crop of a few frames.
    """
    rng = np.random.default_rng(2)
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, _FRAMES).astype(int)]
    weights = {name: np.zeros(spec.channels, np.float32) for name, spec in graph.tensors.items()}
    for frame in chosen:
        crop = frame[:_SIDE, :_SIDE][None]
        tensors = run_float(graph, {graph.inputs[0]: crop})
        for index, node in enumerate(graph.nodes):
            name = node.output
            if name in graph.outputs:
                continue
            weights[name] += _nudged(graph, tensors, index, rng)
    return {name: values / np.float32(len(chosen)) for name, values in weights.items()}


def _nudged(
    graph: Graph, tensors: dict[str, Array], index: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the error at the output for a nudge of each channel of node `index`'s output."""
    name = graph.nodes[index].output
    value = tensors[name]
    channels = value.shape[3]
    size = _NUDGE * max(float(np.abs(value).max()), 1e-6)
    signs = rng.choice(np.array([-size, size], np.float32), value.shape[1:3])
    # One copy of the frame a channel, each with that channel nudged.
    copies = np.repeat(value, channels, axis=0)
    copies[np.arange(channels), :, :, np.arange(channels)] += signs
    changed: dict[str, Array] = {name: copies}
    for node in graph.nodes[index + 1 :]:
        if any(source in changed for source in node.inputs):
            changed[node.output] = run_node_float(
                node, [_as_many(changed.get(s, tensors[s]), channels) for s in node.inputs]
            )
    out = graph.outputs[0]
    difference = changed[out] - tensors[out] if out in changed else np.zeros((channels, 1, 1, 1))
    error: NDArray[np.float32] = np.mean(difference**2, axis=(1, 2, 3)) / size**2
    return error.astype(np.float32)


def _as_many(value: Array, count: int) -> Array:
    return value if len(value) == count else np.repeat(value, count, axis=0)
