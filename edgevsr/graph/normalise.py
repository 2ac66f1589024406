"""Exact rearrangements of a graph: the same function with other nodes.

Each takes a graph and returns a graph, float or int8; int8 results keep every code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgevsr.graph.ir import Array, Graph, Node, QuantParams, TensorSpec

_FUSES_RELU = ("conv2d", "transpose_conv", "add", "mul")
_ELEMENTWISE = ("relu", "leaky_relu", "clip", "prelu")


def producer_of(graph: Graph, tensor: str) -> Node | None:
    """Return the node that makes this tensor, or None for an input of the graph."""
    return next((node for node in graph.nodes if node.output == tensor), None)


def used_once(graph: Graph, tensor: str) -> bool:
    """Whether exactly one input of one node reads this tensor and it is no output."""
    uses = sum(node.inputs.count(tensor) for node in graph.nodes)
    return uses == 1 and tensor not in graph.outputs


def with_nodes(
    graph: Graph,
    nodes: Sequence[Node],
    tensors: Mapping[str, TensorSpec] | None = None,
    qparams: Mapping[str, QuantParams] | None = None,
) -> Graph:
    """Return the graph with these nodes, its tables extended by the new tensors and cut to fit."""
    used = {*graph.inputs, *graph.outputs}
    for node in nodes:
        used |= {node.output, *node.inputs}
    all_tensors = {**graph.tensors, **(tensors or {})}
    all_qparams = {**graph.qparams, **(qparams or {})}
    return replace(
        graph,
        nodes=tuple(nodes),
        tensors={name: spec for name, spec in all_tensors.items() if name in used},
        qparams={name: q for name, q in all_qparams.items() if name in used},
    )


def replace_node(
    graph: Graph,
    old: Node,
    new: Sequence[Node],
    tensors: Mapping[str, TensorSpec] | None = None,
    qparams: Mapping[str, QuantParams] | None = None,
) -> Graph:
    """Return the graph with `new` in the place of one node."""
    nodes = [other for node in graph.nodes for other in (new if node is old else (node,))]
    return with_nodes(graph, nodes, tensors, qparams)


def fresh_name(graph: Graph, wish: str) -> str:
    """Return `wish`, or the first of wish_2, wish_3 … that no tensor or node has."""
    taken = {*graph.tensors, *(node.name for node in graph.nodes)}
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    return name


def fuse_relu(graph: Graph) -> Graph:
    """Fuse every ReLU into the node before it, where that node feeds nothing else.

    In an int8 graph a ReLU stays when its input has a scale of its own: the codes in between are
    part of the function.
    """
    for relu in [node for node in graph.nodes if node.op == "relu"]:
        before = relu.inputs[0]
        producer = producer_of(graph, before)
        if (
            producer is None
            or producer.op not in _FUSES_RELU
            or producer.activation != "none"
            or not used_once(graph, before)
            or before in graph.qparams
        ):
            continue
        fused = replace(producer, output=relu.output, activation="relu")
        nodes = [fused if node is producer else node for node in graph.nodes if node is not relu]
        graph = with_nodes(graph, nodes)
    return graph


def drop_idle_clips(graph: Graph) -> Graph:
    """Drop the clips of an int8 graph whose bounds no code of their tensor exceeds."""
    while True:
        clip = next((node for node in graph.nodes if _is_idle_clip(graph, node)), None)
        if clip is None:
            return graph
        before, after = clip.inputs[0], clip.output
        keep, drop = (after, before) if after in graph.outputs else (before, after)
        graph = _merged(graph, clip, keep, drop)


def _is_idle_clip(graph: Graph, node: Node) -> bool:
    if node.op != "clip" or not graph.quantized:
        return False
    before, after = node.inputs[0], node.output
    if graph.qparams[before] != graph.qparams[after]:
        return False
    if after in graph.outputs and before in (*graph.outputs, *graph.inputs):
        return False
    q = graph.qparams[before]
    lowest, highest = (-128 - q.zero_point) * q.scale, (127 - q.zero_point) * q.scale
    slack = q.scale / 2
    return bool(node.attrs["low"] <= lowest + slack and node.attrs["high"] >= highest - slack)


def _merged(graph: Graph, between: Node, keep: str, drop: str) -> Graph:
    """Return the graph without `between`, the two tensors beside it being one."""
    nodes = []
    for node in graph.nodes:
        if node is between:
            continue
        inputs = tuple(keep if name == drop else name for name in node.inputs)
        output = keep if node.output == drop else node.output
        nodes.append(replace(node, inputs=inputs, output=output))
    return with_nodes(graph, nodes)


def permute_input(graph: Graph, consumer: str, index: int, order: Sequence[int]) -> Graph:
    """Reorder the channels that one node reads: channel i becomes what was channel order[i].

    `consumer` is the node's output tensor. The order moves into the weights of the convolutions
    that make the channels, through element-wise nodes and sums; where it cannot, a 1×1
    convolution carries it.
    """
    reader = producer_of(graph, consumer)
    assert reader is not None
    tensor = reader.inputs[index]
    if list(order) == list(range(len(order))):
        return graph
    if not _can_reorder(graph, tensor):
        return _insert_permutation(graph, reader, index, order)
    producer = producer_of(graph, tensor)
    assert producer is not None
    if producer.op in ("conv2d", "transpose_conv", "prelu"):
        graph = replace_node(graph, producer, [_reordered(producer, order)])
    if producer.op in _ELEMENTWISE:
        return permute_input(graph, tensor, 0, order)
    if producer.op == "add":
        for operand, name in enumerate(producer.inputs):
            if graph.tensors[name].channels > 1:
                graph = permute_input(graph, tensor, operand, order)
    return graph


def _can_reorder(graph: Graph, tensor: str) -> bool:
    """Whether a producer of this tensor can take a channel order into its weights."""
    producer = producer_of(graph, tensor)
    if producer is None or not used_once(graph, tensor):
        return False
    if producer.op == "conv2d":
        return int(producer.attrs.get("groups", 1)) == 1
    if producer.op in (*_ELEMENTWISE, "add"):
        wide = [name for name in producer.inputs if graph.tensors[name].channels > 1]
        return any(_can_reorder(graph, name) for name in wide)
    return producer.op == "transpose_conv"


def _reordered(node: Node, order: Sequence[int]) -> Node:
    index = np.asarray(order)

    def take(values: Array | None) -> Array | None:
        per_channel = values is not None and values.shape[0] == len(index)
        return values[index] if values is not None and per_channel else values

    return replace(
        node,
        weight=take(node.weight),
        bias=take(node.bias),
        weight_scale=take(node.weight_scale),
    )


def _insert_permutation(graph: Graph, reader: Node, index: int, order: Sequence[int]) -> Graph:
    tensor = reader.inputs[index]
    name = fresh_name(graph, f"{tensor}_ordered")
    node = channel_mix(
        name, tensor, name, np.eye(len(order), dtype=np.int8)[list(order)], graph.quantized
    )
    inputs = tuple(name if i == index else other for i, other in enumerate(reader.inputs))
    qparams = {name: graph.qparams[tensor]} if graph.quantized else {}
    changed = [node, replace(reader, inputs=inputs)]
    return replace_node(graph, reader, changed, {name: graph.tensors[tensor]}, qparams)


def channel_mix(name: str, tensor: str, output: str, matrix: Array, quantized: bool) -> Node:
    """Return the 1×1 convolution with a whole-numbered (O, I) matrix and no bias.

    Its int8 form has scale 1, so with equal scales in and out it moves codes unchanged.
    """
    weight = matrix[:, None, None, :].astype(np.int8 if quantized else np.float32)
    scale = np.ones(len(matrix), np.float32) if quantized else None
    return Node("conv2d", name, (tensor,), output, {"groups": 1}, weight, weight_scale=scale)


def crd_order(channels: int, block: int) -> list[int]:
    """Return the channel order that turns a CRD depth_to_space (torch's) into a DCR one.

    `channels` are those after depth_to_space: CRD keeps channel c at c·block² + k, DCR at
    k·channels + c.
    """
    return [c * block**2 + k for k in range(block**2) for c in range(channels)]


def dense_weight(weight: Array, groups: int) -> Array:
    """Return OHWI weights of a grouped convolution as those of the equal dense one."""
    out_channels, height, width, fan_in = weight.shape
    dense = np.zeros((out_channels, height, width, fan_in * groups), weight.dtype)
    per_group = out_channels // groups
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        dense[rows, :, :, group * fan_in : (group + 1) * fan_in] = weight[rows]
    return dense
