"""Quantize with int16 activations, then verify, evaluate and export the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import ExportError, QuantizeError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.runtime.probe import picture_frame
from edgevsr.zoo import calibration_frames
from tests.graphs import sesr_graph


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a small float network and two pictures to measure it on."""
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(onnx_bytes(sesr_graph(1, 4)))
    Path("hr").mkdir()
    for seed in range(2):
        pixels = np.repeat(picture_frame((64, 56), 1, seed), 3, axis=2)
        Image.fromarray(pixels).save(f"hr/{seed}.png")
    return tmp_path


def test_int16_activations_lose_less_than_int8(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drops, errors = {}, {}
    for activations, form in (("int8", "w8a8"), ("int16", "w8a16")):
        words = ["quantize", "net.onnx", "--calib", str(calibration_frames()), "--data", "hr"]
        assert main([*words, "--activations", activations, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["output"] == f"net-{form}.onnx"
        assert result["activations"] == activations
        drops[activations] = abs(result["psnr_drop_db"])
        errors[activations] = result["damage"]["error"]
    # Of the picture: what is lost in PSNR-Y, less than 0.001 dB by either, is left to chance.
    assert errors["int16"] < 0.7 * errors["int8"]
    verified = edgevsr.verify("net-w8a16.onnx", against="net.onnx").to_json()
    assert verified["passed"]
    assert verified["runtime"] == "onnxruntime"
    measured = edgevsr.evaluate("net-w8a16.onnx", data="hr").to_json()
    floats = edgevsr.evaluate("net.onnx", data="hr").to_json()
    assert measured["psnr_y_db"] == pytest.approx(floats["psnr_y_db"], abs=drops["int16"] + 1e-3)

    edgevsr.export("net-w8a16.onnx", target="onnx", output="sized.onnx", size=(48, 32))
    card = json.loads(Path("sized.json").read_text())
    assert (card["precision"], card["weights"]) == ("w8a16", "int8")
    assert edgevsr.verify("sized.onnx", against="net.onnx").passed
    with pytest.raises(ExportError, match="no int16 DEPTH_TO_SPACE"):
        edgevsr.export("net-w8a16.onnx", target="tflite")
    with pytest.raises(QuantizeError, match="w8a16 already"):
        edgevsr.quantize("net-w8a16.onnx", calib=calibration_frames(), output="x.onnx")
