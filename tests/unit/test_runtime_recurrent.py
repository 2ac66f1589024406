"""Streams: a hundred frames on their own state in every runtime, resets, states from outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr import motion
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import round_u8
from edgevsr.errors import (
    DataError,
    EdgeVsrError,
    ExportError,
    OutputError,
    SourceError,
    SpecError,
)
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.from_tflite import graph_from_tflite
from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.graph.streaming import stream
from edgevsr.quantization.calibration import load_stream
from edgevsr.quantization.int16 import quantize_int16
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.runtime import ahead
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import moving_frames, noise_frame
from edgevsr.runtime.state import read_state, write_state
from edgevsr.runtime.streams import stream_error
from edgevsr.runtime.verify import MAX_ABS_ERR, verify_file
from tests.graphs import quantized
from tests.recurrent import moving_clip, rsesr_graph

SIZE = (24, 16)
FLOAT = rsesr_graph(seed=1)
INT8 = quantize_graph(FLOAT, [moving_clip()], Scheme(rounding="nearest"))
ALIGNED = rsesr_graph(seed=1, aligned=True)
ALIGNED_INT8 = quantize_graph(ALIGNED, [moving_clip()], Scheme(rounding="nearest"))
each_float = pytest.mark.parametrize("real", [FLOAT, ALIGNED], ids=["plain", "aligned"])
each_int8 = pytest.mark.parametrize("int8", [INT8, ALIGNED_INT8], ids=["plain", "aligned"])


def write(path: Path, graph: Graph) -> Path:
    onnx = path.suffix == ".onnx"
    path.write_bytes(onnx_bytes(graph) if onnx else tflite_bytes(graph, SIZE))
    return path


@each_int8
def test_int8_streams_over_a_hundred_frames(int8: Graph, tmp_path: Path) -> None:
    """LiteRT's reference kernels equal the integer reference; the fast ones stay near it."""
    file = write(tmp_path / "net.tflite", int8)
    judge = SrModel.open(file, runtime="litert-reference")
    for runtime in ("litert", "onnxruntime"):
        found = stream_error(SrModel.open(file, runtime=runtime), int8, judge)
        assert found.frames == 100
        assert found.max_lsb_reference == 0
        assert found.max_lsb_runtime is not None
        assert found.psnr_db is None or found.psnr_db >= 50
        assert found.fall_db <= 1.0


@each_int8
def test_verify_streams_a_clip_of_the_users(int8: Graph, tmp_path: Path) -> None:
    """It plays back and forth, and holds aligned networks to what others are held to."""
    file = write(tmp_path / "net.tflite", int8)
    frames = [frame[:20, :24] for frame in moving_frames((40, 30), 3, 5)]
    for index, frame in enumerate(frames):
        (tmp_path / "clip").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "clip" / f"{index:03}.png")
    found = edgevsr.verify(file, against=file, clip=tmp_path / "clip").verification
    assert found.stream is not None
    assert (found.stream.frames, found.stream.max_lsb_reference) == (100, 0)
    bounds = {check.name: check.bound for check in found.checks}
    assert bounds["psnr_stream_db"] == 50.0
    lumas = load_stream(tmp_path / "clip", 1, 7)
    expected = [round_u8(rgb_to_y(frames[i]))[..., None] for i in (0, 1, 2, 3, 4, 3, 2)]
    np.testing.assert_array_equal(lumas, expected)


def test_a_clip_to_verify_on_must_be_one(tmp_path: Path) -> None:
    file = write(tmp_path / "net.tflite", INT8)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none"):
        edgevsr.verify(file, against=file, clip=tmp_path / "none")
    with pytest.raises(SpecError, match="no state"):
        edgevsr.verify("sesr-m5-x2", against="sesr-m5-x2", clip=tmp_path)
    w8a16 = write(tmp_path / "net.onnx", quantize_int16(FLOAT, [moving_clip()]))
    with pytest.raises(SpecError, match="int16"):
        edgevsr.verify(w8a16, against=w8a16, clip=tmp_path)


@each_float
@pytest.mark.parametrize("name", ["net.onnx", "net.tflite"])
def test_float_streams_over_a_hundred_frames(name: str, real: Graph, tmp_path: Path) -> None:
    found = stream_error(SrModel.open(write(tmp_path / name, real)), real)
    assert found.max_abs_err is not None
    assert found.max_abs_err <= MAX_ABS_ERR


