"""A small network at every stage of the road, nets whose output is known, commands that fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr import cli
from tests.clips import nearest_graph, write_net
from tests.graphs import sesr_graph

Refused = Callable[..., str]


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small network at every stage of the road, with frames, pictures and a clip."""
    import torch

    from edgevsr.nets.checkpoint import save_net
    from edgevsr.nets.registry import build, net_spec

    folder = tmp_path_factory.mktemp("stages")
    torch.manual_seed(0)
    spec = replace(net_spec("sesr-m3", 2), expansion=16)
    save_net(folder / "wide.safetensors", build(spec), spec, {})
    noise = np.random.default_rng(0)
    (folder / "frames").mkdir()
    for index in range(6):
        pixels = noise.integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "frames" / f"{index}.png")
    make_clip(folder / "clip.mp4")
    net, int8 = folder / "net.onnx", folder / "int8.onnx"
    for command in (
        f"collapse {folder}/wide.safetensors -o {net}",
        f"quantize {net} --calib {folder}/frames --rounding nearest -o {int8}",
        f"export {int8} --target tflite --size 64x48 -o {folder}/int8.tflite",
    ):
        assert cli.main(command.split()) == 0
    return folder


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Nearest-neighbour nets, whose output is known, and a small random one."""
    folder = tmp_path_factory.mktemp("nets")
    return {
        "y": write_net(folder / "y.onnx", nearest_graph()),
        "y3": write_net(folder / "y3.onnx", nearest_graph(3)),
        "rgb": write_net(folder / "rgb.onnx", nearest_graph(channels=3)),
        "int8": write_net(folder / "int8.onnx", nearest_graph(), int8=True),
        "sesr": write_net(folder / "sesr.onnx", sesr_graph(m=1, f=4), int8=True),
    }


def make_clip(path: Path, frames: int = 4, size: tuple[int, int] = (64, 48)) -> None:
    """Write a video of noise, `size` being (width, height)."""
    import av

    width, height = size

    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def quick_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let quantize round each weight by itself unless it is told otherwise: a fifth of the time."""
    from edgevsr.verbs.quantize import quantize

    monkeypatch.setitem(quantize.__kwdefaults__, "rounding", "nearest")


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
