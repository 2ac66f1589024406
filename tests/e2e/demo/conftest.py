"""The demo with some exported files, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import edgevsr
from edgevsr.collapsing import untrained_graph
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.verbs.demo import DemoResult
from tests.clips import write_clip
from tests.demo_page import SIZE, SOFTWARE_GPU, TINY, launched, opened
from tests.recurrent import moving_clip, rsesr_graph

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported files, as a person would have them: single images and streams, both formats."""
    place = tmp_path_factory.mktemp("demo")
    torch.manual_seed(0)  # networks of random weights
    for name, graph in (
        ("recurrent", untrained_graph("rsesr-f16-m4-s11", 2)),
        ("aligned", rsesr_graph(seed=1, aligned=True)),
        ("aligned-rgb", untrained_graph("rsesr-f8-m2-mc-rgb", 2)),
    ):
        clip = moving_clip(channels=graph.channels)
        int8 = quantize_graph(graph, [clip], Scheme(rounding="nearest"))
        (place / f"{name}-source.onnx").write_bytes(onnx_bytes(graph))
        (place / f"{name}-w8a8.onnx").write_bytes(onnx_bytes(int8))
    for source, name, target, io, size in (
        ("sesr-m5-x2-w8a8", "int8.onnx", "onnx-web", None, SIZE),
        ("sesr-m5-x2-w8a8", "int8-tflite.tflite", "tflite", "float", SIZE),
        ("sesr-m5-x2", "float.onnx", "onnx-web", None, SIZE),
        ("sesr-m5-x2", "float-tflite.tflite", "tflite", None, SIZE),
        ("sesr-m5-x2", "tiny.onnx", "onnx-web", None, TINY),
        ("sesr-m5-x2", "tiny-tflite.tflite", "tflite", None, TINY),
        (place / "recurrent-w8a8.onnx", "stream-int8.onnx", "onnx-web", None, SIZE),
        (place / "recurrent-source.onnx", "stream.onnx", "onnx-web", None, SIZE),
        (place / "recurrent-source.onnx", "stream-tflite.tflite", "tflite", None, SIZE),
        (place / "aligned-w8a8.onnx", "aligned-int8.onnx", "onnx-web", None, SIZE),
        (place / "aligned-source.onnx", "aligned.onnx", "onnx-web", None, SIZE),
        (place / "aligned-source.onnx", "aligned-tflite.tflite", "tflite", None, SIZE),
        (place / "aligned-rgb-w8a8.onnx", "aligned-rgb-int8.tflite", "tflite", "float", SIZE),
        (place / "aligned-rgb-source.onnx", "aligned-rgb.onnx", "onnx-web", None, SIZE),
        (place / "recurrent-w8a8.onnx", "refused.tflite", "tflite", "float", (40, 24)),
    ):
        edgevsr.export(source, target=target, io=io, size=size, output=place / name)
    return place


@pytest.fixture(scope="session")
def served(folder: Path, demo_page: Path) -> Iterator[DemoResult]:
    """The demo with those files, on a port of its own."""
    del demo_page
    names = sorted(path for path in folder.iterdir() if path.suffix in (".onnx", ".tflite"))
    exported = [path for path in names if path.with_suffix(".json").exists()]
    result = edgevsr.demo([path for path in exported if path.stem != "refused"], port=0)
    yield result
    result.close()


@pytest.fixture(scope="module")
def page(browser: Browser, served: DemoResult) -> Iterator[Page]:
    """One page for the module; it may ask its own server only, and nothing in it may throw."""
    wrong: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: _foreign(request.url, served.address, wrong))

    page = opened(browser, served.address, watch)
    yield page
    page.context.close()
    assert wrong == []


def _foreign(url: str, address: str, wrong: list[str]) -> None:
    if not url.startswith((address, "blob:", "data:")):
        wrong.append(url)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip in a codec that every Chromium has."""
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    return write_clip(path, codec="libvpx", size=(96, 64), pts=tuple(range(0, 1000, 40)))


@pytest.fixture(scope="session")
def gpu_page(browser: Browser, served: DemoResult) -> Iterator[Page]:
    """A page with a WebGPU that the processor emulates."""
    with launched(browser, SOFTWARE_GPU, without=("--disable-gpu",)) as other:
        page = opened(other, served.address)
        if page.evaluate("edgevsrDemo.machine.gpu") is None:
            pytest.skip("browser: this Chromium has no software WebGPU")
        yield page
