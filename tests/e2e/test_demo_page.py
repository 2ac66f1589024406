"""The demo's page in a real Chromium: what it computes, plays, says and measures."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgevsr
from edgevsr.collapsing import untrained_graph
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import imresize, round_u8
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.metrics import psnr_db
from edgevsr.profiling.measured import parse_measured
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.runtime.model import SrModel
from edgevsr.verbs.demo import DemoResult
from edgevsr.zoo import calibration_frames
from tests.chromium import FLAGS, find
from tests.clips import write_clip
from tests.recurrent import moving_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = SIZE = (48, 32)
TINY = (12, 8)
WAIT_MS = 120_000
SOFTWARE_GPU = (
    "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip
INT8, FLOAT = "sesr-m5 ×2 int8", "sesr-m5 ×2 float"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported files, as a person would have them: single images and streams, both formats."""
    place = tmp_path_factory.mktemp("demo")
    recurrent = untrained_graph("rsesr-f16-m4-s11", 2)
    int8 = quantize_graph(recurrent, [moving_clip()], Scheme(rounding="nearest"))
    for name, graph in (("recurrent", recurrent), ("recurrent-w8a8", int8)):
        (place / f"{name}.onnx").write_bytes(onnx_bytes(graph))
    for source, name, target, io, size in (
        ("sesr-m5-x2-w8a8", "int8.onnx", "onnx-web", None, SIZE),
        ("sesr-m5-x2-w8a8", "int8-tflite.tflite", "tflite", "float", SIZE),
        ("sesr-m5-x2", "float.onnx", "onnx-web", None, SIZE),
        ("sesr-m5-x2", "float-tflite.tflite", "tflite", None, SIZE),
        ("sesr-m5-x2", "tiny.onnx", "onnx-web", None, TINY),
        ("sesr-m5-x2", "tiny-tflite.tflite", "tflite", None, TINY),
        (place / "recurrent-w8a8.onnx", "stream-int8.onnx", "onnx-web", None, SIZE),
        (place / "recurrent.onnx", "stream.onnx", "onnx-web", None, SIZE),
        (place / "recurrent.onnx", "stream-tflite.tflite", "tflite", None, SIZE),
        (place / "recurrent-w8a8.onnx", "refused.tflite", "tflite", "float", (40, 24)),
    ):
        edgevsr.export(source, target=target, io=io, size=size, output=place / name)
    return place


@pytest.fixture(scope="module")
def served(folder: Path, demo_page: Path) -> Iterator[DemoResult]:
    """The demo with those files, on a port of its own."""
    del demo_page
    names = sorted(path for path in folder.iterdir() if path.suffix in (".onnx", ".tflite"))
    exported = [path for path in names if path.with_suffix(".json").exists()]
    result = edgevsr.demo([path for path in exported if path.stem != "refused"], port=0)
    yield result
    result.close()


