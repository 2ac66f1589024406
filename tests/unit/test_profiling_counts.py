"""Static counts against independent counters, and what must hold for every graph."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.ir import Graph, Node, TensorSpec
from edgevsr.profiling.counts import count_graph, lifetimes
from tests.graphs import cell_graph, fsrcnn_graph, sesr_graph

graphs = st.one_of(
    st.builds(
        sesr_graph,
        st.integers(1, 4),
        st.sampled_from([4, 8]),
        st.sampled_from([2, 3, 4]),
        st.sampled_from([1, 3]),
        st.sampled_from(["relu", "leaky", "prelu"]),
    ),
    st.builds(fsrcnn_graph, st.just(8), st.just(4), st.integers(1, 3), st.sampled_from([2, 3])),
    st.builds(cell_graph, st.sampled_from([4, 8]), st.sampled_from([2, 4])),
)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


def torch_macs(net: torch.nn.Module, size: tuple[int, int]) -> int:
    """Count MACs from the shapes that torch's own layers see."""
    total = 0

    def count(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        taps = math.prod(layer.kernel_size) * layer.in_channels * layer.out_channels
        pixels = inputs[0] if isinstance(layer, torch.nn.ConvTranspose2d) else output
        total += taps // layer.groups * pixels.shape[2] * pixels.shape[3]

    for layer in net.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 1, size[1], size[0]))
    return total


@pytest.mark.parametrize("size", [(40, 24), (33, 17)])
def test_counts_equal_hooks_on_a_torch_net(size: tuple[int, int]) -> None:
    """An equal net in plain torch, counted by forward hooks, has the same MACs and weights."""
    conv = torch.nn.Conv2d
    body = [conv(16, 16, 3, padding=1) for _ in range(5)]
    sesr = torch.nn.Sequential(conv(1, 16, 5, padding=2), *body, conv(16, 4, 5, padding=2))
    maps = [conv(12, 12, 3, padding=1) for _ in range(4)]
    deconvolution = torch.nn.ConvTranspose2d(56, 1, 9, 2, padding=4, output_padding=1)
    ends = [conv(1, 56, 5, padding=2), conv(56, 12, 1)]
    fsrcnn = torch.nn.Sequential(*ends, *maps, conv(12, 56, 1), deconvolution)
    for net, graph in ((sesr, sesr_graph()), (fsrcnn, fsrcnn_graph())):
        counts = count_graph(graph, size)
        assert round(counts.gmac * 1e9) == torch_macs(net, size)
        weights = (p.numel() for name, p in net.named_parameters() if name.endswith("weight"))
        assert counts.params == sum(weights)


@settings(max_examples=15, deadline=None)
@given(graphs, sizes)
def test_counts_equal_onnx_shape_inference(graph: Graph, size: tuple[int, int]) -> None:
    """MACs from the shapes onnx infers for the exported file are those of the graph."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(onnx_bytes(graph, size)))
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values
    }
    weights = {array.name: list(array.dims) for array in model.graph.initializer}
    macs = params = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            pixels = node.output[0] if node.op_type == "Conv" else node.input[0]
            params += math.prod(weights[node.input[1]])
            macs += math.prod(weights[node.input[1]]) * math.prod(shapes[pixels][2:])
    counts = count_graph(graph, size)
    assert (counts.params, round(counts.gmac * 1e9)) == (params, macs)


@settings(deadline=None)
@given(graphs, sizes, st.integers(1, 4), st.integers(1, 4))
def test_counts_grow_with_the_area(
    graph: Graph, size: tuple[int, int], times_wide: int, times_high: int
) -> None:
    """MACs and activation bytes are proportional to the frame's area; weights do not change."""
    area = times_wide * times_high
    small = count_graph(graph, size)
    large = count_graph(graph, (size[0] * times_wide, size[1] * times_high))
    for before, after in zip(small.layers, large.layers, strict=True):
        assert after.macs == area * before.macs
        assert after.macs_per_hr_pixel == area * before.macs_per_hr_pixel
        assert after.output_bytes == area * before.output_bytes
        assert after.weight_bytes == before.weight_bytes
    assert large.peak_activation_bytes == area * small.peak_activation_bytes
    assert large.params == small.params


