"""Bad input through the real command: one clear line, exit 2, nothing half-written."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.e2e.conftest import Refused, make_clip


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
