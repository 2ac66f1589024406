"""The encoder, its pixel format and its rate factor fit the output, or one line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevsr.errors import SpecError
from edgevsr.video.encoders import CONTAINERS, available_encoders, choose_encoder


def test_defaults() -> None:
    """H.264 in 4:2:0 plays anywhere; WebM holds VP9 only."""
    mp4 = choose_encoder(None, None, Path("a.mp4"), (640, 360))
    assert (mp4.name, mp4.pixel_format, mp4.options["crf"]) == ("libx264", "yuv420p", "18")
    assert choose_encoder(None, None, Path("a.webm"), (640, 360)).name == "libvpx-vp9"


def test_odd_sides_get_444_only_where_420_cannot_hold_them() -> None:
    """H.264 crops 4:2:0 in steps of two; VP9 does not."""
    assert choose_encoder("libx264", None, Path("a.mkv"), (99, 77)).pixel_format == "yuv444p"
    assert choose_encoder("libvpx-vp9", None, Path("a.mkv"), (99, 77)).pixel_format == "yuv420p"


def test_prores_gets_its_ten_bits_from_eight() -> None:
    """ProRes has no 8-bit form."""
    encoder = choose_encoder("prores_ks", None, Path("a.mov"), (640, 360))
    assert (encoder.pixel_format, encoder.frame_format) == ("yuv422p10le", "yuv422p")
    assert encoder.factors == (2, 1)


@pytest.mark.parametrize(
    ("codec", "crf", "output", "words"),
    [
        ("libx265x", None, "a.mp4", ("'libx265x'", "did you mean 'libx265'", "libx264")),
        ("aac", None, "a.mp4", ("no such video encoder",)),
        (None, 52, "a.mp4", ("--crf 52", "51")),
        (None, -1, "a.mp4", ("--crf -1",)),
        ("ffv1", 20, "a.mkv", ("ffv1", "no constant rate factor")),
        (None, None, "a.avi", (".avi", *CONTAINERS)),
        (None, None, "video", ("without suffix",)),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    codec: str | None, crf: int | None, output: str, words: tuple[str, ...]
) -> None:
    """Each error names what was given and what would do."""
    with pytest.raises(SpecError) as caught:
        choose_encoder(codec, crf, Path(output), (640, 360))
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_listed_encoders_encode() -> None:
    """What an error suggests is there."""
    there = available_encoders()
    assert "libx264" in there
    for name in there:
        suffix = ".mov" if name == "prores_ks" else ".mkv"
        assert choose_encoder(name, None, Path(f"a{suffix}"), (640, 360)).name == name
