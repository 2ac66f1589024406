"""`verify` proves good files and finds bad ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevsr.errors import EdgeVsrError, SourceError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph
from edgevsr.runtime import verify as room
from edgevsr.runtime.compare import taken_apart
from edgevsr.verbs.verify import verify
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph

SIZE = (48, 32)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def altered(graph: Graph, index: int, **changes: Any) -> Graph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(graph, nodes=tuple(nodes))


NETS = {
    "sesr": sesr_graph(m=3),
    "sesr-rgb-x3": sesr_graph(m=3, channels=3, scale=3, activation="relu"),
    "fsrcnn": fsrcnn_graph(d=16, s=6, m=1),
    "recurrent": cell_graph(),
}


@pytest.mark.parametrize("name", NETS)
def test_float_files_pass(name: str, tmp_path: Path) -> None:
    """A float .tflite and .onnx agree with the source far within the bound."""
    graph = NETS[name]
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    tflite = written(tmp_path / "net.tflite", tflite_bytes(graph, SIZE))
    for path, runtime in ((tflite, "litert"), (source, "onnxruntime")):
        found = verify(path, against=source, threads=1).to_json()
        json.dumps(found, allow_nan=False)
        assert found["passed"]
        assert found["runtime"] == runtime
        assert 0 < found["max_abs_err"] <= 0.01 / 255
        assert found["max_lsb_reference"] is None
        assert found["max_lsb_runtime"] is None
        assert found["psnr_reference_db"] is None


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("io", ["int8", "uint8", "float"])
def test_int8_tflite_passes(name: str, io: str, tmp_path: Path) -> None:
    """An int8 .tflite equals the reference exactly, and stays near it in XNNPACK."""
    graph = quantized(NETS[name])
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    path = written(tmp_path / "net.tflite", tflite_bytes(graph, SIZE, io))
    found = verify(path, against=source, threads=1).to_json()
    assert found["passed"]
    assert found["max_abs_err"] is None
    assert found["max_lsb_reference"] == 0
    assert found["max_lsb_layer"] <= 1
    assert found["max_lsb_runtime"] <= 3
    assert found["psnr_reference_db"] is None or found["psnr_reference_db"] >= 50
    assert len(found["layers"]) == len(graph.nodes)
    stream = {"max_lsb_stream", "psnr_stream_db", "psnr_stream_fall_db"}
    assert {check["name"] for check in found["checks"]} == {
        "max_lsb_reference", "max_lsb_layer", "psnr_reference_db"
    } | (stream if name == "recurrent" else set())  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_qdq_onnx_passes(name: str, tmp_path: Path) -> None:
    """A QDQ .onnx passes in onnxruntime, against itself and against its float source."""
    graph = NETS[name]
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    path = written(tmp_path / "q.onnx", onnx_bytes(quantized(graph, (192, 108))))
    found = verify(path, against=source, threads=1).to_json()
    assert found["runtime"] == "onnxruntime"
    assert found["max_lsb_reference"] == 0
    assert found["max_lsb_layer"] <= 1
    assert found["psnr_reference_db"] >= 50
    assert found["psnr_source_db"] > 30
    assert verify(path, against=path, threads=1).passed


def test_a_larger_file_is_run_at_its_own_size_too(tmp_path: Path) -> None:
    """The checks run on a part of a large frame, and the frame itself once."""
    graph = quantized(sesr_graph(m=3))
    path = written(tmp_path / "net.tflite", tflite_bytes(graph, (320, 240)))
    found = verify(path, against=path, threads=1).to_json()
    assert found["sizes"] == ["192x108", "320x240"]
    assert found["how_resized"] == "input resized"
    assert found["passed"]


def test_a_wrong_weight_is_found(tmp_path: Path) -> None:
    """One weight off by one code fails the exact check."""
    graph = quantized(sesr_graph(m=3))
    weight = graph.nodes[0].weight
    assert weight is not None
    wrong = weight.copy()
    wrong[0, 2, 2, 0] ^= 1
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    bad = tflite_bytes(altered(graph, 0, weight=wrong), SIZE)
    found = verify(written(tmp_path / "net.tflite", bad), against=source).to_json()
    assert not found["passed"]
    assert found["max_lsb_reference"] >= 1
    failed = {check["name"] for check in found["checks"] if not check["passed"]}
    assert "max_lsb_reference" in failed


def test_a_float_difference_is_found(tmp_path: Path) -> None:
    """A bias a twentieth of a pixel value off fails the float check."""
    graph = sesr_graph(m=3)
    last = next(i for i, node in enumerate(graph.nodes) if node.name == "last")
    bias = graph.nodes[last].bias
    assert bias is not None
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    bad = onnx_bytes(altered(graph, last, bias=bias + np.float32(0.05 / 255)))
    found = verify(written(tmp_path / "net.onnx", bad), against=source).to_json()
    assert not found["passed"]
    assert found["max_abs_err"] == pytest.approx(0.05 / 255, rel=0.05)


def test_a_badly_quantized_net_misses_the_float_bound(tmp_path: Path) -> None:
    """An int8 net whose ranges clip falls below 45 dB against its float source."""
    graph = sesr_graph(m=3)
    coded = quantized(graph)
    name = coded.nodes[1].output
    narrow = replace(coded.qparams[name], scale=coded.qparams[name].scale / 8)
    bad = replace(coded, qparams={**coded.qparams, name: narrow})
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    path = written(tmp_path / "net.tflite", tflite_bytes(bad, SIZE))
    found = verify(path, against=source, threads=1).to_json()
    assert not found["passed"]
    assert found["max_lsb_reference"] == 0
    assert found["psnr_source_db"] < 45


def test_a_runtime_that_is_off_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per-layer and end-to-end bounds fail when the runtime computes something else."""
    graph = quantized(sesr_graph(m=3))
    path = written(tmp_path / "net.tflite", tflite_bytes(graph, SIZE))
    from edgevsr.runtime.runners import LiteRtRunner

    honest = LiteRtRunner.run

    def off(runner: LiteRtRunner, inputs: Any) -> Any:
        arrays = honest(runner, inputs)
        return arrays if runner.backend == "reference kernels" else [a ^ 4 for a in arrays]

    monkeypatch.setattr(LiteRtRunner, "run", off)
    found = verify(path, against=path).to_json()
    failed = {check["name"] for check in found["checks"] if not check["passed"]}
    assert failed == {"max_lsb_layer", "psnr_reference_db"}
    assert found["max_lsb_runtime"] > 3


