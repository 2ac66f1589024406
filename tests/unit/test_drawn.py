"""Drawn pages: reproducible, and of the strokes that photographs lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevsr.data import drawn
from edgevsr.data.images import list_images, read_rgb


def test_pages_depend_on_their_seed_alone() -> None:
    first, again, other = (np.asarray(drawn.page(seed, 128)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pages_have_strokes_from_ground_to_ink() -> None:
    """Every page steps by half of the range within two pixels, in hundreds of places."""
    for seed in range(20):
        luma = np.asarray(drawn.page(seed, 256).convert("L"), int)
        assert (np.abs(luma[:, 2:] - luma[:, :-2]) > 100).sum() > 300


def test_the_command_writes_what_training_reads(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "drawn"
    assert drawn.main([str(folder), "--count", "3", "--side", "96"]) == 0
    files = list_images(folder)
    assert [file.name for file in files] == [f"drawn_00{i}.png" for i in range(3)]
    np.testing.assert_array_equal(read_rgb(files[1]), np.asarray(drawn.page(1, 96)))


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert drawn.main([str(tmp_path / "file" / "below")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit):
        drawn.main([str(tmp_path), "--count", "0"])
