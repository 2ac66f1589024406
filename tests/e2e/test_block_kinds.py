"""Every kind of block goes the whole road: collapse, quantize, export, verify, on both runtimes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import edgevsr
from edgevsr.nets.checkpoint import save_net
from edgevsr.nets.registry import build, net_spec
from edgevsr.zoo import calibration_frames
from tests.litert import count_tflite_ops


@pytest.mark.parametrize(
    ("name", "depthwise"),
    [("sesr-f8-m2-ecb", 0), ("sesr-f8-m2-dw", 2), ("sesr-f6-m3-dw-rgb", 3), ("sesr-f8-m2-gate", 0)],
)
def test_the_whole_road(name: str, depthwise: int, quick_rounding: None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build(replace(net_spec(name, 2), expansion=32))
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.02 * torch.randn_like(value))
    save_net(tmp_path / "wide.safetensors", net, net.spec, {})
    narrow, int8 = tmp_path / "net.onnx", tmp_path / "int8.onnx"
    edgevsr.collapse(tmp_path / "wide.safetensors", output=narrow)
    edgevsr.quantize(narrow, calib=calibration_frames(), output=int8)
    for source in (narrow, int8):
        for target in ("tflite", "onnx"):
            file = tmp_path / f"{source.stem}-{target}.{target}"
            edgevsr.export(source, target=target, size="48x40", output=file)
            result = edgevsr.verify(file, against=source).to_json()
            assert result["passed"]
            if source == int8 and target == "tflite":
                assert result["max_lsb_reference"] == 0
                operators = count_tflite_ops(file.read_bytes())
                assert operators.get("DEPTHWISE_CONV_2D", 0) == depthwise
                assert operators.get("MUL", 0) == name.endswith("-gate")
                # A gate's bounds are the ends of its int8 range.
                assert not {"MINIMUM", "MAXIMUM"} & operators.keys()