def opened(browser: Browser, address: str, **context: Any) -> Page:
    """The page once its first network is open, in a context that `context` describes."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_function("() => globalThis.edgevsrDemo")
    page.evaluate("edgevsrDemo.ready")
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, served: DemoResult) -> Iterator[Page]:
    """One page for the module; it may ask its own server only, and nothing in it may throw."""
    wrong: list[str] = []
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: _foreign(request.url, served.address, wrong))
    page.close()
    page = opened(browser, served.address)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: _foreign(request.url, served.address, wrong))
    yield page
    page.context.close()
    assert wrong == []


def _foreign(url: str, address: str, wrong: list[str]) -> None:
    if not url.startswith((address, "blob:", "data:")):
        wrong.append(url)


def select(page: Page, net: str, way: str, size: tuple[int, int] = SIZE) -> str | None:
    """Open a network in one way; return the way that it came to run."""
    name = f"{size[0]}×{size[1]}"
    way_found = page.evaluate("([n, s, w]) => edgevsrDemo.select(n, s, w)", [net, name, way])
    page.evaluate("edgevsrDemo.pause()")
    return None if way_found is None else str(way_found)


def super_resolve(page: Page, luma: Pixels, *, reset: bool = True) -> Pixels:
    """What the page makes of luma (H, W, 1)."""
    sr = page.evaluate("([y, r]) => edgevsrDemo.run(y, r)", [luma.ravel().tolist(), reset])
    height, width = luma.shape[:2]
    return np.array(sr, np.uint8).reshape(height * 2, width * 2, 1)


def frames(size: tuple[int, int] = SIZE, count: int = 1) -> list[Pixels]:
    """Return luma (H, W, 1) of a window that moves over a frame of the sample."""
    width, height = size
    with Image.open(sorted(calibration_frames().iterdir())[0]) as picture:
        luma = round_u8(rgb_to_y(np.asarray(picture.convert("RGB"))))
    return [luma[40 : 40 + height, 60 + i : 60 + i + width, None].copy() for i in range(count)]


def noise(count: int = 1) -> list[Pixels]:
    """Return luma that is noise: every code is used, and rounding is tried everywhere."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, HEIGHT, WIDTH, 1), np.uint8)
    return list(pixels)


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize(
    ("net", "way", "file", "runtime"),
    [
        (INT8, "ort-wasm", "int8.onnx", "onnxruntime"),
        (INT8, "litert-wasm", "int8-tflite.tflite", "litert"),
        (FLOAT, "ort-wasm", "float.onnx", "onnxruntime"),
        (FLOAT, "litert-wasm", "float-tflite.tflite", "litert"),
    ],
)
def test_an_image_is_what_python_makes_of_it(
    net: str, way: str, file: str, runtime: str, page: Page, folder: Path
) -> None:
    """The same luma gives the same pixels, within 1 LSB, and is not what it was before."""
    assert select(page, net, way) == way
    model = SrModel.open(folder / file, runtime=runtime)
    for luma in (*frames(), *noise(3)):
        found = super_resolve(page, luma)
        assert difference(found, model.upscale_u8(luma)) <= 1
        assert difference(found, luma.repeat(2, 0).repeat(2, 1)) > 8


@pytest.mark.parametrize(
    ("precision", "way", "file", "runtime"),
    [
        ("int8", "ort-wasm", "stream-int8.onnx", "onnxruntime"),
        ("float", "ort-wasm", "stream.onnx", "onnxruntime"),
        ("float", "litert-wasm", "stream-tflite.tflite", "litert"),
    ],
)
def test_a_stream_is_what_python_makes_of_it(
    precision: str, way: str, file: str, runtime: str, page: Page, folder: Path
) -> None:
    """State goes on from frame to frame, and a reset brings the first frame's result back.

    A code of an int8 state that rounds the other way in the browser is fed back, and differences
    grow: this holds for a film over 6 frames and for noise over 12, not for any length.
    """
    name = f"rsesr-f16-m4-s11 ×2 {precision}"
    assert select(page, name, way) == way
    model = SrModel.open(folder / file, runtime=runtime)
    clip = frames(count=6)
    found = [super_resolve(page, luma, reset=index == 0) for index, luma in enumerate(clip)]
    for luma, sr in zip(clip, found, strict=True):
        assert difference(sr, model.upscale_u8(luma)) <= 1
    model.reset()
    for index, luma in enumerate(noise(12)):
        assert difference(super_resolve(page, luma, reset=index == 0), model.upscale_u8(luma)) <= 1
    anew = super_resolve(page, clip[-1])
    assert difference(anew, found[-1]) > 0  # a first frame has no state to go by
    model.reset()
    assert difference(anew, model.upscale_u8(clip[-1])) <= 1