@settings(deadline=None)
@given(graphs, sizes)
def test_peak_lies_between_the_widest_layer_and_everything(
    graph: Graph, size: tuple[int, int]
) -> None:
    """The peak holds at least the inputs and output of any layer and at most all tensors."""
    counts = count_graph(graph, size)
    pairs = [sum(layer.inputs.values()) + layer.output_bytes for layer in counts.layers]
    everything = sum(math.prod(graph.shape(name, size)) * 4 for name in graph.tensors)
    assert max(pairs) <= counts.peak_activation_bytes <= everything


@settings(deadline=None)
@given(st.integers(1, 3), sizes)
def test_splitting_depth_to_space_moves_no_macs(blocks: int, size: tuple[int, int]) -> None:
    """DEPTH_TO_SPACE(4) or twice DEPTH_TO_SPACE(2): the same MACs, but more traffic."""
    whole = sesr_graph(blocks, 8, 4)
    last = whole.nodes[-1]
    assert last.op == "depth_to_space"
    steps = (
        replace(last, name="half", output="half", attrs={"block": 2}),
        replace(last, inputs=("half",), attrs={"block": 2}),
    )
    split = replace(
        whole,
        nodes=(*whole.nodes[:-1], *steps),
        tensors={**whole.tensors, "half": TensorSpec(4, (2, 1))},
    )
    assert count_graph(split, size).gmac == count_graph(whole, size).gmac
    assert count_graph(split, size).dram_bytes > count_graph(whole, size).dram_bytes


def test_depthwise_convolution_counts_one_channel_a_group() -> None:
    """A 3x3 depthwise convolution of 8 channels is 72 MACs a pixel."""
    weight = np.zeros((8, 3, 3, 1), np.float32)
    node = Node("conv2d", "dw", ("x",), "y", attrs={"groups": 8}, weight=weight)
    tensors = {"x": TensorSpec(8), "y": TensorSpec(8)}
    graph = Graph(("x",), ("y",), (node,), tensors, {"x": "frame", "y": "sr"})
    assert count_graph(graph, (10, 10)).layers[0].macs == 72 * 100


def test_a_tensor_read_twice_by_one_op_is_moved_once() -> None:
    """x + x reads x once."""
    node = Node("add", "double", ("x", "x"), "y")
    tensors = {"x": TensorSpec(1), "y": TensorSpec(1)}
    graph = Graph(("x",), ("y",), (node,), tensors, {"x": "frame", "y": "sr"})
    assert count_graph(graph, (4, 4)).dram_bytes == 2 * 16 * 4


def test_lifetimes_of_a_recurrent_cell() -> None:
    """The frame lives until the residual reads it, both outputs live to the end."""
    graph = cell_graph()
    steps = {node.name: index for index, node in enumerate(graph.nodes)}
    life = lifetimes(graph)
    assert life["frame"] == (0, steps["residual"])
    assert life["next_state"] == (steps["next_state"], len(graph.nodes) - 1)
    assert life["mix"] == (steps["mix"], steps["last"])


def test_half_pixels_are_refused_with_the_next_size() -> None:
    """A net that halves its frames names the multiple and the nearest size that fits."""
    node = Node("space_to_depth", "s2d", ("x",), "y", attrs={"block": 2})
    tensors = {"x": TensorSpec(1), "y": TensorSpec(4, (1, 2))}
    graph = Graph(("x",), ("y",), (node,), tensors, {"x": "frame", "y": "sr"})
    with pytest.raises(SpecError, match=r"multiples of 2; try --size 642x360"):
        count_graph(graph, (641, 360))
    with pytest.raises(SpecError, match="at least 1"):
        count_graph(graph, (0, 360))
