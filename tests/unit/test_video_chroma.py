"""Chroma lands where its standard puts it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.video.chroma import SITINGS, Grid, Siting, chroma_size, grids, resample

FACTORS = [(2, 2), (2, 1), (1, 1), (4, 1), (1, 2)]


def positions(length: int, grid: Grid, scale: int) -> np.ndarray:
    """Return where the samples of a plane lie, in LR luma samples."""
    return (np.arange(length) * grid.factor + grid.offset + 0.5) / scale - 0.5


def exact(plane: np.ndarray) -> Any:
    """Return the plane as float32, which is resampled alike but without 8-bit rounding."""
    return plane.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    source_factors=st.sampled_from(FACTORS),
    target_factors=st.sampled_from([(2, 2), (2, 1), (1, 1)]),
    siting=st.sampled_from(SITINGS),
    scale=st.integers(1, 4),
    width=st.integers(40, 57),
    height=st.integers(40, 57),
)
def test_a_ramp_of_colour_stays_where_it_was(
    source_factors: tuple[int, int],
    target_factors: tuple[int, int],
    siting: Siting,
    scale: int,
    width: int,
    height: int,
) -> None:
    """Bicubic reproduces a linear function, so any sub-pixel error of the siting shows."""
    source, target = grids(source_factors, siting), grids(target_factors, siting)
    across, down = chroma_size((width, height), source_factors)
    size = chroma_size((width * scale, height * scale), target_factors)

    def ramp(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return 20.0 + 2.137 * columns[None, :] + 1.371 * rows[:, None]

    lr = ramp(positions(across, source[0], 1), positions(down, source[1], 1))
    up = resample(exact(lr), size, source, target, scale)
    wanted = ramp(positions(size[0], target[0], scale), positions(size[1], target[1], scale))
    assert up.shape == (size[1], size[0])
    # The kernel reaches two source samples, and an edge is replicated, not a ramp.
    x, y = (
        -(-3 * max(s.factor * scale, t.factor) // t.factor)
        for s, t in zip(source, target, strict=True)
    )
    assert np.abs(up - wanted)[y:-y, x:-x].max() < 1e-3


def test_left_siting_at_times_two_is_an_eighth_of_a_sample() -> None:
    """HR chroma 0 lies at LR luma -1/4 + 0, that is LR chroma +1/8 - 1/4 by hand; the step is 1/2.

    A plane that is 0 up to sample 7 and 160 from sample 8 on crosses 80 at chroma 7.5 of LR, which
    is HR chroma (7.5 - (-0.125)) / 0.5 = 15.25.
    """
    plane = np.zeros((16, 16), np.uint8)
    plane[:, 8:] = 160
    grid = grids((2, 2), "left")
    row = resample(plane, (32, 32), grid, grid, 2)[16].astype(float)
    after = int(np.argmax(row > 80))
    crossing = after - 1 + (80 - row[after - 1]) / (row[after] - row[after - 1])
    assert crossing == pytest.approx(15.25, abs=0.05)


def test_centred_and_left_differ_by_the_quarter_that_matters() -> None:
    """Ignoring the siting moves colour by a quarter of an HR chroma sample at ×2."""
    plane = exact(np.tile(np.arange(40.0, 200.0, 5.0), (16, 1)))
    left, centre = grids((2, 2), "left"), grids((2, 2), "center")
    moved = resample(plane, (64, 32), left, left, 2) - resample(plane, (64, 32), centre, centre, 2)
    # A quarter of an HR chroma sample is an eighth of an LR one, and the ramp climbs 5 a sample.
    assert np.allclose(moved[:, 8:-8], 5 / 8, atol=1e-3)


def test_444_to_420_at_times_two_shifts_by_a_quarter_but_keeps_size() -> None:
    """A 4:4:4 source needs no more samples than HR 4:2:0 has."""
    assert chroma_size((128, 96), (2, 2)) == (64, 48)
    plane = np.full((48, 64), 77, np.uint8)
    same = resample(plane, (64, 48), grids((1, 1), "left"), grids((2, 2), "left"), 2)
    assert (same == 77).all()


def test_the_same_grid_is_the_same_plane() -> None:
    """Nothing is filtered where nothing moves."""
    plane = np.arange(48, dtype=np.uint8).reshape(6, 8)
    grid = grids((2, 1), "left")
    assert resample(plane, (8, 6), grid, grid, 1) is plane


def test_odd_sides_round_up() -> None:
    """A codec stores (n + 1) // 2 chroma samples of an odd side."""
    assert chroma_size((33, 27), (2, 2)) == (17, 14)
