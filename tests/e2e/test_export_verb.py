"""`edgevsr export` from files on disk, as a script would call it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr.errors import EdgeVsrError, ExportError, OutputError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.from_tflite import graph_from_tflite
from tests.graphs import quantized, sesr_graph
from tests.litert import count_tflite_ops

KEYS = {"output", "format", "bytes", "sha256", "ops", "inputs", "outputs"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a float and a quantized SESR-M5 in it."""
    monkeypatch.chdir(tmp_path)
    graph = sesr_graph()
    Path("float.onnx").write_bytes(onnx_bytes(graph))
    Path("int8.onnx").write_bytes(onnx_bytes(quantized(graph)))
    return tmp_path


def test_a_quantized_source_just_works(folder: Path) -> None:
    result = edgevsr.export("int8.onnx", target="tflite").to_json()
    assert set(result) >= KEYS
    assert result["output"] == "int8-tflite.tflite"
    assert result["ops"] == {"ADD": 2, "CONV_2D": 7, "DEPTH_TO_SPACE": 1, "LEAKY_RELU": 6}
    assert result["ops"] == count_tflite_ops(Path(result["output"]).read_bytes())
    assert result["inputs"][0]["shape"] == [1, 360, 640, 1]
    assert result["outputs"][0]["shape"] == [1, 720, 1280, 1]
    assert result["inputs"][0]["dtype"] == "int8"
    assert json.loads(Path("int8-tflite.json").read_text())["sha256"] == result["sha256"]


def test_the_sources_own_size_is_kept_and_size_overrides_it(folder: Path) -> None:
    Path("fixed.onnx").write_bytes(onnx_bytes(sesr_graph(1), (48, 32)))
    kept = edgevsr.export("fixed.onnx", target="tflite")
    assert kept.size == (48, 32)
    given = edgevsr.export("fixed.onnx", target="tflite", size="64x40", output="b.tflite")
    assert given.to_json()["inputs"][0]["shape"] == [1, 40, 64, 1]
    onnx = edgevsr.export("fixed.onnx", target="onnx").to_json()
    assert onnx["inputs"][0]["shape"] == [1, 1, 32, 48]
    with pytest.raises(SpecError):
        edgevsr.export("fixed.onnx", target="tflite", size="64by40")


def test_float16_weights_halve_the_file_and_are_kept(folder: Path) -> None:
    full = edgevsr.export("float.onnx", target="tflite", output="full.tflite").to_json()
    half = edgevsr.export("float.onnx", target="tflite", weights="float16", output="h.tflite")
    assert half.to_json()["bytes"] < 0.65 * full["bytes"]
    assert half.to_json()["ops"]["DEQUANTIZE"] == 14
    assert json.loads(Path("h.json").read_text())["weights"] == "float16"
    assert edgevsr.verify("h.tflite", against="float.onnx").passed
    again = edgevsr.export("h.tflite", target="tflite", output="again.tflite").to_json()
    assert again["bytes"] == half.to_json()["bytes"]
    wide = edgevsr.export("h.tflite", target="tflite", weights="float32", output="w.tflite")
    assert wide.to_json()["ops"] == full["ops"]
    assert json.loads(Path("w.json").read_text())["weights"] == "float32"


@pytest.mark.parametrize(("size", "name"), [((640, 360), "a"), ((1920, 1080), "b")])
def test_export_takes_less_than_a_second(folder: Path, size: tuple[int, int], name: str) -> None:
    edgevsr.export("int8.onnx", target="tflite", output="warm.tflite")
    start = time.perf_counter()
    edgevsr.export("int8.onnx", target="tflite", size=size, output=f"{name}.tflite")
    assert time.perf_counter() - start < 1


def test_a_tflite_source_is_exported_again(folder: Path) -> None:
    edgevsr.export("int8.onnx", target="tflite", io="uint8", size=(48, 32), output="a.tflite")
    result = edgevsr.export("a.tflite", target="ethos-u").to_json()
    assert "DEPTH_TO_SPACE" not in result["ops"]
    assert result["inputs"][0]["shape"] == [1, 32, 48, 1]
    again = edgevsr.export("a.tflite", target="tflite", io="uint8", output="b.tflite")
    assert again.output.read_bytes() == Path("a.tflite").read_bytes()


def test_int8_quantizes_a_float_source_on_frames(folder: Path) -> None:
    frames = folder / "frames"
    frames.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(frames / f"{index}.png")
    Path("small.onnx").write_bytes(onnx_bytes(sesr_graph(1, 4)))
    result = edgevsr.export("small.onnx", target="tflite", int8=True, calib=frames, size=(48, 32))
    assert result.to_json()["inputs"][0]["dtype"] == "int8"
    assert graph_from_tflite(result.output).quantized


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"target": "tflight"}, ExportError, "did you mean 'tflite'"),
        ({"target": "tflite", "int8": True}, ExportError, "--int8 on a float source needs --calib"),
        ({"target": "tflite", "calib": "."}, ExportError, "--calib goes with --int8"),
        ({"target": "tflite", "io": "uint8"}, ExportError, "this network is float"),
        ({"target": "tflite", "weights": "int4"}, ExportError, "expected one of float32, float16"),
        ({"target": "ethos-u"}, ExportError, "int8 only"),
        ({"target": "tflite", "output": "x.onnx"}, OutputError, "writes .tflite"),
    ],
)
def test_wrong_use_writes_nothing(
    folder: Path, options: dict[str, Any], error: type[EdgeVsrError], text: str
) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(error, match=text) as caught:
        edgevsr.export("float.onnx", **options)
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before


def test_an_existing_output_needs_force(folder: Path) -> None:
    first = edgevsr.export("int8.onnx", target="tflite", size=(48, 32))
    with pytest.raises(OutputError, match="--force"):
        edgevsr.export("int8.onnx", target="tflite", size=(64, 32))
    again = edgevsr.export("int8.onnx", target="tflite", size=(48, 32), force=True)
    assert again.to_json() == first.to_json()
