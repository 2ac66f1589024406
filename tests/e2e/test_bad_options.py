"""Wrong options and outputs through the real command: one clear line, exit 2, nothing left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgevsr import cli
from tests.e2e.conftest import Refused, snapshot

# Options


@pytest.mark.parametrize(
    ("command", "suggestion"),
    [
        ("export int8.onnx --target tflit", "tflite"),
        ("lint int8.tflite --target ethos-u58", "ethos-u85"),
        ("profile int8.onnx --device ethos-n87-4tops", "ethos-n78-4tops"),
        ("fit --device ethos-n78 --size 640x360 --scale 2 --fps 30", "ethos-n78"),
        ("train sers-m5 --scale 2 --data frames --out run", "sesr-m5"),
        ("collapse sesr-m5-x2-wid -o out.onnx", "sesr-m5-x2-wide"),
        ("upscale clip.mp4 -o out.mp4 --net sesr-m5x2", "sesr-m5-x2"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(
    refused: Refused, command: str, suggestion: str
) -> None:
    assert f"did you mean '{suggestion}" in refused(command)


@pytest.mark.parametrize(
    "command",
    [
        "train sesr-m5 --scale 5 --data frames --out run",
        "train sesr-m5 --scale 2 --data absent --out run",
        "train sesr-m5 --scale 2 --data frames --out run --batch 0",
        "train sesr-m5 --scale 2 --data frames --out run --patch -4",
        "fit --device ethos-n78-4tops --size 640x360 --scale 7 --fps 30",
        "fit --device ethos-n78-4tops --size 640x360 --scale 2 --fps 0",
        "profile int8.onnx --device ethos-n78-4tops --fps nan",
        "profile int8.onnx --device ethos-n78-4tops --dram-gb-s -1",
        "lint int8.tflite --target onnx",
        "lint absent.tflite --target tflite",
        "profile int8.onnx --fps 30",
        "profile int8.onnx --on host --threads 0",
        "export net.onnx --target tflite --int8",
        "export net.onnx --target tflite --io int8",
        "export int8.onnx --target tflite --size 99999x99999",
        "verify int8.tflite --against absent.onnx",
        "verify absent.tflite --against net.onnx",
        "quantize int8.onnx --calib frames -o q.onnx",
        "quantize net.onnx --calib frames --max-drop 0.1 -o q.onnx",
        "quantize net.onnx --calib frames --data frames --max-drop nan -o q.onnx",
        "collapse net.onnx -o out.onnx",
        "collapse int8.tflite -o out.onnx",
        "upscale clip.mp4 -o out.txt --net int8.tflite",
        "upscale clip.mp4 -o out.mp4 --net int8.tflite --codec h2000",
        "upscale clip.mp4 -o clip.mp4 --net int8.tflite --force",
        "upscale clip.mp4 -o out.mp4 --net int8.tflite --threads 0",
        "evaluate int8.tflite --data frames --threads -1",
    ],
)
def test_options_that_do_not_fit(refused: Refused, command: str) -> None:
    refused(command)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("upscale frames -o out.mp4", "frames: is no regular file; give an image or a video"),
        ("upscale frames -o out.png", "frames: is no regular file; give an image or a video"),
        ("upscale absent -o out.png", "absent: no such file; give an image or a video"),
        ("upscale frames/0.png -o out.png --reset-on-cut", "--reset-on-cut is for videos"),
        (
            "upscale clip.mp4 -o out.mp4 --nett net.onnx",
            "(did you mean '--net'?); see: edgevsr ups",
        ),
        (
            "lint int8.tflite --target tflite --force",
            "arguments: --force; see: edgevsr lint --help",
        ),
        ("lint frames --target tflite", "frames: is no regular file; lint reads"),
        ("lint empty.onnx --target onnx", "empty.onnx: is empty; export or copy it again"),
        ("evaluate int8.tflite --data frames --threads 0", "--threads 0: expected at least 1"),
        ("evaluate net.onnx --data frames --csv frames", "frames: is a folder; give a file name"),
    ],
)
def test_the_line_says_what_is_wrong(refused: Refused, here: Path, command: str, says: str) -> None:
    (here / "empty.onnx").touch()
    assert says in refused(command)


def test_data_that_is_not_there_is_said_before_the_work(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgevsr.verbs.quantize.quantize_graph", pytest.fail)
    refused("quantize net.onnx --calib frames --data absent -o q.onnx", names="absent")


def test_verify_of_two_different_networks(refused: Refused) -> None:
    refused("verify int8.tflite --against frames/0.png", names="0.png")


# Outputs


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("collapse wide.safetensors -o taken.onnx", "taken.onnx"),
        ("quantize net.onnx --calib frames --rounding nearest -o taken.onnx", "taken.onnx"),
        ("export int8.onnx --target tflite -o taken.tflite", "taken.tflite"),
        ("evaluate net.onnx --data frames --csv taken.csv", "taken.csv"),
        ("upscale clip.mp4 -o taken.mp4 --net int8.tflite", "taken.mp4"),
        ("upscale frames/0.png -o taken.png --net int8.tflite", "taken.png"),
    ],
)
def test_an_output_that_exists(
    refused: Refused, here: Path, capfd: pytest.CaptureFixture[str], command: str, output: str
) -> None:
    (here / output).write_text("mine")
    assert "--force" in refused(command, names=output)
    assert (here / output).read_text() == "mine"
    assert cli.main([*command.split(), "--force"]) == 0, capfd.readouterr().err
    assert (here / output).read_bytes() != b"mine"


@pytest.mark.parametrize(
    "command",
    [
        "collapse wide.safetensors -o net.onnx/out.onnx",
        "quantize net.onnx --calib frames -o frames",
        "export int8.onnx --target tflite -o clip.mp4/out.tflite",
        "upscale frames/0.png -o frames --net int8.tflite",
    ],
)
def test_an_output_that_cannot_be_made(refused: Refused, command: str) -> None:
    refused(command)


def test_an_output_that_is_no_regular_file(refused: Refused, here: Path) -> None:
    os.mkfifo(here / "pipe.csv")
    refused("evaluate net.onnx --data frames --csv pipe.csv --force", names="pipe.csv")
    assert (here / "pipe.csv").is_fifo()


def test_an_export_that_fails_leaves_no_folder(refused: Refused, here: Path) -> None:
    refused("export net.onnx --target ethos-u -o new/folder/out.tflite")
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    "command",
    [
        "collapse wide.safetensors -o out.onnx",
        "quantize net.onnx --calib frames --rounding nearest -o out.onnx",
        "export int8.onnx --target tflite -o out.tflite",
        "export int8.onnx --target onnx -o out2.onnx",
        "upscale frames/0.png -o out.png --net int8.tflite",
        "upscale clip.mp4 -o out.mp4 --net int8.tflite",
        "train sesr-m3 --scale 2 --data frames --out run --steps 1 --batch 1 --patch 8",
    ],
)
def test_a_disk_that_is_full(here: Path, command: str) -> None:
    """A limit on the size of files is what a full disk looks like to a process."""

    def few_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    before = snapshot(here)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "edgevsr", *command.split()],
        capture_output=True,
        text=True,
        preexec_fn=few_bytes,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("edgevsr: error: ")
    assert "unexpected" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    left = {name for name in snapshot(here).keys() - before.keys() if not name.startswith("run/")}
    assert not left
