"""Channels that are the frame itself, kept so in int8: layers hand its codes on unrounded.

An FSRCNN has no image residual; its frame comes along among the channels. Were it of any other
range than the codes', each layer would round it anew, and that costs more than detail brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Graph, Node, QuantParams
from edgevsr.quantization.equalization import scalable_groups, scaled

#: For each channel of a tensor, what the frame counts there: 0 where the channel is anything else.
Gains = NDArray[np.float64]

_ALL_POSITIVE = -128


def keep_copies(graph: Graph, qparams: Mapping[str, QuantParams]) -> Graph:
    """Return the equal graph whose copies of the frame have one code for each of its codes."""
    gains = _copies(graph)
    factors = {}
    for group in scalable_groups(graph):
        (name, *others) = group
        gain, params = gains.get(name), qparams.get(name)
        if others or gain is None or params is None or params.zero_point != _ALL_POSITIVE:
            continue
        wanted = 255.0 * params.scale / np.where(gain > 0, gain, 1.0)
        factors[name] = np.where(gain > 0, wanted, 1.0)
    return replace(graph, nodes=tuple(scaled(node, factors) for node in graph.nodes))


def _copies(graph: Graph) -> dict[str, Gains]:
    """Return the gains of every tensor that has copies of the frame among its channels."""
    gains: dict[str, Gains] = {}
    for name, role in graph.roles.items():
        if role == "frame" and name in graph.inputs:
            gains[name] = np.ones(graph.tensors[name].channels)
    for node in graph.nodes:
        if node.op == "conv2d" and node.inputs[0] in gains:
            found = _handed_on(node, gains[node.inputs[0]])
            if found.any():
                gains[node.output] = found
    return gains


def _handed_on(node: Node, gains: Gains) -> Gains:
    """Return what a convolution's outputs are of the frame, where they are nothing else."""
    assert node.weight is not None
    channels, height, width, _ = node.weight.shape
    if node.attrs.get("groups", 1) != 1:
        return np.zeros(channels)
    centre = node.weight[:, height // 2, width // 2].astype(np.float64)
    alone = np.count_nonzero(node.weight.reshape(channels, -1), axis=1) == 1
    if node.bias is not None:
        alone &= node.bias == 0.0
    found: Gains = np.where(alone, np.maximum(centre @ gains, 0.0), 0.0)
    return found
