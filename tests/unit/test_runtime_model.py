"""SrModel: any file at any size, pixels and floats, state, and errors in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevsr.errors import SourceError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.graph.reference import run_float, run_int8
from edgevsr.runtime.frames import FrameCodec
from edgevsr.runtime.model import REEMITTED, RESIZED, SrModel
from edgevsr.runtime.probe import noise_frame
from edgevsr.spec import IoSpec
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph

SIZE = (24, 16)


def reference_u8(graph: Graph, lr: np.ndarray) -> np.ndarray:
    """The SR frame of the integer reference, as pixels."""
    codes = (lr[None].astype(np.int16) - 128).astype(np.int8)
    sr = run_int8(graph, {"frame": codes})["sr"]
    return (sr[0].astype(np.int16) + 128).astype(np.uint8)


@pytest.mark.parametrize("io", ["int8", "uint8", "float"])
@pytest.mark.parametrize("own_size", [True, False])
def test_int8_files_of_every_io(io: str, own_size: bool, tmp_path: Path) -> None:
    """int8, uint8 and float ends give the same pixels, at the file's size and at another."""
    graph = quantized(sesr_graph(m=3, channels=3))
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(graph, SIZE, io))
    model = SrModel.open(path, runtime="litert-reference")
    lr = noise_frame(SIZE if own_size else (31, 9), 3, 0)
    np.testing.assert_array_equal(model.upscale_u8(lr), reference_u8(graph, lr))
    assert model.how_resized == (None if own_size else RESIZED)
    floats = model.upscale(lr.astype(np.float32) / 255)
    np.testing.assert_allclose(floats, reference_u8(graph, lr) / 255.0, atol=1e-6)


def test_a_constant_output_shape_is_emitted_anew(tmp_path: Path) -> None:
    """A .tflite that LiteRT cannot resize is written again for the size, and says so."""
    graph = quantized(fsrcnn_graph(m=1))
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(graph, SIZE))
    model = SrModel.open(path, runtime="litert-reference")
    lr = noise_frame((13, 21), 1, 0)
    np.testing.assert_array_equal(model.upscale_u8(lr), reference_u8(graph, lr))
    assert model.how_resized == REEMITTED


def test_a_fixed_onnx_is_emitted_anew(tmp_path: Path) -> None:
    """An .onnx of a fixed size runs as it is at its own size and anew at others, in any order."""
    graph = sesr_graph(m=3)
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_bytes(graph, SIZE))
    model = SrModel.open(path)
    for size, how in ((SIZE, None), ((10, 12), REEMITTED), (SIZE, REEMITTED)):
        lr = noise_frame(size, 1, 0).astype(np.float32) / 255
        expected = run_float(graph, {"frame": lr[None]})["sr"][0]
        np.testing.assert_allclose(model.upscale(lr), np.clip(expected, 0, 1), atol=1e-5)
        assert model.how_resized == how


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_float_graphs_in_both_runtimes(runtime: str) -> None:
    """Pixels are the nearest to the float net's output, clipped."""
    graph = sesr_graph(m=3)
    model = SrModel.open(graph, runtime=runtime, threads=1, size=SIZE)
    assert (model.scale, model.channels, model.runtime) == (2, 1, runtime)
    lr = noise_frame((17, 11), 1, 1)
    expected = run_float(graph, {"frame": lr[None].astype(np.float32) / 255})["sr"][0]
    off = np.abs(model.upscale_u8(lr) - np.clip(expected, 0, 1) * 255.0)
    assert off.max() <= 0.5 + 1e-3
    assert model.how_resized is None


