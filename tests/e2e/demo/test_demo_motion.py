"""The demo's page finds and undoes the motion that aligned networks are fed with."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgevsr.alignment import Motion, compensated
from edgevsr.data.clips import read_frames
from edgevsr.data.degrade import degrade
from edgevsr.metrics import psnr_db
from edgevsr.motion import flow, luma_u8
from edgevsr.runtime import ahead
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import moving_frames
from edgevsr.zoo import sample_clip
from tests.demo_page import SIZE, Pixels, difference, drop, select, super_resolve
from tests.recurrent import translated

if TYPE_CHECKING:
    from playwright.sync_api import Page

Y, RGB = "rsesr ×2", "rsesr-f8-m2-mc-rgb ×2"
each_net = pytest.mark.parametrize(
    ("net", "way", "file"),
    [
        (f"{Y} int8", "ort-wasm", "aligned-int8.onnx"),
        (f"{Y} float", "ort-wasm", "aligned.onnx"),
        (f"{Y} float", "litert-wasm", "aligned-tflite.tflite"),
        (f"{RGB} int8", "litert-wasm", "aligned-rgb-int8.tflite"),
        (f"{RGB} float", "ort-wasm", "aligned-rgb.onnx"),
    ],
)


def motion_in(page: Page, frame: NDArray[Any], before: NDArray[Any], scale: int) -> Motion:
    """What the page makes of two frames, as `motion_since` would."""
    height, width = frame.shape[:2]
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    layout = {"width": width, "height": height, "scale": scale, "channels": channels}
    planes = [frame.ravel().tolist(), before.ravel().tolist(), layout]
    found = page.evaluate("([now, then, layout]) => edgevsrDemo.motion(now, then, layout)", planes)
    return np.array(found, np.int32).reshape(height, width, 2)


@pytest.mark.parametrize("planar", [False, True], ids=["interleaved", "planar"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize(("scale", "channels"), [(2, 1), (2, 3), (3, 2), (4, 1)])
def test_blocks_come_from_where_python_takes_them(
    page: Page, scale: int, channels: int, dtype: str, planar: bool
) -> None:
    """Bit for bit, from beyond the edge too."""
    rng = np.random.default_rng(0)
    height, width = 5, 7
    motion = rng.integers(-24, 25, (height, width, 2), np.int32)
    pixels = rng.integers(0, 256, (1, height * scale, width * scale, channels), np.uint8)
    sr: NDArray[Any] = (pixels / 255).astype(dtype) if dtype == "float32" else pixels.view(dtype)
    expected = compensated(sr, motion, scale)
    if planar:
        sr, expected = sr.transpose(0, 3, 1, 2), expected.transpose(0, 3, 1, 2)
    layout = {
        "width": width, "height": height, "scale": scale, "channels": channels, "planar": planar,
    }  # fmt: skip
    found = page.evaluate(
        "([sr, dtype, motion, layout]) => edgevsrDemo.compensated(sr, dtype, motion, layout)",
        [sr.ravel().tolist(), dtype, motion.ravel().tolist(), layout],
    )
    np.testing.assert_array_equal(np.array(found, dtype).reshape(expected.shape), expected)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-5, 2), (8, -7)])
def test_a_translation_is_found_to_the_sr_pixel(page: Page, right: int, down: int) -> None:
    _, (before, now) = translated(right, down)
    inside = motion_in(page, now, before, 4)[6:-6, 6:-6]
    assert np.mean((inside == (-right, -down)).all(axis=2)) >= 0.9


def test_the_motion_of_a_film_is_nearly_opencvs(page: Page) -> None:
    """OpenCV's own presets differ among themselves by 0.08 to 0.15 of a pixel."""
    frames = islice(read_frames(sample_clip()), 9)
    film = [degrade(luma_u8(frame), 4) for frame in frames]
    for before, now in pairwise(film):
        found = motion_in(page, now, before, 64) / 64

        assert np.abs(found - flow(now, before)).mean() <= 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (8, 8), (14, 42), (17, 90), (300, 15)])
def test_small_and_noisy_frames_have_a_motion(page: Page, size: tuple[int, int]) -> None:
    """Without texture nothing moves, and nothing goes further than a few patches."""
    rng = np.random.default_rng(1)
    for _ in range(5):
        one, two = rng.integers(0, 256, (2, *size), np.uint8)
        found = motion_in(page, one, two, 2)
        assert np.abs(found).max() < 4 * max(*size, 16)
        assert not motion_in(page, one, one, 2).any()
        if size == (1, 1):
            assert not found.any()


def sequence(size: tuple[int, int], channels: int) -> list[Pixels]:
    """A film under a moving camera, then noise."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, size[1], size[0], channels), np.uint8)
    return [*moving_frames(size, channels, 8), *noise]


@each_net
def test_an_aligned_stream_is_what_python_makes_of_it(
    net: str, way: str, file: str, page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the page's motion Python has its pixels; a reset brings the first frame's back."""

    def motion_since(frame: NDArray[Any], before: NDArray[Any], scale: int) -> Motion:
        return motion_in(page, luma_u8(frame), luma_u8(before), scale)

    monkeypatch.setattr(ahead, "motion_since", motion_since)
    assert select(page, net, way) == way
    model = SrModel.open(folder / file)
    clip = sequence(SIZE, model.channels)
    for index, frame in enumerate(clip):
        sr = super_resolve(page, frame, reset=index == 0)
        assert difference(sr, model.upscale_u8(frame)) <= 1
    anew = super_resolve(page, clip[-1])
    assert difference(anew, sr) > 1
    model.reset()
    assert difference(anew, model.upscale_u8(clip[-1])) <= 1


@each_net
def test_with_its_own_motion_the_page_stays_close_to_python(
    net: str, way: str, file: str, page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much closer than Python is without motion."""
    assert select(page, net, way) == way
    model = SrModel.open(folder / file)
    clip = moving_frames(SIZE, model.channels, 20)
    found = [super_resolve(page, frame, reset=index == 0) for index, frame in enumerate(clip)]
    made = [model.upscale_u8(frame) for frame in clip]
    monkeypatch.setattr(ahead, "motion_since", no_motion)
    model.reset()
    still = [model.upscale_u8(frame) for frame in clip]
    close = psnr_db(np.concatenate(found), np.concatenate(made))
    assert close >= 48
    assert psnr_db(np.concatenate(still), np.concatenate(made)) < close - 8


def no_motion(frame: NDArray[Any], before: NDArray[Any], scale: int) -> Motion:
    del before, scale
    return np.zeros((*frame.shape[:2], 2), np.int32)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda given: given["shape"].__setitem__(1, 2),
        lambda given: given.update(dtype="int8", scale=0.5, zero_point=0),
        lambda given: given.update(scale=0.5),
        lambda given: given.update(zero_point=3),
    ],
    ids=["channels", "dtype", "scale", "zero point"],
)
def test_a_card_whose_previous_sr_is_not_the_sr_is_refused(
    change: Change, page: Page, folder: Path, tmp_path: Path
) -> None:
    card = json.loads((folder / "aligned-int8.json").read_text())
    change(next(each for each in card["inputs"] if each["role"] == "previous_sr"))
    (tmp_path / "changed.json").write_text(json.dumps(card))
    drop(page, [tmp_path / "changed.json"])
    page.get_by_text("not a card of an exported network (previous_sr)").wait_for()
    page.get_by_role("button", name="Close the message").click()