def test_the_sample_plays_through_the_network(page: Page) -> None:
    """Frames are shown and counted, and the figures of every stage stand on the page."""
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=avc1')"):
        pytest.skip("browser: this Chromium has no H.264")
    select(page, INT8, "ort-wasm")
    page.get_by_role("button", name="Sample").click()
    page.wait_for_function("() => edgevsrDemo.figures().shown > 5")
    for figure in ("fps", "upload-ms", "net-ms", "draw-ms"):
        assert float(page.locator(f"#{figure}").inner_text().split()[0]) >= 0
    assert page.locator("#frame-size").inner_text() == "640×360 → 48×32 → 96×64"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short clip in a codec that every Chromium has."""
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    return write_clip(path, codec="libvpx", size=(96, 64), pts=tuple(range(0, 1000, 40)))


def play(page: Page, clip: Path) -> None:
    """Play a file and wait until some of its frames are on screen."""
    page.locator("#video-file").set_input_files(clip)
    page.wait_for_function("() => edgevsrDemo.figures().shown > 3")


def test_the_split_follows_the_pointer_and_the_keys(page: Page, clip: Path) -> None:
    """What lies left of it is bicubic, what lies right is SR."""
    select(page, INT8, "ort-wasm")
    play(page, clip)
    page.evaluate("edgevsrDemo.pause()")
    divider = page.get_by_role("slider", name="Split")
    box = page.locator("#screen").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"
    divider.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "27"
    pictures = []
    for key in ("Home", "End"):
        divider.press(key)
        page.wait_for_timeout(300)
        pictures.append(page.evaluate("document.querySelector('#canvas').toDataURL()"))
        hidden = page.locator(".tag.covered").all_inner_texts()
        assert hidden == (["Bicubic"] if key == "Home" else ["SR ×2"])
    assert pictures[0] != pictures[1]


def test_zoom_pause_and_single_frames(page: Page, clip: Path) -> None:
    select(page, INT8, "ort-wasm")
    play(page, clip)
    page.locator("#screen").focus()
    for _ in range(3):
        page.keyboard.press("+")
    assert page.get_by_role("button", name="Zoom").inner_text() == "2×"
    page.get_by_role("button", name="Zoom").click()
    page.evaluate("edgevsrDemo.pause()")
    assert page.get_by_role("button", name="Play").is_visible()
    page.wait_for_timeout(500)
    shown = page.evaluate("edgevsrDemo.figures().shown")
    page.keyboard.press(".")
    page.wait_for_function(f"() => edgevsrDemo.figures().shown > {shown}")


def two_scenes(index: int, plane: int, height: int, width: int) -> Pixels:
    """A pattern that slides, dark until frame 12 and bright from there."""
    if plane:
        return np.full((height, width), 128, np.uint8)
    pattern = np.add.outer(np.arange(height) // 4 * 9, (np.arange(width) + index) // 4 * 5) % 60
    return (pattern + (150 if index >= 12 else 30)).astype(np.uint8)


def test_a_stream_begins_anew_on_seeks_and_cuts(page: Page, folder: Path, tmp_path: Path) -> None:
    """Frame by frame the state is kept; a seek and a cut, and nothing else, forget it."""
    clip = tmp_path / "scenes.webm"
    pts = tuple(range(0, 1000, 40))
    write_clip(clip, values=two_scenes, codec="libvpx", size=(96, 64), pts=pts)
    select(page, "rsesr-f16-m4-s11 ×2 float", "ort-wasm")
    play(page, clip)
    page.evaluate("edgevsrDemo.pause()")
    model = SrModel.open(folder / "stream.onnx")
    begins, kept = [], 0
    for step in range(15):
        shown = page.evaluate("edgevsrDemo.figures().shown")
        if step == 0:
            page.locator("#seek").fill("0.2")
        else:
            page.keyboard.press(".")
        page.wait_for_function(f"() => edgevsrDemo.figures().shown > {shown}")
        frame = page.evaluate("edgevsrDemo.shown()")
        luma = np.array(frame["luma"], np.uint8).reshape(HEIGHT, WIDTH, 1)
        if frame["anew"]:
            begins.append(step)
            model.reset()
        found = np.array(frame["sr"], np.uint8).reshape(HEIGHT * 2, WIDTH * 2, 1)
        assert difference(found, model.upscale_u8(luma)) <= 1
        first = SrModel.open(folder / "stream.onnx").upscale_u8(luma)
        kept += not frame["anew"] and difference(found, first) > 0
    assert begins[0] == 0
    assert len(begins) == 2
    assert 5 <= begins[1] <= 9
    assert kept > 6


def test_simulated_lr_is_scored(page: Page, clip: Path) -> None:
    """The page's bicubic and its PSNR are Python's, and both scores are shown."""
    (plane,) = frames((40, 24))
    sizes = {"width": 40, "height": 24}, {"width": 20, "height": 12}
    for scale, (of, to) in ((0.5, sizes), (2, sizes[::-1])):
        given = plane if scale == 0.5 else plane[:12, :20]
        found = page.evaluate(
            "([p, of, to]) => edgevsrDemo.resize(p, of, to)", [given.ravel().tolist(), of, to]
        )
        truth = round_u8(imresize(given[..., 0], scale))
        made = np.array(found, np.uint8).reshape(truth.shape)
        assert difference(made, truth) <= 1
        assert difference(made, truth[:, ::-1]) > 8
    other = np.clip(plane.astype(int) + 3, 0, 255).astype(np.uint8)
    planes = [plane.ravel().tolist(), other.ravel().tolist()]
    db = page.evaluate("([a, b]) => edgevsrDemo.psnr(a, b, 40, 2)", planes)
    assert db == pytest.approx(psnr_db(plane[..., 0], other[..., 0], border=2))
    select(page, INT8, "ort-wasm")
    page.get_by_role("switch", name="Simulate LR").check()
    play(page, clip)
    assert page.locator("#psnr-db").inner_text().count("dB") == 2
    page.get_by_role("switch", name="Simulate LR").uncheck()


def test_without_webgpu_the_page_says_so_and_goes_on(page: Page) -> None:
    assert page.evaluate("edgevsrDemo.machine.gpu") is None
    option = page.locator("#way option[value=ort-webgpu]")
    assert option.is_disabled()
    assert "this browser has no WebGPU" in option.inner_text()
    page.evaluate("document.querySelector('#way option[value=ort-webgpu]').disabled = false")
    assert select(page, FLOAT, "auto") == "ort-wasm"
    assert "this browser has no WebGPU" in page.locator("#reason").inner_text()


def test_the_report_is_one_that_edgevsr_reads(page: Page, clip: Path, tmp_path: Path) -> None:
    select(page, INT8, "ort-wasm")
    play(page, clip)
    text = json.dumps(page.evaluate("edgevsrDemo.report()"))
    found = parse_measured(text.encode(), origin="page")
    assert (found.net, found.size, found.scale) == ("sesr-m5-x2", "48x32", 2)
    assert (found.runtime.name, found.runtime.delegate) == ("onnxruntime-web", "wasm")
    assert found.runs > 0
    assert found.typical_ms is not None
    (tmp_path / "demo.json").write_text(text)
    assert edgevsr.report([tmp_path / "demo.json"], output=tmp_path / "page.html").results == 1


def test_a_network_opens_from_its_two_files(page: Page, folder: Path) -> None:
    """Both files at once, by the picker as by a drop; the card is shown."""
    page.locator("#net-file").set_input_files([folder / "tiny.onnx", folder / "tiny.json"])
    wait_for_card(page, "tiny.onnx")
    assert page.locator("#size").input_value() == "12×8"
    drop(page, [folder / "stream.onnx", folder / "stream.json"])
    wait_for_card(page, "stream.onnx")


def wait_for_card(page: Page, name: str) -> None:
    page.wait_for_function(
        "(name) => document.querySelector('#card').innerText.includes(name)", arg=name
    )


def drop(page: Page, paths: list[Path]) -> None:
    """Drop files on the page as a hand would."""
    files = [[path.name, list(path.read_bytes())] for path in paths]
    script = """(files) => {
      const data = new DataTransfer();
      for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(script, files)


def _truncated(folder: Path, place: Path) -> list[Path]:
    """A network that was cut off before its card was written."""
    card = json.loads((folder / "tiny.json").read_text())
    data = (folder / "tiny.onnx").read_bytes()[:-2000]
    (place / "tiny.onnx").write_bytes(data)
    changed = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (place / "tiny.json").write_text(json.dumps(card | changed))
    return [place / "tiny.onnx", place / "tiny.json"]


def _unknown_operator(folder: Path, place: Path) -> list[Path]:
    """A network with an operator that onnxruntime-web lacks."""
    import onnx

    model = onnx.load(folder / "tiny.onnx")
    for node in model.graph.node:
        if node.op_type == "DepthToSpace":
            node.op_type = "DepthToTime"
    data = model.SerializeToString()
    (place / "tiny.onnx").write_bytes(data)
    card = json.loads((folder / "tiny.json").read_text())
    changed = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (place / "tiny.json").write_text(json.dumps(card | changed))
    return [place / "tiny.onnx", place / "tiny.json"]


def _other_card(folder: Path, place: Path) -> list[Path]:
    """A card with the file of another network under its name."""
    (place / "float.json").write_bytes((folder / "float.json").read_bytes())
    (place / "float.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    return [place / "float.onnx", place / "float.json"]


def _text(_: Path, place: Path) -> list[Path]:
    (place / "notes.txt").write_text("not a network, not a video")
    return [place / "notes.txt"]


def _damaged(folder: Path, place: Path) -> list[Path]:
    card = json.loads((folder / "tiny.json").read_text())
    data = (folder / "tiny.onnx").read_bytes()
    (place / "tiny.onnx").write_bytes(data[:-9] + b"\xff" * 9)
    (place / "tiny.json").write_text(json.dumps(card))
    return [place / "tiny.onnx", place / "tiny.json"]


def _foreign_card(_: Path, place: Path) -> list[Path]:
    (place / "other.json").write_text('{"name": "package"}')
    return [place / "other.json"]


def _not_a_video(_: Path, place: Path) -> list[Path]:
    (place / "clip.mp4").write_bytes(bytes(2000))
    return [place / "clip.mp4"]


Made = Callable[[Path, Path], list[Path]]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (lambda folder, _: [folder / "int8.onnx"], "needs its card"),
        (lambda folder, _: [folder / "int8.json"], "is the card of int8.onnx"),
        (_foreign_card, "not a card of an exported network"),
        (_damaged, "not the file of its card"),
        (_other_card, "not the file of its card"),
        (_truncated, "damaged or is no network"),
        (_unknown_operator, "has no operator"),
        (_text, "neither a video nor a network"),
        (lambda folder, _: [folder / "refused.tflite", folder / "refused.json"], "--io float"),
        (_not_a_video, "its codec is not supported"),
    ],
)
def test_errors_are_in_plain_words(
    files: Made, said: str, page: Page, folder: Path, tmp_path: Path
) -> None:
    drop(page, files(folder, tmp_path))
    message = page.locator("#message-text")
    page.wait_for_function(
        "(said) => document.querySelector('#message-text').textContent.includes(said)", arg=said
    )
    assert message.is_visible()
    page.get_by_role("button", name="Close the message").click()
    assert not message.is_visible()


