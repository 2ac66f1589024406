"""Bad input through the real command: one clear line, exit 2, nothing half-written."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgevsr import cli
from tests.e2e.conftest import make_clip

Refused = Callable[..., str]


@pytest.fixture
def here(stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the stages as the current folder."""
    folder = tmp_path / "here"
    shutil.copytree(stages, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail; return its line without the prefix."""

    def run(command: str, *, names: str = "", exit_code: int = 2) -> str:
        before = snapshot(here)
        capfd.readouterr()
        code = cli.main(command.split())
        out, err = capfd.readouterr()
        assert (code, out) == (exit_code, ""), err
        assert err.startswith("edgevsr: error: ")
        assert err.count("\n") == 1, err
        assert "unexpected" not in err
        assert "Traceback" not in err
        assert len(err) < 600, err
        assert names in err
        assert snapshot(here) == before
        return err.removeprefix("edgevsr: error: ")

    return run


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, hidden ones too, with size and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


# Checkpoints


def test_a_truncated_checkpoint(refused: Refused, here: Path) -> None:
    for share in (0.9, 0.001, 0.0):
        cut(here / "wide.safetensors", share)
        refused("collapse wide.safetensors -o out.onnx", names="wide.safetensors")


def test_a_foreign_checkpoint(refused: Refused, here: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"conv.weight": np.zeros((4, 4), np.float32)}, here / "other.safetensors")
    assert "onnx" in refused("collapse other.safetensors -o out.onnx", names="other.safetensors")


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "wide.safetensors", "net.onnx", "x.tflite"])
def test_a_pickle_with_code_in_it(refused: Refused, here: Path, name: str) -> None:
    (here / name).write_bytes(pickle.dumps(Bomb()))
    for command in (f"collapse {name} -o out.onnx", f"export {name} --target onnx -o o.onnx"):
        assert "safetensors" in refused(command, names=name)
    assert not (here / "exploded").exists()


def test_a_torch_checkpoint_with_code_in_it(refused: Refused, here: Path) -> None:
    import torch

    torch.save({"weights": Bomb()}, here / "evil.pth")
    refused("collapse evil.pth -o out.onnx", names="evil.pth")
    shutil.copy("evil.pth", "evil.safetensors")
    refused("collapse evil.safetensors -o out.onnx", names="evil.safetensors")
    assert not (here / "exploded").exists()


def test_weights_that_are_not_numbers(refused: Refused, here: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(here / "wide.safetensors", "np") as file:
        metadata = file.metadata()
    weights = load_file(here / "wide.safetensors")
    name = next(name for name, value in weights.items() if value.ndim == 4)
    weights[name].flat[0] = np.nan
    save_file(weights, here / "wide.safetensors", metadata)
    refused("collapse wide.safetensors -o out.onnx", names="finite")
    model = onnx.load(here / "net.onnx")
    kernel = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(kernel).copy()
    values.flat[0] = np.inf
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    onnx.save(model, here / "nan.onnx")
    for command in (
        "quantize nan.onnx --calib frames -o q.onnx",
        "export nan.onnx --target tflite -o out.tflite",
        "evaluate nan.onnx --data frames",
        "upscale frames/0.png -o out.png --net nan.onnx",
    ):
        refused(command, names="nan.onnx")


# Networks from elsewhere


def foreign_onnx(path: Path, nodes: list[Any], shape: list[Any], values: dict[str, Any]) -> None:
    """Write a network of these nodes from `frame` to `sr`."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


KERNEL = np.full((4, 1, 3, 3), 0.1, np.float32)


def test_an_onnx_with_unsupported_operators_lists_them_all(refused: Refused, here: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["frame", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Sin", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Mul", ["b", "c"], ["d"]),
        helper.make_node("DepthToSpace", ["d"], ["sr"], blocksize=2),
    ]
    foreign_onnx(here / "odd.onnx", nodes, [1, 1, "h", "w"], {"w": KERNEL})
    for command in (
        "export odd.onnx --target tflite -o out.tflite",
        "quantize odd.onnx --calib frames -o q.onnx",
        "profile odd.onnx",
    ):
        line = refused(command, names="odd.onnx")
        assert "Sin" in line
        assert "GlobalAveragePool" in line


def test_a_shape_that_size_cannot_fix(refused: Refused, here: Path) -> None:
    nodes = [
        helper.make_node("SpaceToDepth", ["frame"], ["a"], blocksize=2),
        helper.make_node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["b"], ["sr"], blocksize=4),
    ]
    kernel = np.full((16, 4, 3, 3), 0.1, np.float32)
    foreign_onnx(here / "even.onnx", nodes, [1, 1, "h", "w"], {"w": kernel})
    refused("export even.onnx --target tflite --size 33x32 -o out.tflite", names="33x32")
    nodes = [helper.make_node("Conv", ["frame", "w"], ["sr"], pads=[1, 1, 1, 1])]
    foreign_onnx(here / "flat.onnx", nodes, [1, 1, "h"], {"w": KERNEL})
    refused("export flat.onnx --target tflite --size 64x48 -o out.tflite", names="flat.onnx")


