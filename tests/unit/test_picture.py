"""The side-by-side picture shows the pixels it is given, where bicubic errs most."""

from __future__ import annotations

import numpy as np

from edgevsr.picture import Panel, crop_columns, hardest_windows, side_by_side

RANDOM = np.random.default_rng(0)


def frame(level: int) -> np.ndarray:
    return np.full((360, 640, 3), level, np.uint8)


def test_the_windows_cover_the_largest_errors_and_stay_apart() -> None:
    original, other = frame(100), frame(100)
    other[200:230, 400:440] = 160
    other[40:60, 90:120] = 130
    (first, second) = hardest_windows(original, other, 2)
    assert first[0] <= 400
    assert first[0] + 104 >= 440
    assert first[1] <= 200
    assert first[1] + 72 >= 230
    assert second[0] <= 90
    assert second[0] + 104 >= 120
    assert second[1] <= 40
    assert second[1] + 72 >= 60


def test_crops_are_the_frames_own_pixels_enlarged() -> None:
    original = RANDOM.integers(0, 256, (360, 640, 3), np.uint8)
    bicubic, sr = frame(128), original // 2
    canvas = np.asarray(
        side_by_side("title", "note", Panel("a", bicubic), Panel("b", sr), Panel("c", original))
    )
    (x, y), _ = hardest_windows(original, bicubic, 2)
    for pixels in (sr, original):
        inner = pixels[y + 2 : y + 70, x + 2 : x + 102].repeat(4, axis=0).repeat(4, axis=1)
        assert contains(canvas, inner)
    assert not contains(canvas, inner[::-1])


def contains(canvas: np.ndarray, patch: np.ndarray) -> bool:
    """Whether the patch stands somewhere on the canvas, pixel for pixel."""
    height, width = patch.shape[:2]
    corner = (canvas == patch[0, 0]).all(axis=2)
    return any(
        np.array_equal(canvas[top : top + height, left : left + width], patch)
        for top, left in np.argwhere(corner)
    )


def test_every_version_has_a_column_of_its_crops() -> None:
    versions = RANDOM.integers(0, 256, (4, 200, 300, 3), np.uint8)
    windows = [(10, 20), (150, 100)]
    panels = [Panel(str(index), pixels) for index, pixels in enumerate(versions)]
    canvas = np.asarray(crop_columns("note", panels, windows))
    for pixels in versions:
        for x, y in windows:
            crop = pixels[y : y + 72, x : x + 104]
            assert contains(canvas, crop.repeat(4, axis=0).repeat(4, axis=1))