def test_a_file_too_large_is_refused_unread(page: Page, folder: Path) -> None:
    """300 MB beside a card; made in the page, where the file stays on the browser's side."""
    card = (folder / "tiny.json").read_text()
    script = """(card) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(300e6)], "tiny.onnx"));
      data.items.add(new File([card], "tiny.json"));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(script, card)
    page.get_by_text("tiny.onnx is too large: at most 256 MiB are opened here.").wait_for()
    page.get_by_role("button", name="Close the message").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(scheme: str, browser: Browser, served: DemoResult) -> None:
    """Nothing is wider than 360 pixels, every control has a name and room for a finger."""
    size = {"width": 360, "height": 800}
    page = opened(browser, served.address, viewport=size, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
        assert button.get_attribute("aria-label") or button.inner_text().strip()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in background[4:-1].split(",")) < 3 * 128
    assert dark == (scheme == "dark")
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    page.context.close()


@pytest.fixture(scope="module")
def gpu_page(browser: Browser, served: DemoResult) -> Iterator[Page]:
    """A page with a WebGPU that the processor emulates."""
    chromium = find()
    assert chromium is not None
    launched = browser.browser_type.launch(
        executable_path=chromium.path,
        args=[*(flag for flag in FLAGS if flag != "--disable-gpu"), *SOFTWARE_GPU],
        env={**os.environ, **chromium.environment},
    )
    page = opened(launched, served.address)
    if page.evaluate("edgevsrDemo.machine.gpu") is None:
        launched.close()
        pytest.skip("browser: this Chromium has no software WebGPU")
    yield page
    launched.close()


def test_webgpu_computes_a_tiny_frame(gpu_page: Page, folder: Path) -> None:
    """Emulated WebGPU is not chosen by itself; asked for, it gives Python's pixels."""
    assert select(gpu_page, FLOAT, "auto", TINY) == "ort-wasm"
    assert "emulated" in gpu_page.locator("#reason").inner_text()
    (luma,) = frames(TINY)
    truth = SrModel.open(folder / "tiny.onnx").upscale_u8(luma)
    for way in ("ort-webgpu", "litert-webgpu"):
        assert select(gpu_page, FLOAT, way, TINY) == way
        assert difference(super_resolve(gpu_page, luma), truth) <= 1