@pytest.mark.parametrize("name", ["net.onnx", "int8.onnx", "int8.tflite"])
def test_a_truncated_network(refused: Refused, here: Path, name: str) -> None:
    for share in (0.97, 0.5, 0.02, 0.0):
        cut(here / name, share)
        refused(f"evaluate {name} --data frames", names=name)
        refused(f"verify {name} --against wide.safetensors", names=name)


def test_a_network_that_is_something_else(refused: Refused, here: Path) -> None:
    (here / "text.onnx").write_text("not a model")
    (here / "text.tflite").write_text("not a model either")
    for name in ("text.onnx", "text.tflite", "frames/0.png", "frames", "clip.mp4"):
        refused(f"export {name} --target onnx -o out.onnx", names=name)


# Pictures and videos


def test_a_corrupt_or_empty_video(refused: Refused, here: Path) -> None:
    (here / "empty.mp4").write_bytes(b"")
    (here / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    shutil.copy("clip.mp4", "cut.mp4")
    cut(here / "cut.mp4", 0.4)
    for name in ("empty.mp4", "noise.mp4", "cut.mp4", "absent.mp4"):
        refused(f"upscale {name} -o out.mp4 --net int8.tflite", names=name)
        refused(f"quantize net.onnx --calib {name} -o q.onnx", names=name)
        refused(f"evaluate net.onnx --data {name}", names=name)


def test_an_image_of_the_wrong_kind(refused: Refused, here: Path) -> None:
    (here / "text.png").write_text("no picture")
    shutil.copy("frames/0.png", "cut.png")
    cut(here / "cut.png")
    for name in ("text.png", "cut.png"):
        refused(f"upscale {name} -o out.png --net int8.tflite", names=name)
    refused("upscale wide.safetensors -o out.mp4 --net int8.tflite", names="wide.safetensors")
    (here / "bad").mkdir()
    (here / "bad" / "text.png").write_text("no picture")
    refused("evaluate net.onnx --data bad", names="text.png")
    refused("quantize net.onnx --calib bad -o q.onnx", names="bad")
    (here / "none").mkdir()
    for command in ("evaluate net.onnx --data none", "quantize net.onnx --calib none -o q.onnx"):
        refused(command, names="none")
    refused("train sesr-m3 --scale 2 --data none --out run --steps 1", names="none")


@pytest.mark.parametrize("suffix", [".tiff", ".ppm"])
def test_an_image_of_a_kind_that_is_not_upscaled(refused: Refused, here: Path, suffix: str) -> None:
    with Image.open("frames/0.png") as image:
        image.save(f"in{suffix}")
    assert ".png" in refused(f"upscale in{suffix} -o out.png --net int8.tflite", names="in.")


def test_not_enough_frames_to_calibrate(refused: Refused, here: Path) -> None:
    (here / "few").mkdir()
    shutil.copy("frames/0.png", "few/0.png")
    refused("quantize net.onnx --calib few -o q.onnx", names="few")
    refused("export net.onnx --target tflite --int8 --calib few -o o.tflite", names="few")
    make_clip(here / "short.mp4", frames=1)
    refused("quantize net.onnx --calib short.mp4 -o q.onnx", names="short.mp4")


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
