"""Every pixel format, range, matrix and siting goes through a video and comes out as it went in."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from edgevsr import upscale
from edgevsr.video.source import VideoSource
from tests.clips import (
    decode,
    read_plane,
    write_clip,
)

LOSSLESS = {"qp": "0"}


@pytest.mark.parametrize(("tag", "name"), [(1, "yuv420p"), (2, "yuvj420p")])
def test_range_stays_and_values_pass_straight(
    tmp_path: Path, nets: dict[str, Path], tag: int, name: str
) -> None:
    """Studio and full swing both go through as they are, and the tag goes with them."""

    def extremes(frame: int, plane: int, height: int, width: int) -> np.ndarray:
        low, high = (16, 235) if tag == 1 else (0, 255)
        values = np.full((height, width), low if plane == 0 else 128)
        values[:, width // 2 :] = high if plane == 0 else 128
        return values

    tags = {"color_range": tag, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
    clip = write_clip(tmp_path / "in.mp4", values=extremes, tags=tags, options=LOSSLESS)
    assert decode(clip)[0].color_range == tag
    upscale(clip, output=tmp_path / "out.mp4", net=nets["y"], crf=0)
    frame = decode(tmp_path / "out.mp4")[0]
    assert (frame.format.name, frame.color_range) == (name, tag)
    luma = read_plane(frame, 0)
    assert (int(luma.min()), int(luma.max())) == ((16, 235) if tag == 1 else (0, 255))


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray", "bgr0", "bgra"],
)
def test_other_sources_become_8_bit_420(
    tmp_path: Path, nets: dict[str, Path], pixel_format: str
) -> None:
    """Deeper, denser, gray and RGB sources keep their luma and colour within rounding."""

    def flat(frame: int, plane: int, height: int, width: int) -> np.ndarray:
        deep = 4 if "10" in pixel_format else 1
        return np.full((height, width), (120, 90, 200)[plane] * deep)

    clip = tmp_path / "in.mkv"
    if pixel_format.startswith("bgr"):
        # Y 120, Cb 90, Cr 200 in BT.601 by hand: R 236, G 77, B 44.
        write_rgb(clip, pixel_format, (236, 77, 44))
    else:
        write_clip(clip, codec="ffv1", pixel_format=pixel_format, values=flat)
    result = upscale(clip, output=tmp_path / "out.mkv", net=nets["y"], codec="ffv1")
    frame = decode(tmp_path / "out.mkv")[0]
    assert frame.format.name == "yuv420p"
    wanted = (120, 128, 128) if pixel_format == "gray" else (120, 90, 200)
    for plane, value in enumerate(wanted):
        assert np.abs(read_plane(frame, plane).astype(int) - value).max() <= 1
    assert ("rounded from 10 to 8 bits" in result.how) == ("10" in pixel_format)
    assert result.dropped == (("alpha of the frames",) if pixel_format == "bgra" else ())


def write_rgb(path: Path, pixel_format: str, rgb: tuple[int, int, int]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for index in range(3):
            values = np.full((48, 64, 3), rgb, np.uint8)
            frame = av.VideoFrame.from_ndarray(values, format="rgb24").reformat(format=pixel_format)
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_ten_bit_encoders_get_the_eight_bits_shifted(tmp_path: Path, nets: dict[str, Path]) -> None:
    """ProRes stores 10 bits: the net's 8 come out times four, tags and all."""
    tags = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
    clip = write_clip(
        tmp_path / "in.mkv",
        codec="ffv1",
        tags=tags,
        values=lambda f, p, h, w: np.full((h, w), (180, 100, 150)[p]),
    )
    upscale(clip, output=tmp_path / "out.mov", net=nets["y"], codec="prores_ks")
    frame = decode(tmp_path / "out.mov")[0]
    assert frame.format.name == "yuv422p10le"
    assert frame.colorspace == 1
    for plane, value in enumerate((180, 100, 150)):
        assert np.abs(read_plane(frame, plane).astype(int) - 4 * value).max() <= 4


