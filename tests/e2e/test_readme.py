"""The README is run: its commands, its Python, its table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr import cli
from edgevsr.zoo import calibration_frames, sample_clip
from tests import zoo_page
from tests.conftest import ROOT
from tests.readme_table import README, results_table, table_in

_BLOCK = re.compile(r"(?:<!-- test: ([^\n]*) -->\n)?```(bash|python)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """Return (marker, text) of the README's fenced blocks in this language."""
    found = _BLOCK.findall(README.read_text("utf-8"))
    return [(marker, text) for marker, kind, text in found if kind == language]


@pytest.fixture
def workplace(quick_rounding: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README's commands name, small."""
    monkeypatch.chdir(tmp_path)
    frames = sorted(path for path in calibration_frames().iterdir() if path.suffix == ".jpg")
    for folder in ("frames", "photos", "held-out"):
        (tmp_path / folder).mkdir()
        for path in frames[:8]:
            image = Image.open(path).convert("RGB").crop((0, 0, 128, 96))
            image.save(tmp_path / folder / f"{path.stem}.png")
    make_clip(tmp_path / "clip.mp4")
    return tmp_path


def make_clip(path: Path) -> None:
    """Write the first frames of the sample clip, cut to a corner, as a video of its own."""
    import av

    from edgevsr.data.clips import read_frames

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _, frame in zip(range(4), read_frames(sample_clip()), strict=False):
            corner = np.ascontiguousarray(frame[:96, :128])
            picture = av.VideoFrame.from_ndarray(corner, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def run_block(marker: str, text: str) -> None:
    for line in text.strip().splitlines():
        program, *arguments = shlex.split(f"{line} {marker}")
        assert program == "edgevsr"
        assert cli.main(arguments) == 0, line


def test_its_commands_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [block for block in blocks("bash") if not block[0].startswith("skip")]
    assert len(commands) >= 3
    for marker, text in commands:
        run_block(marker, text)
    assert capsys.readouterr().err == ""
    assert (workplace / "clip-x2.mp4").stat().st_size > 0
    assert (workplace / "runs" / "m5" / "checkpoint.safetensors").is_file()


def test_its_python_runs(workplace: Path) -> None:
    ((_, text),) = blocks("python")
    exec(compile(text, "README.md", "exec"), {})
    assert (workplace / "clip-x2.mp4").stat().st_size > 0


def test_its_table_is_what_the_cards_say() -> None:
    written = table_in(README.read_text("utf-8"))
    assert written == results_table(), "run: python -m tests.readme_table"


def test_its_links_and_paths_exist() -> None:
    text = README.read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:edgevsr|docs|profiles|export|tests)/[\w./-]*)`", text)
    assert len(links) >= 3
    for path in [*links, *named]:
        assert (ROOT / path).exists(), path


def test_the_zoo_page_is_what_the_cards_say() -> None:
    assert zoo_page.PAGE.read_text("utf-8") == zoo_page.page(), "run: python -m tests.zoo_page"
    assert zoo_page.PICTURE.read_bytes().startswith(b"\x89PNG")
    if zoo_page.curves():
        assert zoo_page.CURVES.read_bytes().startswith(b"\x89PNG")
    assert {point.scale for point in zoo_page.ours()} == {2, 3, 4}