def test_a_state_that_is_lost_shows_in_the_stream(tmp_path: Path) -> None:
    """The comparison is none that passes whatever the state does."""
    model = SrModel.open(write(tmp_path / "net.onnx", FLOAT))
    upscale = model.upscale

    def forgetful(lr: np.ndarray) -> np.ndarray:
        model.reset()
        return upscale(lr)

    model.upscale = forgetful  # type: ignore[method-assign]
    found = stream_error(model, FLOAT)
    assert found.max_abs_err is not None
    assert found.max_abs_err > 10 * MAX_ABS_ERR


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        ("f.onnx", FLOAT),
        ("q.onnx", INT8),
        ("q.tflite", INT8),
        ("f.tflite", ALIGNED),
        ("q.onnx", ALIGNED_INT8),
        ("q.tflite", ALIGNED_INT8),
    ],
)
def test_verify_reports_the_stream(name: str, graph: Graph, tmp_path: Path) -> None:
    found = verify_file(write(tmp_path / name, graph), graph)
    assert found.passed, found.checks
    assert found.stream is not None
    names = {check.name for check in found.checks}
    assert ("max_lsb_stream" in names) == graph.quantized
    assert ("max_abs_err_stream" in names) == (not graph.quantized)


@each_int8
@pytest.mark.parametrize("io", ["uint8", "float"])
def test_other_frame_types_stream_the_same_pixels(io: str, int8: Graph, tmp_path: Path) -> None:
    """With uint8 or float ends the state stays int8, and pixels stay the same."""
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(int8, SIZE, io))
    models = [SrModel.open(source, runtime="litert-reference") for source in (path, int8)]
    for frame in moving_frames(SIZE, 1, 4):
        first, second = (model.upscale_u8(frame) for model in models)
        np.testing.assert_array_equal(first, second)
    models[0].restore(models[0].state)


@each_int8
def test_the_first_frame_is_its_own_previous_frame_and_a_new_size_starts_anew(int8: Graph) -> None:
    model = SrModel.open(int8, runtime="litert-reference")
    frames = moving_frames(SIZE, 1, 3)
    codes = ((frame ^ np.uint8(128)).view(np.int8)[None] for frame in frames)
    expected = [
        outputs["sr"][0].view(np.uint8) ^ np.uint8(128) for _, outputs in stream(int8, codes)
    ]
    for _ in range(2):
        for frame, sr in zip(frames, expected, strict=True):
            np.testing.assert_array_equal(model.upscale_u8(frame), sr)
        model.upscale_u8(noise_frame((12, 20), 1, 0))  # mid-stream, another size
    assert (expected[0] != model.upscale_u8(frames[0])).sum() == 0
    model.reset()
    assert model.state == {}


@each_int8
@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_a_state_is_kept_in_a_file_and_taken_back(
    runtime: str, int8: Graph, tmp_path: Path
) -> None:
    """A stream that is interrupted goes on as if it had not been."""
    whole, model = (SrModel.open(int8, runtime=runtime) for _ in range(2))
    frames = moving_frames(SIZE, 1, 6)
    expected = [whole.upscale_u8(frame) for frame in frames]
    for frame in frames[:3]:
        model.upscale_u8(frame)
    write_state(tmp_path / "state.npz", model.state)
    with pytest.raises(OutputError, match="exists already"):
        write_state(tmp_path / "state.npz", model.state)
    later = SrModel.open(int8, runtime=runtime)
    later.restore(read_state(tmp_path / "state.npz"))
    for frame, sr in zip(frames[3:], expected[3:], strict=True):
        np.testing.assert_array_equal(later.upscale_u8(frame), sr)