def test_layers_taken_apart_have_their_own_ends() -> None:
    """Every layer of the taken-apart graph reads inputs and writes an output of the graph."""
    graph = quantized(fsrcnn_graph(m=1))
    apart = taken_apart(graph)
    assert apart.outputs == tuple(node.output for node in graph.nodes)
    assert all(set(node.inputs) <= set(apart.inputs) for node in apart.nodes)
    assert len(apart.inputs) == sum(len(node.inputs) for node in graph.nodes)


def test_mismatches_are_clear_errors(tmp_path: Path) -> None:
    """Another scale, other channels, another kind of net, float against int8, foreign files."""
    base = sesr_graph(m=3)
    source = written(tmp_path / "source.onnx", onnx_bytes(base))
    coded = written(tmp_path / "coded.onnx", onnx_bytes(quantized(base)))
    others = {
        "scale 3, expected 2": sesr_graph(m=3, scale=3),
        "image channels 3, expected 1": sesr_graph(m=3, channels=3),
        "inputs frame, state_in:0, expected frame": cell_graph(),
    }
    for text, graph in others.items():
        path = written(tmp_path / "other.onnx", onnx_bytes(graph))
        with pytest.raises(SourceError, match=text) as caught:
            verify(path, against=source)
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="is float but --against is int8"):
        verify(source, against=coded)
    for data in (b"", b"not a model", b"\x1c\0\0\0TFL3" + b"\0" * 64):
        for name in ("bad.onnx", "bad.tflite", "bad.txt"):
            with pytest.raises(SourceError, match="bad"):
                verify(written(tmp_path / name, data), against=source)


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    """A file with NaN in it is not run."""
    graph = sesr_graph(m=3)
    bias = graph.nodes[0].bias
    assert bias is not None
    bad = altered(graph, 0, bias=np.full_like(bias, np.nan))
    source = written(tmp_path / "source.onnx", onnx_bytes(graph))
    path = written(tmp_path / "nan.tflite", tflite_bytes(bad, SIZE))
    with pytest.raises(EdgeVsrError, match="NaN"):
        verify(path, against=source)


def test_bounds_are_those_of_the_contract() -> None:
    """0.01/255 in float; 0 LSB, 1 LSB a layer, 50 dB and 45 dB in int8."""
    assert pytest.approx(0.01 / 255) == room.MAX_ABS_ERR
    assert (room.MAX_LSB_REFERENCE, room.MAX_LSB_LAYER) == (0, 1)
    assert (room.MIN_PSNR_REFERENCE_DB, room.MIN_PSNR_SOURCE_DB) == (50.0, 45.0)
