"""LR frames are those of MATLAB's imresize and of the BD protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgevsr.data.clips import halve
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import blur_decimate, crop_to_multiple, degrade, imresize, round_u8
from edgevsr.data.images import list_images, read_rgb
from edgevsr.errors import DataError, SpecError


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(4, 30),
    width=st.integers(4, 30),
    scale=st.sampled_from([0.25, 1 / 3, 0.5, 2, 3, 4]),
    value=st.floats(0, 255),
)
def test_a_flat_picture_stays_flat(height: int, width: int, scale: float, value: float) -> None:
    resized = imresize(np.full((height, width, 3), value), scale)
    assert resized.shape[:2] == (
        int(np.ceil(height * scale - 1e-9)),
        int(np.ceil(width * scale - 1e-9)),
    )
    np.testing.assert_allclose(resized, value, atol=1e-9)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_agrees_with_pillow_inside_the_picture(scale: int) -> None:
    """Pillow's BICUBIC is the same antialiased kernel; only its borders differ."""
    picture = np.random.default_rng(0).random((24 * scale, 30 * scale)).astype(np.float32) * 255
    expected = Image.fromarray(picture, "F").resize((30, 24), Image.Resampling.BICUBIC)
    inside = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(
        imresize(picture, 1 / scale)[inside], np.asarray(expected)[inside], atol=1e-3
    )


def test_half_size_weights_are_those_counted_by_hand() -> None:
    """×1/2: Keys' kernel at ±0.25, 0.75, 1.25, 1.75, halved: 0.4336, 0.1133, −0.0352, −0.0117."""
    impulse = np.zeros((16, 1))
    impulse[8] = 1.0
    column = imresize(impulse, 0.5)[:, 0]
    assert column[4] == pytest.approx(0.43359375)
    assert column[3] == pytest.approx(0.11328125)
    assert column[5] == pytest.approx(-0.03515625)
    assert column[2] == pytest.approx(-0.01171875)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "expected"), [("Set5", 33.68), ("Set14", 30.33)])
def test_bicubic_reaches_the_published_figure(shared: Path, name: str, expected: float) -> None:
    values = []
    for path in list_images(shared / "data" / "test" / name):
        hr = crop_to_multiple(read_rgb(path), 2)
        up = round_u8(imresize(degrade(hr, 2), 2.0))
        error = (rgb_to_y(hr) - rgb_to_y(up))[2:-2, 2:-2]
        values.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(values) == pytest.approx(expected, abs=0.02)


def test_blur_takes_every_nth_pixel_of_the_blurred_picture() -> None:
    picture = np.random.default_rng(1).random((40, 36, 3)) * 255
    every = blur_decimate(picture, 1, sigma=1.6)
    np.testing.assert_allclose(blur_decimate(picture, 4), every[::4, ::4], atol=1e-9)
    assert every.std() < picture.std()


def test_luma_of_known_colours() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(rgb_to_y(colours), [[16.0, 235.0, 81.481]], atol=1e-9)


def test_halving_averages_quads() -> None:
    frame = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert halve(frame)[0, 0, 0] == round((0 + 3 + 12 + 15) / 4 + 0.01)


def test_an_unknown_degradation_is_named() -> None:
    with pytest.raises(SpecError, match="blurry"):
        degrade(np.zeros((8, 8, 3), np.uint8), 2, "blurry")  # type: ignore[arg-type]


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(DataError, match="holds no image"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "absent")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"a\.png"):
        read_rgb(tmp_path / "a.png")
