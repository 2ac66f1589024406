"""A small network at every stage of the road, made once, and clips to feed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr import cli


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
