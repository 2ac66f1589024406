"""What tests do with the demo's page: open it, choose, play, drop, and compare pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import round_u8
from edgevsr.zoo import calibration_frames
from tests.chromium import FLAGS, find

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


def opened(
    browser: Browser, address: str, watch: Callable[[Page], None] | None = None, **context: Any
) -> Page:
    """The page once its first network is open, in a context that `context` describes.

    `watch` is given the page before it asks for anything.
    """
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context}).new_page()
    if watch is not None:
        watch(page)
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.wait_for_function("() => globalThis.edgevsrDemo")
    page.evaluate("edgevsrDemo.ready")
    return page


def select(page: Page, net: str, way: str, size: tuple[int, int] = SIZE) -> str | None:
    """Open a network in one way; return the way that it came to run."""
    name = f"{size[0]}×{size[1]}"
    way_found = page.evaluate("([n, s, w]) => edgevsrDemo.select(n, s, w)", [net, name, way])
    page.evaluate("edgevsrDemo.pause()")
    return None if way_found is None else str(way_found)


def super_resolve(page: Page, frame: Pixels, *, reset: bool = True) -> Pixels:
    """What the page makes of a frame (H, W, C)."""
    sr = page.evaluate("([y, r]) => edgevsrDemo.run(y, r)", [frame.ravel().tolist(), reset])
    height, width, channels = frame.shape
    return np.array(sr, np.uint8).reshape(height * 2, width * 2, channels)


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


def play(page: Page, clip: Path) -> None:
    """Play a file and wait until some of its frames are on screen."""
    page.locator("#video-file").set_input_files(clip)
    page.wait_for_function("() => edgevsrDemo.figures().shown > 3")


def drop(page: Page, paths: list[Path]) -> None:
    """Drop files on the page as a hand would."""
    files = [[path.name, list(path.read_bytes())] for path in paths]
    script = """(files) => {
      const data = new DataTransfer();
      for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(script, files)


def wait_for_card(page: Page, name: str) -> None:
    page.wait_for_function(
        "(name) => document.querySelector('#card').innerText.includes(name)", arg=name
    )


@contextmanager
def launched(
    browser: Browser, flags: Sequence[str], without: Sequence[str] = ()
) -> Iterator[Browser]:
    """Another Chromium of the same kind, started with more flags or without some."""
    chromium = find()
    assert chromium is not None
    other = browser.browser_type.launch(
        executable_path=chromium.path,
        args=[*(flag for flag in FLAGS if flag not in without), *flags],
        env={**os.environ, **chromium.environment},
    )
    try:
        yield other
    finally:
        other.close()
