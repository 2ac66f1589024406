"""A shift and a grid are told apart from noise."""

from __future__ import annotations

import numpy as np
import pytest

from edgevsr.quantization.damage import Damage

FLAT = np.full((60, 80, 1), 100, np.uint8)


def test_nothing_was_compared() -> None:
    assert Damage(2).to_json() is None


def test_a_shift_has_no_grid() -> None:
    damage = Damage(2)
    damage.add(np.repeat(FLAT, 3, axis=2), np.stack([FLAT[..., 0] + i for i in (1, 0, 2)], axis=2))
    found = damage.to_json()
    assert found is not None
    assert (found["shift"], found["grid"]) == ([1.0, 0.0, 2.0], 0.0)
    assert found["error"] == pytest.approx((5 / 3) ** 0.5, abs=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_grid_has_its_own_energy(scale: int) -> None:
    """One place of the grid is off by four levels: the mean of scale² is 4 / scale²."""
    damage = Damage(scale)
    wrong = FLAT.copy()
    wrong[1::scale, ::scale] += 4
    damage.add(FLAT, wrong)
    found = damage.to_json()
    assert found is not None
    mean = 4 / scale**2
    assert found["shift"] == [mean]
    assert found["grid"] == pytest.approx((16 / scale**2 - mean**2) ** 0.5, abs=1e-4)
    assert found["error"] == pytest.approx(4 / scale)
    assert found["grid"] > 10 * found["grid_by_chance"]


def test_noise_leaves_what_chance_does() -> None:
    rng = np.random.default_rng(0)
    damage = Damage(2)
    for _ in range(20):
        damage.add(FLAT, (FLAT + rng.integers(-3, 4, FLAT.shape)).astype(np.uint8))
    found = damage.to_json()
    assert found is not None
    assert found["error"] == pytest.approx(2.0, abs=0.02)
    assert 0.2 < found["grid"] / found["grid_by_chance"] < 2.0