def test_default_runtimes(tmp_path: Path) -> None:
    """LiteRT for .tflite and int8 graphs, onnxruntime for .onnx and float graphs."""
    graph, coded = sesr_graph(m=3), quantized(sesr_graph(m=3))
    (tmp_path / "q.onnx").write_bytes(onnx_bytes(coded))
    (tmp_path / "f.tflite").write_bytes(tflite_bytes(graph, SIZE))
    assert SrModel.open(graph).runtime == "onnxruntime"
    assert SrModel.open(coded).runtime == "litert"
    assert SrModel.open(tmp_path / "q.onnx").runtime == "onnxruntime"
    assert SrModel.open(tmp_path / "f.tflite").runtime == "litert"
    other = SrModel.open(tmp_path / "q.onnx", runtime="litert-reference")
    lr = noise_frame((9, 9), 1, 0)
    np.testing.assert_array_equal(other.upscale_u8(lr), reference_u8(coded, lr))


def test_state_goes_from_frame_to_frame() -> None:
    """A recurrent net carries its state; reset and a new size forget it."""
    graph = quantized(cell_graph())
    model = SrModel.open(graph, runtime="litert-reference")
    state = np.full((1, 16, 24, 8), graph.qparams["state"].zero_point, np.int8)
    frames = [noise_frame(SIZE, 1, seed) for seed in range(3)]
    outputs = []
    for lr in frames:
        codes = (lr[None] ^ np.uint8(128)).view(np.int8)
        out = run_int8(graph, {"frame": codes, "state": state})
        state = out["next_state"]
        outputs.append(model.upscale_u8(lr))
        expected = (out["sr"][0].view(np.uint8)) ^ np.uint8(128)
        np.testing.assert_array_equal(outputs[-1], expected)
    assert (model.upscale_u8(frames[0]) != outputs[0]).any()
    model.reset()
    np.testing.assert_array_equal(model.upscale_u8(frames[0]), outputs[0])
    model.upscale_u8(noise_frame((8, 8), 1, 0))
    np.testing.assert_array_equal(model.upscale_u8(frames[0]), outputs[0])


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_recurrent_floats_agree_with_the_reference(runtime: str) -> None:
    """State keeps the runtime's own layout between frames."""
    graph = cell_graph()
    model = SrModel.open(graph, runtime=runtime)
    state = np.zeros((1, 16, 24, 8), np.float32)
    for seed in range(2):
        lr = noise_frame(SIZE, 1, seed).astype(np.float32) / 255
        out = run_float(graph, {"frame": lr[None], "state": state})
        state = out["next_state"]
        np.testing.assert_allclose(model.upscale(lr), np.clip(out["sr"][0], 0, 1), atol=1e-5)


def test_prepared_sizes_are_kept() -> None:
    """Going back to a size does not prepare it again, and old sizes are let go."""
    model = SrModel.open(quantized(sesr_graph(m=3)))
    first = model.prepare(SIZE)
    for width in range(8, 11):
        model.prepare((width, 8))
    assert model.prepare(SIZE) is first
    for width in range(20, 24):
        model.prepare((width, 8))
    assert model.prepare(SIZE) is not first


def test_odd_sides_of_a_net_that_packs_pairs() -> None:
    """A net with space_to_depth takes odd frames: the last row and column are repeated."""
    from tests.unit.test_runtime_tiling import blocks_graph

    graph = quantized(blocks_graph())
    model = SrModel.open(graph, runtime="litert-reference")
    lr = noise_frame((13, 9), 1, 0)
    grown = np.pad(lr, ((0, 1), (0, 1), (0, 0)), "edge")
    expected = model.upscale_u8(grown)[:18, :26]
    np.testing.assert_array_equal(model.upscale_u8(lr), expected)


def test_wrong_frames_and_files(tmp_path: Path) -> None:
    """Each wrong use says what was expected and found."""
    model = SrModel.open(quantized(sesr_graph(m=3)))
    with pytest.raises(SpecError, match=r"expected \(H, W, 1\)"):
        model.upscale_u8(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SpecError, match="expected uint8"):
        model.upscale_u8(np.zeros((4, 4, 1), np.float32))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="runtime 'tensorrt'"):
        SrModel.open(sesr_graph(m=3), runtime="tensorrt")
    picture = tmp_path / "net.png"
    picture.write_bytes(b"x")
    with pytest.raises(SourceError, match=r"expected a \.tflite or \.onnx"):
        SrModel.open(picture)
    for name in ("missing.onnx", "missing.tflite"):
        with pytest.raises(SourceError, match="missing"):
            SrModel.open(tmp_path / name)


