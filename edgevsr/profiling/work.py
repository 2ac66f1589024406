"""What each layer asks of a device, whatever the device's rates: operations, bytes and elements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgevsr.graph.ir import Graph, Node
from edgevsr.profiling.counts import MAC_OPS, Counts, Layer, count_graph, lifetimes

#: Applied by the layer that computes their input, at no cost of their own.
RIDING_OPS = ("relu", "leaky_relu", "prelu", "clip")
#: What computes, and so can apply an activation on its way out; moving bytes does not.
_COMPUTING_OPS = (*MAC_OPS, "add", "mul")


@dataclass(frozen=True)
class Structure:
    """How a device lays out its work: the constants of the model that are not rates.

    Channels are padded to `in_multiple` and `out_multiple`. A tensor stays on the chip while all
    that lives beside it fits in `sram_bytes`; of any tensor, `resident_bytes` are still on the
    chip when an element-wise layer comes for them.
    """

    in_multiple: int = 1
    out_multiple: int = 1
    sram_bytes: int = 0
    resident_bytes: int = 0
    deconvolution_per_hr_pixel: bool = False
    winograd: bool = False


@dataclass(frozen=True)
class Work:
    """What one layer asks for: operations of the MAC array (two a MAC, idle lanes included),
    bytes to and from DRAM, and output elements of the element-wise unit."""

    operations: float
    bytes: int
    elements: float


def graph_work(
    graph: Graph, size: tuple[int, int], structure: Structure
) -> tuple[Counts, tuple[Work, ...]]:
    """Return the counts and the work of a graph's layers at one LR frame size (width, height).

    Activations that ride along with their producer are not among the layers.

    Raises:
        SpecError: the graph cannot run at this size.
    """
    fused = ride_along(graph)
    counts = count_graph(fused, size)
    on_chip = _on_chip(fused, counts, structure.sram_bytes)
    return counts, tuple(layer_work(layer, structure, on_chip) for layer in counts.layers)


def layer_work(layer: Layer, structure: Structure, on_chip: frozenset[str]) -> Work:
    """Return the work of one layer; tensors named in `on_chip` cost no traffic."""
    activations = {**layer.inputs, layer.node.output: layer.output_bytes}
    on_array = layer.node.op in MAC_OPS
    resident = 0 if on_array else structure.resident_bytes
    traffic = sum(
        max(0, size - resident) for name, size in activations.items() if name not in on_chip
    )
    absent = max(0, layer.output_bytes - resident) / max(1, layer.output_bytes)
    return Work(
        operations=2 * _array_macs(layer, structure),
        bytes=layer.weight_bytes + traffic,
        elements=0.0 if on_array else layer.output_elements * absent * _passes(layer.node),
    )


def riders(graph: Graph) -> dict[str, str]:
    """Map the input of each activation that rides along with its producer to its output.

    An activation rides on what computes its input, where nothing else reads the value before it.
    """
    ridden: dict[str, str] = {}
    carriers: set[str] = set()
    for node in graph.nodes:
        source = node.inputs[0]
        rides = (
            node.op in RIDING_OPS
            and source in carriers
            and source not in graph.outputs
            and len(graph.consumers(source)) == 1
        )
        if rides:
            ridden[source] = node.output
        if rides or node.op in _COMPUTING_OPS:
            carriers.add(node.output)
    return ridden


def rides(node: Node, ridden: dict[str, str]) -> bool:
    """Return whether a node is one of the riding activations that `riders` found."""
    return ridden.get(node.inputs[0]) == node.output


def ride_along(graph: Graph) -> Graph:
    """Return the graph without the activations that the producer of their input applies.

    For counting only: those activations are no longer in it.
    """
    ridden = riders(graph)
    nodes = []
    for node in graph.nodes:
        if rides(node, ridden):
            continue
        output = node.output
        while output in ridden:
            output = ridden[output]
        nodes.append(replace(node, output=output))
    return replace(graph, nodes=tuple(nodes))


def _passes(node: Node) -> int:
    """Return how often a layer's output is written: a clip of two bounds is two operators."""
    if node.op != "clip":
        return 1
    return max(1, sum(math.isfinite(node.attrs[side]) for side in ("low", "high")))


def _on_chip(graph: Graph, counts: Counts, sram_bytes: int) -> frozenset[str]:
    """Return the intermediate tensors that never leave the chip.

    A tensor stays when at every node of its life all living activations fit in SRAM together.
    """
    kept = set()
    for name, (born, last) in lifetimes(graph).items():
        if name in graph.inputs or name in graph.outputs:
            continue
        if max(counts.live_bytes[born : last + 1], default=0) <= sram_bytes:
            kept.add(name)
    return frozenset(kept)


def _array_macs(layer: Layer, structure: Structure) -> float:
    """Return the MACs the array spends, idle lanes of padded channels included."""
    weight = layer.node.weight
    if weight is None or layer.node.op not in MAC_OPS:
        return 0.0
    out_channels, height, width, in_channels = map(int, weight.shape)
    padded = _up(out_channels, structure.out_multiple) * _up(in_channels, structure.in_multiple)
    macs = layer.macs_per_hr_pixel if structure.deconvolution_per_hr_pixel else layer.macs
    gain = winograd_gain(height, width) if structure.winograd else 1.0
    return macs / (out_channels * in_channels) * padded / gain


def winograd_gain(height: int, width: int) -> float:
    """Return the MACs a direct kernel takes for each one of its F(2×2, 3×3) Winograd form.

    A larger kernel is cut into 3×3 pieces, of 16 products for 2×2 outputs each; where that takes
    more than the direct form, the direct form is used.

    Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1.
    """
    if height == 1 or width == 1:
        return 1.0
    return max(1.0, 4 * height * width / (16 * math.ceil(height / 3) * math.ceil(width / 3)))


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