@pytest.mark.parametrize(
    ("size", "net", "codec", "wanted"),
    [
        ((35, 27), "y", "libx264", "yuv420p"),
        ((35, 27), "y3", "libx264", "yuv444p"),
        ((35, 27), "y3", "libvpx-vp9", "yuv420p"),
        ((35, 28), "y3", "libx265", "yuv444p"),
    ],
)
def test_odd_sizes_keep_their_exact_multiple(
    tmp_path: Path, nets: dict[str, Path], size: tuple[int, int], net: str, codec: str, wanted: str
) -> None:
    """×2 of an odd side is even; ×3 stays odd, in 4:4:4 where the codec cannot crop 4:2:0."""
    clip = write_clip(
        tmp_path / "in.mkv",
        codec="ffv1",
        size=size,
        values=lambda f, p, h, w: np.full((h, w), (90, 110, 140)[p]),
    )
    upscale(clip, output=tmp_path / "out.mkv", net=nets[net], codec=codec)
    frame = decode(tmp_path / "out.mkv")[0]
    scale = 3 if net == "y3" else 2
    assert (frame.width, frame.height) == (size[0] * scale, size[1] * scale)
    assert frame.format.name == wanted
    for plane, value in enumerate((90, 110, 140)):
        assert np.abs(read_plane(frame, plane).astype(int) - value).max() <= 2


@pytest.mark.parametrize(("matrix", "swing"), [(1, 1), (6, 1), (9, 1), (1, 2), (2, 0)])
def test_rgb_nets_keep_matrix_and_range(
    tmp_path: Path, nets: dict[str, Path], matrix: int, swing: int
) -> None:
    """Through RGB and back by the frame's own tags, colours return within rounding."""
    colours = (120, 100, 160)
    clip = write_clip(
        tmp_path / "in.mp4",
        tags={"colorspace": matrix, "color_range": swing},
        values=lambda f, p, h, w: np.full((h, w), colours[p]),
        options=LOSSLESS,
    )
    upscale(clip, output=tmp_path / "out.mp4", net=nets["rgb"], crf=0)
    frame = decode(tmp_path / "out.mp4")[0]
    assert (frame.colorspace, frame.color_range) == (matrix, swing)
    for plane, value in enumerate(colours):
        assert np.abs(read_plane(frame, plane).astype(int) - value).max() <= 2


def test_rgb_nets_do_not_shift_colour(tmp_path: Path, nets: dict[str, Path]) -> None:
    """An edge of colour stays where the Y path puts it, though 4:2:0 went by way of 4:4:4."""

    def edge(frame: int, plane: int, height: int, width: int) -> np.ndarray:
        values = np.full((height, width), 120.0)
        values[:] = 120 + 60 * np.sin(np.arange(width) / (6 if plane else 12)) * (plane == 1)
        return np.round(values)

    clip = write_clip(tmp_path / "in.mkv", codec="ffv1", values=edge, pts=[0])
    for net in ("y", "rgb"):
        upscale(clip, output=tmp_path / f"{net}.mkv", net=nets[net], codec="ffv1")
    by_luma = read_plane(decode(tmp_path / "y.mkv")[0], 1).astype(float)[:, 8:-8]
    by_rgb = read_plane(decode(tmp_path / "rgb.mkv")[0], 1).astype(float)[:, 8:-8]
    errors = {
        shift: float(np.abs(by_luma[:, 4:-4] - np.roll(by_rgb, shift, 1)[:, 4:-4]).mean())
        for shift in (-1, 0, 1)
    }
    assert min(errors, key=lambda shift: errors[shift]) == 0
    assert errors[0] < 2.0


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_siting_is_read_and_told_on(
    tmp_path: Path, nets: dict[str, Path], siting: str
) -> None:
    """What the stream says of its chroma is used, and said again."""
    clip = write_clip(tmp_path / "in.mp4", options={"chroma_sample_location": siting})
    upscale(clip, output=tmp_path / "out.mp4", net=nets["y"], crf=0)
    with VideoSource.open(clip) as before, VideoSource.open(tmp_path / "out.mp4") as after:
        assert before.siting == after.siting == siting
