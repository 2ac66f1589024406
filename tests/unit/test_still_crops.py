"""The sheet of stills that int8 hurts most: the right pictures, at the right places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.still_crops import WINDOW, Case, cases, hardest_window, main
from edgevsr.evaluation import Picture

RANDOM = np.random.default_rng(0)
NET = "sesr-m5-x2"


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    """Three pictures, from soft to hard."""
    folder = tmp_path / "Set3"
    folder.mkdir()
    for cells in (4, 16, 48):
        coarse = Image.fromarray(RANDOM.integers(0, 256, (cells, cells, 3), np.uint8))
        coarse.resize((120, 96)).save(folder / f"{cells}.png")
    return folder


def test_the_worst_pictures_come_first_in_print_and_on_the_sheet(
    stills: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets = []
    for count in ("1", "2"):
        output = tmp_path / f"{count}.png"
        assert main([NET, "--data", str(stills), "--count", count, "-o", str(output)]) == 0
        sheets.append(np.asarray(Image.open(output)))
    lost = {case.name: case.lost_db for case in cases(NET, [stills])}
    printed = [line.split()[2] for line in capsys.readouterr().out.splitlines()[-3:]]
    assert printed == sorted(lost, key=lost.__getitem__, reverse=True)
    assert sheets[1].shape[0] == 2 * sheets[0].shape[0]
    assert np.array_equal(sheets[1][: sheets[0].shape[0]], sheets[0])


def test_the_window_has_detail_and_the_most_added_error() -> None:
    """The flat left half is passed over although int8 is furthest off there."""
    rgb = np.full((100, 200, 3), 128, np.uint8)
    rgb[:, 100:] = RANDOM.integers(0, 256, (100, 100, 1), np.uint8)
    picture = Picture.of("half", rgb, 2)
    float_y, int8_y = picture.hr_y.copy(), picture.hr_y.copy()
    int8_y[10:40, 10:40] += 40
    int8_y[60:80, 140:160] += 10
    float_y[10:30, 140:160] += 10  # an error of float's own does not count
    left, top = hardest_window(Case("half", picture, float_y, int8_y))
    assert left <= 140
    assert left + WINDOW[0] >= 160
    assert top <= 60
    assert top + WINDOW[1] >= 80


def test_what_cannot_be_shown_is_one_line(
    stills: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "crops.png"
    assert main(["no-such-net", "--data", str(stills), "-o", str(output)]) == 2
    small = tmp_path / "small"
    small.mkdir()
    Image.new("RGB", (40, 40)).save(small / "0.png")
    assert main([NET, "--data", str(small), "-o", str(output)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "smaller than the 52x36 of a crop" in errors[1]
    assert not output.exists()


def test_the_sheet_is_a_png(stills: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([NET, "--data", str(stills), "-o", str(tmp_path / "sheet")])
    assert not list(tmp_path.glob("sheet*"))
