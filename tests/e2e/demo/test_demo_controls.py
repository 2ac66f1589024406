"""The demo's page under a pointer, fingers and keys: what it plays, shows and says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgevsr
from edgevsr.profiling.measured import parse_measured
from edgevsr.runtime.model import SrModel
from edgevsr.verbs.demo import DemoResult
from tests.demo_page import (
    FLOAT,
    INT8,
    difference,
    launched,
    noise,
    opened,
    play,
    select,
    super_resolve,
)  # fmt: skip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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


def pixels(page: Page) -> str:
    """What is on the canvas, once it was drawn anew."""
    page.wait_for_timeout(300)
    return str(page.evaluate("document.querySelector('#canvas').toDataURL()"))


def test_the_picture_is_panned_and_pinched(page: Page, clip: Path) -> None:
    """By the mouse, the arrow keys and two fingers; the whole picture comes back at a click."""
    select(page, INT8, "ort-wasm")
    play(page, clip)
    page.evaluate("edgevsrDemo.pause()")
    whole = page.get_by_role("button", name="Zoom")
    whole.click()
    seen = [pixels(page)]
    box = page.locator("#screen").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 3
    page.mouse.dblclick(x, y)
    assert whole.inner_text() == "4×"
    seen.append(pixels(page))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 40, steps=3)
    page.mouse.up()
    seen.append(pixels(page))
    page.locator("#screen").focus()
    page.keyboard.press("ArrowDown")
    seen.append(pixels(page))
    assert len(set(seen)) == 4
    whole.click()
    assert whole.inner_text() == "1×"
    assert pixels(page) == seen[0]

    fingers = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 60), ("touchMove", 120), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        given = {"type": kind, "touchPoints": points if apart else []}
        fingers.send("Input.dispatchTouchEvent", given)
    assert whole.inner_text() == "3×"
    assert pixels(page) != seen[0]
    whole.click()


def test_a_clip_loops_until_it_is_told_not_to(page: Page, clip: Path) -> None:
    select(page, INT8, "ort-wasm")
    play(page, clip)
    loop = page.get_by_role("button", name="Loop")
    assert loop.get_attribute("aria-pressed") == "true"
    page.wait_for_function("() => edgevsrDemo.figures().shown > 40")  # the clip has 25 frames
    assert page.get_by_role("button", name="Pause").is_visible()
    page.locator("#screen").focus()
    page.keyboard.press("l")
    assert loop.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Play", exact=True).wait_for()
    loop.click()
    assert loop.get_attribute("aria-pressed") == "true"


def test_full_screen_and_back(page: Page) -> None:
    full = page.get_by_role("button", name="Full screen")
    full.click()
    page.wait_for_function("() => document.fullscreenElement?.id === 'screen'")
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement === null")


def test_more_threads_give_the_same_pixels(page: Page, folder: Path) -> None:
    """The page is cross-origin isolated, so wasm may share its memory among threads."""
    if page.locator("#threads option").count() < 2:
        pytest.skip("threads: this machine has one processor")
    (luma,) = noise()
    truth = SrModel.open(folder / "int8.onnx").upscale_u8(luma)
    before = page.locator("#threads").input_value()
    for threads in ("2", "1"):
        page.locator("#threads").select_option(threads)
        select(page, INT8, "ort-wasm")
        assert page.evaluate("edgevsrDemo.report()")["runtime"]["threads"] == int(threads)
        assert difference(super_resolve(page, luma), truth) <= 1
    page.locator("#threads").select_option(before)


def test_the_report_is_copied(page: Page, clip: Path) -> None:
    select(page, INT8, "ort-wasm")
    play(page, clip)
    page.evaluate("edgevsrDemo.pause()")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy report").click()
    page.get_by_text("Copied. Paste it into a .json file").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert parse_measured(text.encode(), origin="clipboard").net == "sesr-m5-x2"


def test_the_camera_is_watched_and_let_go(browser: Browser, served: DemoResult, clip: Path) -> None:
    """A camera that Chromium makes up; its light goes out when something else is watched."""
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with launched(browser, camera) as other:
        page = opened(other, served.address)
        select(page, INT8, "ort-wasm")
        page.evaluate(
            "() => { navigator.mediaDevices.getUserMedia = async (wanted) => (globalThis.stream = "
            "await MediaDevices.prototype.getUserMedia.call(navigator.mediaDevices, wanted)); }"
        )
        page.get_by_role("button", name="Camera").click()
        page.wait_for_function("() => document.querySelector('#clock').textContent === 'live'")
        page.wait_for_function("() => edgevsrDemo.figures().shown > 3")
        page.get_by_role("button", name="Camera", pressed=True).wait_for()
        assert page.locator("#seek").is_disabled()
        track = page.evaluate_handle("stream.getTracks()[0]")
        assert track.evaluate("(track) => track.readyState") == "live"
        play(page, clip)
        assert track.evaluate("(track) => track.readyState") == "ended"


def test_without_a_camera_the_page_says_so(page: Page) -> None:
    page.get_by_role("button", name="Camera").click()
    message = page.locator("#message-text")
    message.get_by_text("camera").wait_for()
    assert "There is no camera" in message.inner_text() or "not allowed" in message.inner_text()
    page.get_by_role("button", name="Close the message").click()


#: Contrast of text and what lies behind it, by WCAG 2; see-through colours are laid over.
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], under) =>
    [r, g, b].map((value, i) => value * a + under[i] * (1 - a)).concat(1);
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (!text || element.closest("#screen, option, [hidden], :disabled")) continue;
    if (!element.checkVisibility()) continue;
    const ground = behind(element);
    const ink = over(parse(getComputedStyle(element).color), ground);
    const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
    found.push([text.slice(0, 40), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str, browser: Browser, served: DemoResult) -> None:
    page = opened(browser, served.address, color_scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert len(found) > 30
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    page.context.close()
