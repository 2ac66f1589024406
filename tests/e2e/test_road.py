"""The road that `make demo` runs: every step from the shipped wide network to the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr import road, zoo
from edgevsr.cli import guarded
from tests.e2e.conftest import make_clip

WRITTEN = (
    "sesr-m5-x2.onnx", "sesr-m5-x2-w8a8.onnx", "sesr-m5-x2-w8a8-tflite.tflite",
    "sesr-m5-x2-w8a8-tflite.json", "sesr-m5-x2-w8a8-onnx.onnx", "comparison.png", "sample-x2.mp4",
    "verify-tflite.json", "verify-onnx.json", "evaluate.json", "profile-device.json",
    "profile-host.json",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(quick_rounding: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a short clip and few frames in the place of those that ship."""
    make_clip(tmp_path / "clip.mp4", frames=10, size=(320, 240))
    frames = sorted(path for path in zoo.calibration_frames().iterdir() if path.suffix == ".jpg")
    (tmp_path / "calibration").mkdir()
    for path in frames[:4]:
        with Image.open(path) as image:
            image.crop((0, 0, 64, 64)).save(tmp_path / "calibration" / path.name)
    monkeypatch.setattr(zoo, "sample_clip", lambda: tmp_path / "clip.mp4")
    monkeypatch.setattr(zoo, "calibration_frames", lambda: tmp_path / "calibration")


def test_the_road_writes_everything_and_can_be_walked_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    assert guarded(road.Road(folder).walk) == 0
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len([line for line in lines if line[:1].isalpha()]) == 1 + 11 + 1
    assert {name for name in WRITTEN if not (folder / name).stat().st_size} == set()
    assert json.loads((folder / "verify-tflite.json").read_text())["passed"] is True
    picture = np.asarray(Image.open(folder / "comparison.png"))
    assert picture.std() > 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(road.Road, "quantize", lambda self: "as before")
        assert guarded(road.Road(folder).walk) == 0


def test_a_step_that_fails_ends_the_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failed:
        def to_json(self) -> dict[str, Any]:
            return {"passed": False}

    for step in ("collapse", "quantize", "export_tflite", "export_onnx"):
        monkeypatch.setattr(road.Road, step, lambda self: "done")
    monkeypatch.setitem(vars(edgevsr), "verify", lambda *_, **__: Failed())
    assert guarded(road.Road(tmp_path / "demo").walk) == 1
    out, err = capfd.readouterr()
    assert "evaluate" not in out
    assert "does not compute what its source computes" in err
    assert not (tmp_path / "demo" / "comparison.png").exists()
