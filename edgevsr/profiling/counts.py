"""What a graph costs on paper: multiply-accumulates, weights, memory and traffic of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgevsr.errors import SpecError
from edgevsr.graph.ir import Graph, Node

CONVENTION = (
    "gmac counts transposed convolutions once per LR pixel, gmac_per_hr_pixel once per HR pixel; "
    "biases, activations and element-wise ops count as no MACs"
)
#: What `dram_bytes` of a graph means when no device is named.
TRAFFIC_ASSUMPTION = (
    "dram_bytes: layer by layer, every op reads its inputs and weights from DRAM and writes its "
    "output there; only activations fused into the graph's nodes are free"
)
PEAK_ASSUMPTION = (
    "peak_activation_bytes: in execution order, a tensor lives from its producer to its last "
    "reader, inputs from the start, outputs to the end; weights and scratch are not counted"
)

MAC_OPS = ("conv2d", "transpose_conv")


@dataclass(frozen=True)
class Layer:
    """One node of the graph with what it costs at one frame size.

    `macs` counts a transposed convolution once per LR pixel, `macs_per_hr_pixel` once per HR
    pixel; both are equal for every other op. Bytes are of whole tensors: `inputs` and `output`
    map a tensor's name to its size, an input read twice by one op counts once.
    """

    node: Node
    macs: int
    macs_per_hr_pixel: int
    weight_bytes: int
    inputs: dict[str, int]
    output_bytes: int
    output_elements: int

    @property
    def bytes(self) -> int:
        """Bytes read and written when nothing stays on chip."""
        return sum(self.inputs.values()) + self.weight_bytes + self.output_bytes


@dataclass(frozen=True)
class Counts:
    """The static cost of a graph for an LR frame of `size` (width, height).

    `params` is the number of convolution weights without biases and slopes. `live_bytes` holds,
    for each layer in execution order, the bytes of all activations alive while it runs.
    """

    size: tuple[int, int]
    params: int
    layers: tuple[Layer, ...]
    live_bytes: tuple[int, ...]

    @property
    def gmac(self) -> float:
        """10⁹ multiply-accumulates of one frame, of the graph as given."""
        return sum(layer.macs for layer in self.layers) / 1e9

    @property
    def gmac_per_hr_pixel(self) -> float:
        """10⁹ multiply-accumulates of one frame, deconvolutions counted once per HR pixel."""
        return sum(layer.macs_per_hr_pixel for layer in self.layers) / 1e9

    @property
    def peak_activation_bytes(self) -> int:
        """Largest number of bytes that activations occupy at any moment."""
        return max(self.live_bytes, default=0)

    @property
    def dram_bytes(self) -> int:
        """Bytes read and written in one frame when nothing stays on chip."""
        return sum(layer.bytes for layer in self.layers)


def count_graph(graph: Graph, size: tuple[int, int]) -> Counts:
    """Return what one LR frame of `size` (width, height) costs, layer by layer.

    An int8 graph moves one byte an activation, a float graph four. A transposed convolution that
    was lowered to its sub-pixel form is counted as what it became: a convolution per LR pixel.

    Raises:
        SpecError: the size is not a multiple of what the graph's downscaling needs.
    """
    check_size(graph, size)
    element_bytes = 1 if graph.quantized else 4
    tensor_bytes = {
        name: math.prod(graph.shape(name, size)) * element_bytes for name in graph.tensors
    }
    layers = tuple(_count_node(graph, node, size, tensor_bytes) for node in graph.nodes)
    return Counts(size, graph.params, layers, _live_bytes(graph, tensor_bytes))


def check_size(graph: Graph, size: tuple[int, int]) -> None:
    """Refuse a frame size at which a tensor of the graph would have a fraction of a pixel, or none.

    Raises:
        SpecError: width or height is below 1 or not such a multiple.
    """
    multiple = math.lcm(*(spec.factor[1] for spec in graph.tensors.values()))
    width, height = size
    if width < 1 or height < 1:
        raise SpecError(f"size {width}x{height}: width and height must be at least 1")
    if width % multiple or height % multiple:
        raise SpecError(
            f"size {width}x{height}: this network halves its frames, so width and height must be "
            f"multiples of {multiple}; try --size "
            f"{-(-width // multiple) * multiple}x{-(-height // multiple) * multiple}"
        )


def _count_node(
    graph: Graph, node: Node, size: tuple[int, int], tensor_bytes: dict[str, int]
) -> Layer:
    _, out_height, out_width, out_channels = graph.shape(node.output, size)
    per_lr = per_hr = 0
    if node.op in MAC_OPS and node.weight is not None:
        _, in_height, in_width, _ = graph.shape(node.inputs[0], size)
        per_hr = out_height * out_width * node.weight.size
        per_lr = per_hr if node.op == "conv2d" else in_height * in_width * node.weight.size
    return Layer(
        node,
        macs=per_lr,
        macs_per_hr_pixel=per_hr,
        weight_bytes=sum(array.nbytes for array in (node.weight, node.bias) if array is not None),
        inputs={name: tensor_bytes[name] for name in node.inputs},
        output_bytes=tensor_bytes[node.output],
        output_elements=out_height * out_width * out_channels,
    )


def _live_bytes(graph: Graph, tensor_bytes: dict[str, int]) -> tuple[int, ...]:
    """Return the bytes of the activations alive during each node, in execution order."""
    life = lifetimes(graph)
    return tuple(
        sum(tensor_bytes[name] for name, (born, last) in life.items() if born <= step <= last)
        for step in range(len(graph.nodes))
    )


def lifetimes(graph: Graph) -> dict[str, tuple[int, int]]:
    """Return, for each activation, the indices of the first and last node it is needed at.

    Graph inputs are alive from the first node, graph outputs to the last one. An input that no
    node reads never lives.
    """
    end = len(graph.nodes) - 1
    born = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, -1)
    for step, node in enumerate(graph.nodes):
        born[node.output] = last[node.output] = step
        for name in node.inputs:
            last[name] = step
    for name in graph.outputs:
        last[name] = end
    return {name: (born[name], last[name]) for name in born}
