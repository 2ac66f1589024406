"""The integer reference equals LiteRT's reference kernels at 0 LSB, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import SpecError
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph, Node, QuantParams, TensorSpec
from edgevsr.graph.reference import run_int8
from edgevsr.runtime.runners import open_runner
from tests.graphs import cell_graph, fsrcnn_graph, quantized, random_codes, sesr_graph

Tensors = dict[str, Any]

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**32 - 1)
qparams = st.builds(
    lambda scale, zero: QuantParams(float(np.float32(scale)), zero),
    st.floats(1e-4, 0.2),
    st.integers(-128, 127),
)


def single(
    node: Node,
    sources: list[tuple[int, QuantParams]],
    out_channels: int,
    target: QuantParams,
    factor: tuple[int, int] = (1, 1),
) -> Graph:
    """Return a graph of one int8 layer."""
    tensors = {name: TensorSpec(c) for name, (c, _) in zip(node.inputs, sources, strict=True)}
    params = {name: q for name, (_, q) in zip(node.inputs, sources, strict=True)}
    tensors["y"], params["y"] = TensorSpec(out_channels, factor), target
    roles = {name: f"in{i}" for i, name in enumerate(node.inputs)} | {"y": "out"}
    return Graph(node.inputs, ("y",), (node,), tensors, roles, qparams=params)


def assert_equals_litert(graph: Graph, size: tuple[int, int], seed: int) -> None:
    codes = random_codes(graph, size, seed)
    runner = open_runner(tflite_bytes(graph, size), "litert-reference", 1)
    expected = runner.run([codes[name] for name in graph.inputs])
    actual = run_int8(graph, codes)
    for name, array in zip(graph.outputs, expected, strict=True):
        np.testing.assert_array_equal(actual[name], array)


def layer_constants(
    rng: np.random.Generator, shape: tuple[int, ...], channels: int, spread: float
) -> Tensors:
    """Return random weights, biases and per-channel scales; `spread` widens the scales."""
    return {
        "weight": rng.integers(-127, 128, shape).astype(np.int8),
        "bias": rng.integers(-40000, 40000, channels).astype(np.int32),
        "weight_scale": (10.0 ** rng.uniform(-4 - spread, -2, channels)).astype(np.float32),
    }


@settings(max_examples=60, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    channels=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    kernel=st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3), (4, 2)]),
    source=qparams,
    target=qparams,
    spread=st.sampled_from([0.0, 5.0]),
    relu=st.booleans(),
)
def test_conv2d(
    size: tuple[int, int],
    seed: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    source: QuantParams,
    target: QuantParams,
    spread: float,
    relu: bool,
) -> None:
    """Convolution with per-channel scales, from vanishing to saturating outputs."""
    rng = np.random.default_rng(seed)
    constants = layer_constants(rng, (channels[1], *kernel, channels[0]), channels[1], spread)
    activation = "relu" if relu else "none"
    node = Node("conv2d", "c", ("x",), "y", activation=activation, **constants)
    assert_equals_litert(single(node, [(channels[0], source)], channels[1], target), size, seed)


@settings(max_examples=30, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    channels=st.integers(2, 32),
    multiplier=st.integers(1, 3),
    source=qparams,
    target=qparams,
)
def test_depthwise(
    size: tuple[int, int],
    seed: int,
    channels: int,
    multiplier: int,
    source: QuantParams,
    target: QuantParams,
) -> None:
    """Depthwise convolution, one and more outputs a channel."""
    out = channels * multiplier
    constants = layer_constants(np.random.default_rng(seed), (out, 3, 3, 1), out, 1.0)
    node = Node("conv2d", "c", ("x",), "y", attrs={"groups": channels}, **constants)
    assert_equals_litert(single(node, [(channels, source)], out, target), size, seed)


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    channels=st.tuples(st.integers(1, 24), st.integers(1, 4)),
    shape=st.sampled_from([(9, 2, 4), (9, 3, 4), (9, 4, 4), (2, 2, 0), (4, 2, 1), (3, 3, 0)]),
    source=qparams,
    target=qparams,
    bias=st.booleans(),
)
def test_transpose_conv(
    size: tuple[int, int],
    seed: int,
    channels: tuple[int, int],
    shape: tuple[int, int, int],
    source: QuantParams,
    target: QuantParams,
    bias: bool,
) -> None:
    """Transposed convolution of the strides and paddings in use, with and without bias."""
    taps, stride, pad = shape
    rng = np.random.default_rng(seed)
    constants = layer_constants(rng, (channels[1], taps, taps, channels[0]), channels[1], 1.0)
    constants["bias"] = constants["bias"] if bias else None
    attrs = {"stride": stride, "pad": pad}
    node = Node("transpose_conv", "t", ("x",), "y", attrs=attrs, **constants)
    graph = single(node, [(channels[0], source)], channels[1], target, (stride, 1))
    assert_equals_litert(graph, size, seed)


slopes = st.one_of(
    st.floats(-2, 2), st.floats(-1e-6, 1e-6), st.sampled_from([0.0, 1.0, -1.0, 2**-9, 0.2])
)


@settings(max_examples=60, deadline=None)
@given(
    size=sizes, seed=seeds, channels=st.integers(1, 8), slope=slopes, q=st.tuples(qparams, qparams)
)
def test_leaky_relu(
    size: tuple[int, int],
    seed: int,
    channels: int,
    slope: float,
    q: tuple[QuantParams, QuantParams],
) -> None:
    """One slope a layer: negative, tiny, zero and beyond one."""
    attrs = {"slope": float(np.float32(slope))}
    node = Node("leaky_relu", "a", ("x",), "y", attrs=attrs)
    assert_equals_litert(single(node, [(channels, q[0])], channels, q[1]), size, seed)


@settings(max_examples=40, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    channels=st.integers(1, 64),
    scale=st.floats(1e-6, 0.02),
    q=st.tuples(qparams, qparams),
)
def test_prelu(
    size: tuple[int, int],
    seed: int,
    channels: int,
    scale: float,
    q: tuple[QuantParams, QuantParams],
) -> None:
    """One slope a channel, of either sign."""
    weight = np.random.default_rng(seed).integers(-127, 128, channels).astype(np.int8)
    weight_scale = np.array([scale], np.float32)
    node = Node("prelu", "a", ("x",), "y", weight=weight, weight_scale=weight_scale)
    assert_equals_litert(single(node, [(channels, q[0])], channels, q[1]), size, seed)


@settings(max_examples=20, deadline=None)
@given(size=sizes, seed=seeds, channels=st.integers(1, 8), q=st.tuples(qparams, qparams))
def test_relu(
    size: tuple[int, int], seed: int, channels: int, q: tuple[QuantParams, QuantParams]
) -> None:
    """A rectifier of its own, between any two scales."""
    node = Node("relu", "a", ("x",), "y")
    assert_equals_litert(single(node, [(channels, q[0])], channels, q[1]), size, seed)


@pytest.mark.parametrize("op", ["add", "mul"])
@settings(max_examples=60, deadline=None)
@given(
    size=sizes,
    seed=seeds,
    channels=st.integers(1, 16),
    broadcast=st.booleans(),
    relu=st.booleans(),
    q=st.tuples(qparams, qparams, qparams),
)
def test_operators_of_two(
    op: Any,
    size: tuple[int, int],
    seed: int,
    channels: int,
    broadcast: bool,
    relu: bool,
    q: tuple[QuantParams, QuantParams, QuantParams],
) -> None:
    """Of unequal scales, with a rectifier, and for a sum with a one-channel operand."""
    node = Node(op, "s", ("x", "z"), "y", activation="relu" if relu else "none")
    second = 1 if broadcast and op == "add" else channels
    graph = single(node, [(channels, q[0]), (second, q[1])], channels, q[2])
    assert_equals_litert(graph, size, seed)


@settings(max_examples=20, deadline=None)
@given(size=sizes, seed=seeds, q=st.tuples(qparams, qparams, qparams), equal=st.booleans())
def test_concat(
    size: tuple[int, int],
    seed: int,
    q: tuple[QuantParams, QuantParams, QuantParams],
    equal: bool,
) -> None:
    """Joining channels: codes are copied at equal scales and requantized at unequal ones."""
    node = Node("concat", "j", ("x", "z"), "y")
    first, second, target = (q[0],) * 3 if equal else q
    assert_equals_litert(single(node, [(3, first), (5, second)], 8, target), size, seed)


@pytest.mark.parametrize(
    ("op", "attrs", "channels", "out", "factor"),
    [
        ("depth_to_space", {"block": 2}, 12, 3, (2, 1)),
        ("depth_to_space", {"block": 3}, 9, 1, (3, 1)),
        ("space_to_depth", {"block": 2}, 3, 12, (1, 2)),
        ("resize_nearest", {"factor": 2}, 3, 3, (2, 1)),
        ("clip", {"low": 0.1, "high": 0.6}, 3, 3, (1, 1)),
    ],
)
@pytest.mark.parametrize("same", [True, False])
def test_moves_and_clip(
    op: Any, attrs: Tensors, channels: int, out: int, factor: tuple[int, int], same: bool
) -> None:
    """Operations that move or clip codes, with and without a change of scale."""
    source = QuantParams(float(np.float32(1 / 255)), -128)
    target = source if same else QuantParams(float(np.float32(0.007)), -3)
    node = Node(op, "m", ("x",), "y", attrs=attrs)
    assert_equals_litert(single(node, [(channels, source)], out, target, factor), (6, 4), 1)


@pytest.mark.parametrize(
    "graph",
    [
        sesr_graph(activation="leaky"),
        sesr_graph(m=3, activation="prelu", scale=3),
        sesr_graph(m=3, activation="relu", scale=4, channels=3),
        fsrcnn_graph(),
        fsrcnn_graph(d=32, s=5, m=1, scale=3, activation="leaky"),
        cell_graph(),
        sesr_graph(activation="relu", gated=True),
    ],
    ids=[
        "sesr-leaky",
        "sesr-prelu-x3",
        "sesr-rgb-x4",
        "fsrcnn",
        "fsrcnn-s-x3",
        "recurrent",
        "sesr-gate",
    ],
)
@pytest.mark.parametrize("size", [(24, 16), (17, 5), (1, 1)])
def test_whole_networks(graph: Graph, size: tuple[int, int]) -> None:
    """Networks end to end, at odd sizes too."""
    assert_equals_litert(quantized(graph), size, 3)


def test_float64_sums_when_float32_would_round() -> None:
    """A layer whose partial sums pass 2^24 and cancel to a handful is still exact."""
    rng = np.random.default_rng(0)
    half = rng.integers(100, 128, (2, 800))
    weight = np.concatenate([half, -half[:, ::-1]], axis=1)
    weight[:, -1] += 1
    constants = {
        "weight": weight.reshape(2, 5, 5, 64).astype(np.int8),
        "bias": np.array([-60, -72], np.int32),
        "weight_scale": np.array([0.1, 0.1], np.float32),
    }
    node = Node("conv2d", "c", ("x",), "y", **constants)
    graph = single(node, [(64, QuantParams(1.0, -128))], 2, QuantParams(0.1, -128))
    codes = np.full((1, 40, 40, 64), 127, np.int8)
    runner = open_runner(tflite_bytes(graph, (40, 40)), "litert-reference", 1)
    (expected,) = runner.run([codes])
    np.testing.assert_array_equal(run_int8(graph, {"x": codes})["y"], expected)


@pytest.mark.parametrize("op", ["add", "mul"])
@pytest.mark.parametrize("seed", range(4))
def test_every_pair_of_codes(op: Any, seed: int) -> None:
    """All 65536 sums and products of two codes, at random scales."""
    rng = np.random.default_rng(seed)
    q = [QuantParams(float(np.float32(rng.uniform(0.003, 0.05))), int(z)) for z in (-128, 3, -40)]
    graph = single(Node(op, "s", ("x", "z"), "y"), [(1, q[0]), (1, q[1])], 1, q[2])
    codes = np.arange(-128, 128).astype(np.int8)
    x = np.broadcast_to(codes[None, :, None, None], (1, 256, 256, 1))
    z = np.broadcast_to(codes[None, None, :, None], (1, 256, 256, 1))
    runner = open_runner(tflite_bytes(graph, (256, 256)), "litert-reference", 1)
    (expected,) = runner.run([x, z])
    np.testing.assert_array_equal(run_int8(graph, {"x": x, "z": z})["y"], expected)


def test_refuses_a_float_graph_and_wrong_inputs() -> None:
    """What cannot be run is said in one line."""
    graph = sesr_graph(m=3)
    with pytest.raises(SpecError, match="quantize it first"):
        run_int8(graph, {})
    coded = quantized(graph)
    with pytest.raises(SpecError, match="'frame' is missing"):
        run_int8(coded, {})
    with pytest.raises(SpecError, match="expected int8 codes"):
        run_int8(coded, {"frame": np.zeros((1, 4, 4, 1), np.float32)})  # type: ignore[dict-item]
    with pytest.raises(SpecError, match=r"\(N, H, W, 1\)"):
        run_int8(coded, {"frame": np.zeros((1, 4, 4, 3), np.int8)})
