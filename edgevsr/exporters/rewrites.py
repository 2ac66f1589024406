"""Rewrites that targets ask for: the same function in operators that the target runs well.

Each is a pure function from graph to graph, exact in float and code for code in int8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgevsr.errors import ExportError
from edgevsr.graph.ir import Array, Graph, Node, TensorSpec
from edgevsr.graph.normalise import fresh_name, permute_input, replace_node, with_nodes
from edgevsr.graph.sampling import subpixel_kernel


def subpixel(graph: Graph) -> Graph:
    """Turn every transposed convolution into a convolution and depth_to_space.

    A 9×9 kernel of stride 2 becomes 5×5 with four times the channels: as many products in all,
    and an operator that every runtime has a fast kernel for.

    Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016).
    """
    for node in [node for node in graph.nodes if node.op == "transpose_conv"]:
        graph = _to_subpixel(graph, node)
    return graph


def _to_subpixel(graph: Graph, node: Node) -> Graph:
    assert node.weight is not None
    stride = int(node.attrs["stride"])
    phases = stride * stride
    narrow = fresh_name(graph, f"{node.output}_subpixel")
    conv = replace(
        node,
        op="conv2d",
        output=narrow if stride > 1 else node.output,
        attrs={"groups": 1},
        weight=_same_subpixel_weight(node.weight, stride, int(node.attrs["pad"])),
        bias=None if node.bias is None else np.tile(node.bias, phases),
        weight_scale=_tiled_scale(node, phases),
    )
    if stride == 1:
        return replace_node(graph, node, [conv])
    shuffle_name = fresh_name(graph, f"{node.name}_shuffle")
    shuffle = Node("depth_to_space", shuffle_name, (narrow,), node.output, {"block": stride})
    channels = graph.tensors[node.output].channels * phases
    tensors = {narrow: TensorSpec(channels, graph.tensors[node.inputs[0]].factor)}
    qparams = {narrow: graph.qparams[node.output]} if graph.quantized else {}
    return replace_node(graph, node, [conv, shuffle], tensors, qparams)


def _tiled_scale(node: Node, phases: int) -> Array | None:
    if node.weight_scale is None or node.weight is None:
        return None
    return np.tile(np.broadcast_to(node.weight_scale, node.weight.shape[:1]), phases)


def _same_subpixel_weight(weight: Array, stride: int, pad: int) -> Array:
    """Return the OHWI kernel of the convolution, zero-padded to be odd and centred."""
    taps, top, left, _ = subpixel_kernel(weight, stride, pad)
    margins = []
    for count, before in ((taps.shape[0], top), (taps.shape[1], left)):
        half = max(before, count - 1 - before)
        margins.append((half - before, half - (count - 1 - before)))
    return np.ascontiguousarray(np.pad(taps, (*margins, (0, 0), (0, 0))).transpose(3, 0, 1, 2))


def split_depth_to_space(graph: Graph) -> Graph:
    """Turn depth_to_space of 4, 8 or 16 into steps of 2, for targets that know no other block."""
    while True:
        large = [n for n in graph.nodes if n.op == "depth_to_space" and n.attrs["block"] > 2]
        even = [node for node in large if node.attrs["block"] % 2 == 0]
        if not even:
            return graph
        graph = _halve(graph, even[0])


def _halve(graph: Graph, node: Node) -> Graph:
    """Split a block of 2k into 2 and k; the channel order of the steps goes to the producers."""
    block = int(node.attrs["block"])
    rest = block // 2
    channels = graph.tensors[node.output].channels
    index = np.arange(block * block * channels).reshape(2, rest, 2, rest, channels)
    order = index.transpose(0, 2, 1, 3, 4).reshape(-1)
    graph = permute_input(graph, node.output, 0, order.tolist())
    node = next(other for other in graph.nodes if other.output == node.output)
    between = fresh_name(graph, f"{node.output}_half")
    first_name = fresh_name(graph, f"{node.name}_half")
    first = Node("depth_to_space", first_name, node.inputs, between, {"block": 2})
    second = replace(node, inputs=(between,), attrs={"block": rest})
    numerator, denominator = graph.tensors[node.inputs[0]].factor
    common = int(np.gcd(numerator * 2, denominator))
    factor = (numerator * 2 // common, denominator // common)
    tensors = {between: TensorSpec(channels * rest * rest, factor)}
    qparams = {between: graph.qparams[node.inputs[0]]} if graph.quantized else {}
    return replace_node(graph, node, [first, second], tensors, qparams)


def depth_to_space_as_transpose_conv(graph: Graph) -> Graph:
    """Turn depth_to_space into transposed convolutions of stride 2 with one-hot weights.

    Blocks of 4, 8 and 16 become steps of 2; an odd block stays depth_to_space.
    """
    graph = split_depth_to_space(graph)
    for node in [node for node in graph.nodes if node.op == "depth_to_space"]:
        if node.attrs["block"] == 2:
            graph = replace_node(graph, node, [_one_hot(graph, node)])
    return graph


def depth_to_space_as_rows(graph: Graph) -> Graph:
    """Have every depth_to_space written as slices of channels laid under one another as rows.

    The `block · C` channels of one dy in an LR row are an HR row as they stand, so what moves are
    whole rows. The node stays what it is; its attribute `form` tells the writer.
    """
    nodes = [
        replace(node, attrs={**node.attrs, "form": "rows"}) if node.op == "depth_to_space" else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def _one_hot(graph: Graph, node: Node) -> Node:
    channels = graph.tensors[node.output].channels
    taps = np.eye(4 * channels, dtype=np.int8).reshape(2, 2, channels, 4 * channels)
    weight = taps.transpose(2, 0, 1, 3)
    scale = np.ones(channels, np.float32) if graph.quantized else None
    return Node(
        "transpose_conv",
        node.name,
        node.inputs,
        node.output,
        {"stride": 2, "pad": 0},
        np.ascontiguousarray(weight, np.int8 if graph.quantized else np.float32),
        weight_scale=scale,
    )


def split_prelu(graph: Graph) -> Graph:
    """Turn every PReLU of a float graph into relu(x) - slope · relu(-x).

    Raises:
        ExportError: the graph is int8, where the parts would round differently.
    """
    for node in [node for node in graph.nodes if node.op == "prelu"]:
        assert node.weight is not None
        if graph.quantized:
            raise ExportError(
                f"layer {node.name!r} (prelu): its parts cannot be exact in int8; train the "
                "network with --activation leaky or relu, or export it in float"
            )
        names = [fresh_name(graph, f"{node.output}_{part}") for part in ("pos", "neg", "scaled")]
        positive, negative, scaled = names
        source = node.inputs[0]
        flipped = replace(
            _depthwise(negative, source, -np.ones_like(node.weight)), activation="relu"
        )
        parts = [
            Node("relu", positive, (source,), positive),
            flipped,
            _depthwise(scaled, negative, -node.weight),
            Node("add", node.name, (positive, scaled), node.output),
        ]
        tensors = dict.fromkeys(names, graph.tensors[node.output])
        graph = replace_node(graph, node, parts, tensors)
    return graph


def _depthwise(name: str, source: str, scale: Array) -> Node:
    """Return the node that multiplies every channel by its own number."""
    weight = scale.reshape(-1, 1, 1, 1)
    return Node("conv2d", name, (source,), name, {"groups": len(scale)}, weight)


def separate_outputs(graph: Graph) -> Graph:
    """Give every output that is also read inside the graph a copy of its own.

    GPU delegates are known to corrupt a tensor that is both emitted and consumed.
    """
    for output in graph.outputs:
        if not graph.consumers(output):
            continue
        inner = fresh_name(graph, f"{output}_inner")
        spec = graph.tensors[output]
        nodes = [
            replace(
                node,
                inputs=tuple(inner if name == output else name for name in node.inputs),
                output=inner if node.output == output else node.output,
            )
            for node in graph.nodes
        ]
        copy = replace(_depthwise(output, inner, np.ones(spec.channels, np.float32)))
        copy = replace(copy, name=fresh_name(graph, f"{output}_copy"), output=output)
        if graph.quantized:
            codes = np.ones((spec.channels, 1, 1, 1), np.int8)
            copy = replace(copy, weight=codes, weight_scale=np.ones(spec.channels, np.float32))
        qparams = {inner: graph.qparams[output]} if graph.quantized else {}
        graph = with_nodes(graph, [*nodes, copy], {inner: spec}, qparams)
    return graph


#: The names that target files use.
REWRITES: Mapping[str, Callable[[Graph], Graph]] = {
    "subpixel": subpixel,
    "split_depth_to_space": split_depth_to_space,
    "depth_to_space_as_transpose_conv": depth_to_space_as_transpose_conv,
    "depth_to_space_as_rows": depth_to_space_as_rows,
    "split_prelu": split_prelu,
    "separate_outputs": separate_outputs,
}
