"""`edgevsr train --qat`: from a float run to an int8 file that is what was trained, to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import edgevsr
from edgevsr import cli
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.nets.checkpoint import load_checkpoint
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source
from tests.e2e.conftest import Refused, make_clip
from tests.e2e.test_train import finish, log_of, photos, same_bits

__all__ = ["photos"]

TRAIN = ["train", "sesr-m3", "--scale", "2", "--batch", "2", "--patch", "12", "--threads", "1"]


def command(photos: Path, run: Path, *options: str) -> list[str]:
    data = ["--data", str(photos), "--cache", str(photos.parent / "cache"), "--out", str(run)]
    return [sys.executable, "-m", "edgevsr", *TRAIN, *data, *options]


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short float run, and one that goes on from it for int8, validated on `photos`."""
    folder = tmp_path_factory.mktemp("qat")
    finish(command(photos, folder / "float", "--steps", "30", "--every", "30"))
    finish(command(photos, folder / "int8", *options(folder, photos)))
    return folder


def options(folder: Path, photos: Path) -> list[str]:
    words = ["--qat", "--init", str(folder / "float"), "--val", str(photos), "--lr", "1e-4"]
    return [*words, "--steps", "12", "--every", "4"]


def test_both_ways_give_the_file_that_was_trained(runs: Path, photos: Path, tmp_path: Path) -> None:
    """Straight from the run, and over the narrow net: the same file, no frames asked for."""
    direct, narrow, detour = (tmp_path / name for name in ("direct.onnx", "n.onnx", "detour.onnx"))
    for words in (
        ["quantize", str(runs / "int8"), "-o", str(direct)],
        ["collapse", str(runs / "int8"), "-o", str(narrow)],
        ["quantize", str(narrow), "-o", str(detour)],
    ):
        assert cli.main(words) == 0
    # The two proofs of the collapse were made on different frames.
    one, two = (open_source(each).graph.with_meta(max_abs_err=0.0) for each in (direct, detour))
    assert onnx_bytes(one) == onnx_bytes(two)
    seen = float(log_of(runs / "int8")[-1]["val_psnr_y_db"])
    measured = edgevsr.evaluate(direct, data=photos, runtime="litert-reference").to_json()
    assert measured["psnr_y_db"] == pytest.approx(seen, abs=0.02)
    file = tmp_path / "net.tflite"
    edgevsr.export(runs / "int8", target="tflite", int8=True, size="24x20", output=file)
    result = edgevsr.verify(file, against=direct).to_json()
    assert result["passed"]
    assert result["max_lsb_reference"] == 0


def test_killed_and_resumed_equals_uninterrupted(runs: Path, photos: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    words = command(photos, killed, *options(runs, photos))
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (killed / "log.csv").exists() and log_of(killed):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finish([*words, "--resume"])
    assert same_bits(runs / "int8", killed)
    infos = [load_checkpoint(run / "checkpoint.safetensors")[1] for run in (runs / "int8", killed)]
    assert infos[0]["int8_ranges"] == infos[1]["int8_ranges"]
    assert infos[0]["training"]["qat"] is True
    assert json.loads((killed / "run.json").read_text())["qat"] is True


def test_it_goes_on_from_the_float_net(runs: Path) -> None:
    """Its float function is still the float run's, up to what twelve small steps change."""
    frame = np.random.default_rng(0).random((16, 20, 1), np.float32)
    models = [
        SrModel.open(open_source(runs / name).graph).upscale(frame) for name in ("float", "int8")
    ]
    assert np.abs(models[0] - models[1]).max() < 0.1


def test_a_recurrent_run_streams_what_was_trained(tmp_path: Path) -> None:
    clip, run = tmp_path / "clip.mp4", tmp_path / "run"
    make_clip(clip)
    common = ["--scale", "2", "--data", str(clip), "--val", str(clip), "--frames", "4"]
    small = ["--batch", "1", "--patch", "12", "--threads", "1", "--cache", str(tmp_path / "cache")]
    words = ["train", "rsesr-f8-m1-s4", *common, *small, "--steps", "6", "--every", "6"]
    assert cli.main([*words, "--out", str(tmp_path / "float")]) == 0
    start = str(tmp_path / "float")
    assert cli.main([*words, "--out", str(run), "--qat", "--init", start, "--lr", "1e-4"]) == 0
    int8, file = tmp_path / "int8.onnx", tmp_path / "net.tflite"
    edgevsr.quantize(run, output=int8)
    edgevsr.export(int8, target="tflite", size="24x20", output=file)
    result = edgevsr.verify(file, against=int8).to_json()
    assert result["stream"]["max_lsb_reference"] == 0
    assert result["passed"]


def test_what_it_refuses(runs: Path, photos: Path, tmp_path: Path, refused: Refused) -> None:
    data = f"--scale 2 --data {photos} --out {tmp_path / 'run'} --qat"
    train, start = f"train sesr-m3 {data}", f"--init {runs / 'float'}"
    assert "add --init RUN" in refused(train)
    assert "leave --form out" in refused(f"{train} {start} --form expanded")
    assert "add --frames 10" in refused(f"train rsesr-f8-m1-s4 {data} {start} --frames 1")
    output = f"-o {tmp_path / 'q.onnx'}"
    assert "leave --calib out" in refused(f"quantize {runs / 'int8'} {output} --calib {photos}")
    assert "--calib is missing" in refused(f"quantize {runs / 'float'} {output}")
    export = f"export {runs / 'int8'} --target tflite --int8"
    assert "leave --calib out" in refused(f"{export} --calib {photos}")
