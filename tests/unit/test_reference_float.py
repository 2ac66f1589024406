"""The float reference equals onnxruntime, LiteRT and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgevsr.errors import SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph, Node, TensorSpec
from edgevsr.graph.reference import run_float
from edgevsr.graph.sampling import depth_to_space, resize_nearest, space_to_depth
from edgevsr.runtime.runners import open_runner
from tests.graphs import cell_graph, fsrcnn_graph, quantized, random_inputs, sesr_graph

NETS = {
    "sesr-leaky": sesr_graph(),
    "sesr-prelu-rgb-x3": sesr_graph(m=3, scale=3, channels=3, activation="prelu"),
    "sesr-relu-x4": sesr_graph(m=3, scale=4, activation="relu"),
    "fsrcnn": fsrcnn_graph(),
    "fsrcnn-x3": fsrcnn_graph(d=32, s=5, m=1, scale=3, activation="leaky"),
    "recurrent": cell_graph(),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(24, 16), (13, 7), (1, 2)])
def test_equals_both_runtimes(name: str, size: tuple[int, int]) -> None:
    """Whole networks agree to the rounding of float32 sums, borders included."""
    graph = NETS[name]
    inputs = random_inputs(graph, size)
    expected = run_float(graph, inputs)
    litert = open_runner(tflite_bytes(graph, size), "litert", 1)
    onnx = open_runner(onnx_bytes(graph), "onnxruntime", 1)
    given = [inputs[tensor] for tensor in graph.inputs]
    from_litert = litert.run(given)
    from_onnx = onnx.run([array.transpose(0, 3, 1, 2) for array in given])
    for tensor, a, b in zip(graph.outputs, from_litert, from_onnx, strict=True):
        np.testing.assert_allclose(expected[tensor], a, rtol=0, atol=1e-5)
        np.testing.assert_allclose(expected[tensor], b.transpose(0, 2, 3, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("taps", "stride", "pad", "output_padding"),
    [(9, 2, 4, 1), (9, 3, 4, 2), (9, 4, 4, 3), (2, 2, 0, 0), (4, 2, 1, 0), (5, 1, 2, 0)],
)
def test_transpose_conv_equals_torch(taps: int, stride: int, pad: int, output_padding: int) -> None:
    """The sub-pixel form of a transposed convolution is torch's ConvTranspose2d."""
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    rng = np.random.default_rng(taps)
    weight = rng.normal(size=(2, taps, taps, 3)).astype(np.float32)
    bias = rng.normal(size=2).astype(np.float32)
    x = rng.normal(size=(1, 6, 5, 3)).astype(np.float32)
    node = Node("transpose_conv", "t", ("x",), "y", {"stride": stride, "pad": pad}, weight, bias)
    graph = _single(node, 3, 2, (stride, 1))
    expected = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
        torch.from_numpy(weight.transpose(3, 0, 1, 2).copy()),
        torch.from_numpy(bias),
        stride=stride,
        padding=pad,
        output_padding=output_padding,
    )
    actual = run_float(graph, {"x": x})["y"]
    np.testing.assert_allclose(actual, expected.numpy().transpose(0, 2, 3, 1), atol=1e-5)


def test_convolution_counted_by_hand() -> None:
    """SAME padding of even kernels puts the odd row after the image, as TensorFlow does."""
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 4, 1)
    weight = np.array([1.0, 10.0], np.float32).reshape(1, 1, 2, 1)
    node = Node("conv2d", "c", ("x",), "y", weight=weight, bias=np.array([0.5], np.float32))
    out = run_float(_single(node, 1, 1), {"x": x})["y"]
    assert out.ravel().tolist() == [21.5, 32.5, 43.5, 4.5]


def test_grouped_batch_and_wide_layers() -> None:
    """Depthwise layers, batches and layers too wide for one small product agree with torch."""
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 9, 40, 72)).astype(np.float32)
    for groups, shape in ((72, (144, 3, 3, 1)), (1, (72, 5, 5, 72))):
        weight = rng.normal(0, 0.05, shape).astype(np.float32)
        node = Node("conv2d", "c", ("x",), "y", {"groups": groups}, weight)
        actual = run_float(_single(node, 72, shape[0]), {"x": x})["y"]
        expected = torch.nn.functional.conv2d(
            torch.from_numpy(x.transpose(0, 3, 1, 2).copy()),
            torch.from_numpy(weight.transpose(0, 3, 1, 2).copy()),
            padding="same",
            groups=groups,
        )
        np.testing.assert_allclose(actual, expected.numpy().transpose(0, 2, 3, 1), atol=1e-4)


def test_moves_counted_by_hand() -> None:
    """depth_to_space reads channel (dy * block + dx) * C + c; space_to_depth undoes it."""
    x = np.arange(8).reshape(1, 1, 1, 8)
    y = depth_to_space(x, 2)
    assert y[0, :, :, 0].tolist() == [[0, 2], [4, 6]]
    assert y[0, :, :, 1].tolist() == [[1, 3], [5, 7]]
    assert space_to_depth(y, 2).tolist() == x.tolist()
    assert resize_nearest(np.array([[[[1], [2]]]]), 2)[0, :, :, 0].tolist() == [[1, 1, 2, 2]] * 2


def test_keep_returns_only_what_is_asked() -> None:
    """`keep` lets go of the rest, and the kept tensors are the same."""
    graph = sesr_graph(m=3)
    inputs = random_inputs(graph)
    whole = run_float(graph, inputs)
    assert set(whole) == set(graph.tensors)
    kept = run_float(graph, inputs, keep=["body0", "sr"])
    assert set(kept) == {"body0", "sr"}
    np.testing.assert_array_equal(kept["body0"], whole["body0"])


def test_refuses_an_int8_graph() -> None:
    """An int8 graph is not run in float by mistake."""
    graph = quantized(sesr_graph(m=3))
    with pytest.raises(SpecError, match="run_int8"):
        run_float(graph, random_inputs(graph))


def _single(
    node: Node, channels: int, out: int, factor: tuple[int, int] = (1, 1), **rest: Any
) -> Graph:
    tensors = {"x": TensorSpec(channels), "y": TensorSpec(out, factor)}
    return Graph(("x",), ("y",), (node,), tensors, {"x": "frame", "y": "sr"}, **rest)
