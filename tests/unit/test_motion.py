"""Motion compensation: found in real translations, undone by steps, one form everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgevsr.alignment import compensated, places, steps_per_pixel, unmoved
from edgevsr.motion import flow, luma_u8, motion_since
from edgevsr.nets import streaming
from tests.recurrent import translated

SCALE = 4


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-5, 2), (8, -7)])
def test_a_translation_by_hr_pixels_is_found_and_undone(right: int, down: int) -> None:
    """LR frames moved by fractions of a pixel; the SR before comes to lie on the SR now."""
    (before, now), (lr_before, lr_now) = translated(right, down, SCALE)
    motion = motion_since(lr_now[..., None], lr_before[..., None], SCALE)
    inside = motion[6:-6, 6:-6]
    assert np.mean(inside == (-right, -down)) > 0.9
    moved = compensated(before[None, ..., None], motion, SCALE)
    blocks = now.reshape(48, 4, 64, 4).transpose(0, 2, 1, 3).reshape(48, 64, 16)
    off = np.abs(moved[0].astype(int) - blocks)[6:-6, 6:-6]
    still = np.abs(compensated(before[None, ..., None], motion * 0, SCALE)[0].astype(int) - blocks)
    assert off.mean() < 1.0
    if right or down:
        assert off.mean() < still[6:-6, 6:-6].mean() / 4


def plainly(sr: NDArray[Any], motion: NDArray[np.int32], scale: int) -> NDArray[Any]:
    """The definition, point by point."""
    _, tall, wide, channels = sr.shape
    height, width = tall // scale, wide // scale
    steps, codes = steps_per_pixel(scale), sr.dtype.kind != "f"
    least, most = (np.iinfo(sr.dtype).min, np.iinfo(sr.dtype).max) if codes else (0, 1)
    out = np.zeros((1, height, width, scale * scale, channels), sr.dtype)

    def pixel(row: int, column: int) -> NDArray[np.float64]:
        value = sr[0, min(max(row, 0), tall - 1), min(max(column, 0), wide - 1)]
        return np.asarray(value, np.float64)

    def half_way(points: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        far, near, behind, beyond = points
        value = (9 * near + 9 * behind - far - beyond) / 16
        return np.clip(np.floor(value + 0.5) if codes else value, least, most)

    def across(row: int, column: int) -> NDArray[np.float64]:
        """At halves of a column."""
        at, half = divmod(column, 2)
        return half_way([pixel(row, at + k) for k in (-1, 0, 1, 2)]) if half else pixel(row, at)

    def point(row: int, column: int) -> NDArray[np.float64]:
        """At halves of a row and column."""
        at, half = divmod(row, 2)
        if not half:
            return across(at, column)
        return half_way([across(at + k, column) for k in (-1, 0, 1, 2)])

    for y, x, dy, dx in np.ndindex(height, width, scale, scale):
        row = (y * scale + dy) * steps + int(motion[y, x, 1])
        column = (x * scale + dx) * steps + int(motion[y, x, 0])
        if steps == 1:
            value = pixel(row, column)
        else:
            value = (point(row // 2, column // 2) + point(-(-row // 2), -(-column // 2))) / 2
        out[0, y, x, dy * scale + dx] = np.floor(value) if codes else value
    return out.reshape(1, height, width, -1)


@given(
    st.data(),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([np.int8, np.uint8, np.float32]),
    arrays(np.int32, (2, 3, 2), elements=st.integers(-40, 40)),
)
def test_blocks_come_whole_from_where_they_were(
    data: st.DataObject, scale: int, channels: int, dtype: type, motion: NDArray[np.int32]
) -> None:
    """The same in numpy and, of codes from zero and of values, in training."""
    seed = data.draw(st.integers(0, 1000))
    pixels = np.random.default_rng(seed).integers(0, 256, (1, 2 * scale, 3 * scale, channels))
    sr = (pixels / 255 if dtype == np.float32 else pixels - 128 * (dtype == np.int8)).astype(dtype)
    white = 1.0 if dtype == np.float32 else 255.0
    expected = plainly(sr, motion, scale)
    found = compensated(sr, motion, scale)
    np.testing.assert_allclose(found, expected, atol=0 if white > 1 else 2e-7)
    values = (sr if dtype == np.float32 else pixels).astype(np.float32).transpose(0, 3, 1, 2)
    starts = torch.from_numpy(places(motion, scale)[None])
    trained = streaming.moved(torch.from_numpy(values), starts, scale, white)
    found = found.astype(np.float32) + 128 * (dtype == np.int8)
    np.testing.assert_array_equal(trained.numpy().transpose(0, 2, 3, 1), found)


def test_without_motion_it_is_space_to_depth_and_the_first_frame_its_own() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (1, 5, 7, 3), np.uint8)
    large = frame.repeat(2, 1).repeat(2, 2)
    still = np.zeros((5, 7, 2), np.int32)
    np.testing.assert_array_equal(compensated(large, still, 2), unmoved(frame, 2))


def test_frames_as_pixels_codes_and_values_are_one_plane() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    plane = luma_u8(pixels)
    np.testing.assert_array_equal(luma_u8((pixels.astype(np.int16) - 128).astype(np.int8)), plane)
    np.testing.assert_array_equal(luma_u8((pixels / 255.0).astype(np.float32)), plane)
    white = np.full((4, 4, 3), 255, np.uint8)
    assert luma_u8(white).tolist() == white[..., 0].tolist()
    # Sums of 28.5, 37.5 and 48.5, which no machine may round by its own arithmetic.
    halves = np.array([[(0, 0, 250), (0, 60, 20), (0, 70, 65)]], np.uint8)
    assert luma_u8(halves).tolist() == [[29, 38, 49]]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (14, 42), (17, 90), (30, 300), (300, 15)])
def test_small_frames_have_a_flow(size: tuple[int, int]) -> None:
    """OpenCV's own search crashes the process on several of these."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, two = rng.integers(0, 256, (2, *size), np.uint8)
        found = flow(one, two)
        assert found.shape == (*size, 2)
        assert np.isfinite(found).all()