def test_states_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Shape, type, missing parts and NaN are named; damaged files too."""
    model = SrModel.open(FLOAT, runtime="litert")
    model.upscale_u8(moving_frames(SIZE, 1, 1)[0])
    good = model.state
    state = good["state_out:0"]
    nan = state.copy()
    nan[0, 0, 0, 0] = np.nan
    cases = [
        ({**good, "state_out:0": state[:, :-1]}, r"state_out:0 is \(1, 15, 24, 5\).*expected"),
        ({**good, "state_out:0": state[..., :-1]}, r"expected \(1, 16, 24, 5\)"),
        ({**good, "state_out:0": state[0]}, "expected"),
        ({**good, "state_out:0": state.astype(np.float64)}, "float64"),
        ({**good, "state_out:0": nan}, "NaN"),
        ({**good, "previous_frame": good["previous_frame"][..., 0]}, r"expected \(H, W, 1\)"),
        ({"previous_frame": good["previous_frame"]}, "state_out:0"),
        ({**good, "state_out:1": state}, "state_out:1"),
    ]
    for wrong, text in cases:
        with pytest.raises(SpecError, match=text) as caught:
            model.restore(wrong)
        assert "\n" not in str(caught.value)
    model.restore(good)
    aligned = SrModel.open(ALIGNED, runtime="litert")
    aligned.upscale_u8(moving_frames(SIZE, 1, 1)[0])
    for wrong, text in (
        (good, "previous_sr"),
        ({**aligned.state, "previous_sr": good["previous_frame"]}, "previous_sr is"),
    ):
        with pytest.raises(SpecError, match=text):
            aligned.restore(wrong)
    aligned.restore(aligned.state)
    (tmp_path / "state.npz").write_bytes(b"PK\x03\x04 cut short")
    for name in ("state.npz", "none.npz"):
        with pytest.raises(DataError, match="not a state"):
            read_state(tmp_path / name)


def test_a_state_that_becomes_nan_is_named_and_forgotten() -> None:
    """A network that blows up says so, and the next frame starts anew."""
    graph = FLOAT
    nodes = []
    for node in graph.nodes:
        if node.output == "state_out_0" and node.bias is not None:
            node = replace(node, bias=node.bias + np.float32(3e38), weight=node.weight * 1e38)
        nodes.append(node)
    model = SrModel.open(replace(graph, nodes=tuple(nodes)))
    with pytest.raises(SourceError, match="state 'state_out_0' holds NaN or infinity"):
        model.upscale_u8(moving_frames(SIZE, 1, 1)[0])
    assert model.state == {}


def test_a_frame_that_holds_nan_is_refused_before_it_reaches_the_state() -> None:
    model = SrModel.open(FLOAT)
    frame = np.full((16, 24, 1), 0.5, np.float32)
    model.upscale(frame)
    before = model.state["state_out:0"]
    frame[0, 0] = np.nan
    with pytest.raises(SpecError, match="holds NaN"):
        model.upscale(frame)
    assert model.state["state_out:0"] is before


def test_an_aligned_network_without_opencv_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(motion, "has_flow", lambda: False)
    model = SrModel.open(ALIGNED)
    frame = moving_frames(SIZE, 1, 1)[0]
    model.upscale_u8(frame)
    with pytest.raises(EdgeVsrError, match=r"edgevsr\[video\]"):
        model.upscale_u8(frame)


def test_motion_found_ahead_is_taken_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is reset or left out between, each frame gets the motion of its own."""
    model = SrModel.open(rsesr_graph(aligned=True))
    frames = moving_frames((24, 20), 1, 8)

    def run(feed: Iterable[tuple[int, np.ndarray]]) -> list[np.ndarray]:
        model.reset()
        found = []
        for index, frame in feed:
            if index == 3:
                model.reset()
            if index != 5:
                found.append(model.upscale_u8(frame))
        return found

    expected = run(enumerate(frames))
    calls = []
    monkeypatch.setattr(
        ahead, "motion_since", lambda *given: calls.append(given) or motion.motion_since(*given)
    )
    assert model.ahead is not None
    items = list(model.ahead(enumerate(frames), lambda item: item[1]))
    assert len(calls) == len(frames) - 1
    np.testing.assert_array_equal(run(iter(items)), expected)
    assert len(calls) == len(frames), "only frame 6 follows another than the one before it"


def test_plain_networks_find_no_motion_ahead() -> None:
    assert SrModel.open(rsesr_graph()).ahead is None


def test_an_sr_of_another_scale_than_its_way_back_is_named(tmp_path: Path) -> None:
    moved = QuantParams(ALIGNED_INT8.qparams["sr"].scale * 1.5, -128)
    odd = replace(ALIGNED_INT8, qparams={**ALIGNED_INT8.qparams, "previous_sr": moved})
    with pytest.raises(SourceError, match="output 'sr' has scale"):
        SrModel.open(odd)
    with pytest.raises(ExportError, match="'sr' differ in scale"):
        tflite_bytes(odd, SIZE)


def test_states_of_two_scales_are_named(tmp_path: Path) -> None:
    """A .tflite that others quantized without tying the state cannot be streamed by bytes."""
    odd = quantized(FLOAT)
    moved = QuantParams(odd.qparams["state_out_0"].scale * 1.5, -128)
    odd = replace(odd, qparams={**odd.qparams, "state_out_0": moved})
    path = tmp_path / "odd.tflite"
    renamed = {**odd.roles, "state_in_0": "state_in:0", "state_out_0": "state_out:7"}
    path.write_bytes(tflite_bytes(replace(odd, roles=renamed), SIZE))
    # As another's file would be: roles told by the tensors' names alone.
    data = path.read_bytes().replace(b'"state_out:7"', b'"sttae_out:7"')
    path.write_bytes(data)
    assert graph_from_tflite(path).roles["state_out_0"] == "state_out:0"
    with pytest.raises(SourceError, match=r"odd\.tflite: output 'state_out_0' has scale"):
        SrModel.open(path)