def test_nan_weights_are_refused() -> None:
    """NaN in weights or biases is found before anything runs."""
    graph = sesr_graph(m=3)
    weight = graph.nodes[2].weight
    assert weight is not None
    weight = weight.copy()
    weight[0, 0, 0, 0] = np.nan
    nodes = list(graph.nodes)
    nodes[2] = replace(nodes[2], weight=weight)
    with pytest.raises(SourceError, match="'body0' hold NaN"):
        SrModel.open(replace(graph, nodes=tuple(nodes)))


def test_an_output_that_is_not_finite_is_an_error() -> None:
    """Weights that overflow in float32 do not become a black picture."""
    graph = sesr_graph(m=3)
    nodes = [
        replace(node, weight=node.weight * np.float32(1e30)) if node.weight is not None else node
        for node in graph.nodes
    ]
    model = SrModel.open(replace(graph, nodes=tuple(nodes)))
    with pytest.raises(SourceError, match="NaN or infinity"):
        model.upscale_u8(noise_frame((8, 8), 1, 0))


def test_codec_refuses_what_is_not_an_image() -> None:
    """An input whose scale is not that of an image, a type that is none, a missing scale."""
    graph = quantized(sesr_graph(m=3))
    odd = {**graph.qparams, "frame": QuantParams(0.05, -128)}
    with pytest.raises(SourceError, match="1/255"):
        SrModel.open(replace(graph, qparams=odd), size=SIZE)
    spec = IoSpec("x", "frame", (1, 8, 8, 1), "int64", 1 / 255, -128)
    with pytest.raises(SourceError, match="int64"):
        FrameCodec(spec, nchw=False)
    with pytest.raises(SourceError, match="without a scale"):
        FrameCodec(replace(spec, dtype="int8", scale=None), nchw=False)


def test_codec_of_another_scale_rounds_to_nearest() -> None:
    """Codes at a scale a little off 1/255 go through a table, there and back."""
    spec = IoSpec("x", "frame", (1, 16, 16, 1), "uint8", 1 / 240, 10)
    codec = FrameCodec(spec, nchw=False)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    codes = codec.encode(pixels)
    expected = np.clip(np.floor(pixels / 255 * 240 + 0.5) + 10, 0, 255)
    np.testing.assert_array_equal(codes[0], expected)
    back = codec.decode_u8(codes)
    assert np.abs(back.astype(int) - pixels)[pixels < 240].max() <= 1


def test_codec_of_values_up_to_255() -> None:
    """A file whose real values are 0 to 255 takes the same codes."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for dtype, zero in (("uint8", 0), ("int8", -128)):
        codecs = [
            FrameCodec(IoSpec("x", "frame", (1, 16, 16, 1), dtype, white / 255, zero), False, white)
            for white in (255.0, 1.0)
        ]
        first, second = (codec.encode(pixels) for codec in codecs)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(codecs[0].decode_u8(first), pixels)
        np.testing.assert_allclose(codecs[0].decode_float(first), pixels / 255.0, atol=1e-6)


@pytest.mark.parametrize("io", ["uint8", "float"])
def test_networks_whose_white_is_255(io: str, tmp_path: Path) -> None:
    """An int8 net trained on values 0 to 255 gives the pixels of its twin trained on 0 to 1."""
    graph = quantized(sesr_graph(m=3))
    lr = noise_frame((9, 7), 1, 0)
    expected = reference_u8(graph, lr)
    scales = {
        n: QuantParams(float(np.float32(q.scale * 255)), q.zero_point)
        for n, q in graph.qparams.items()
    }
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(replace(graph, qparams=scales), SIZE, io))
    model = SrModel.open(path, runtime="litert-reference")
    off = np.abs(model.upscale_u8(lr).astype(int) - expected)
    assert off.max() <= 1
    assert np.abs(model.upscale(lr.astype(np.float32) / 255) - expected / 255.0).max() <= 1.01 / 255
