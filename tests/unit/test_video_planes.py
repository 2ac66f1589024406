"""Every pixel format becomes the 8-bit Y, Cb, Cr that it stands for."""

from __future__ import annotations

import av
import numpy as np
import pytest

from edgevsr.video.planes import (
    MATRIX_BT601,
    MATRIX_BT709,
    RANGE_FULL,
    RANGE_LIMITED,
    RANGE_UNKNOWN,
    colour_tags,
    read_planes,
)
from tests.clips import noise, planar_frame

SIZE = (38, 26)
FACTORS = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1)}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("yuv420p", 8), ("yuvj420p", 8), ("yuv422p", 8), ("yuv444p", 8), ("yuv440p", 8),
        ("yuv411p", 8), ("yuva420p", 8), ("yuv420p10le", 10), ("yuv422p10le", 10),
        ("yuv444p12le", 12), ("yuv420p16le", 16),
    ],
)  # fmt: skip
def test_planar_yuv_is_read_where_it_lies(name: str, bits: int) -> None:
    """8 bits are taken as they are; more are rounded half up, by hand (v + half) >> shift."""

    def values(frame: int, plane: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(plane)
        return rng.integers(0, 1 << bits, (height, width))

    frame = planar_frame(name, SIZE, 0, values)
    planes = read_planes(frame, colour_tags(frame, "h264"))
    assert planes.chroma is not None
    assert planes.factors == FACTORS[name.replace("yuva", "yuv").replace("yuvj", "yuv")[3:6]]
    for index, got in enumerate((planes.luma, *planes.chroma)):
        stored = values(0, index, *got.shape)
        wanted = np.minimum(np.floor(stored / 2 ** (bits - 8) + 0.5), 255)
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("name", ["nv12", "nv21", "yuyv422", "uyvy422"])
def test_packed_layouts_unpack_without_loss(name: str) -> None:
    """Interleaved chroma is separated; FFmpeg's own conversion back is the judge."""
    planar = "yuv420p" if name.startswith("nv") else "yuv422p"
    original = planar_frame(planar, (48, 32), 0, noise)
    frame = original.reformat(format=name)
    got = read_planes(frame, colour_tags(frame, "rawvideo"))
    want = read_planes(original, colour_tags(original, "rawvideo"))
    assert got.factors == want.factors
    assert np.array_equal(got.luma, want.luma)
    assert got.chroma is not None
    assert want.chroma is not None
    assert np.array_equal(got.chroma[0], want.chroma[0])
    assert np.array_equal(got.chroma[1], want.chroma[1])


def test_p010_is_ten_bits_rounded() -> None:
    """What hardware decoders deliver of HDR video."""
    original = planar_frame("yuv420p10le", (48, 32), 0, lambda *a: noise(*a).astype(int) * 4 + 1)
    frame = original.reformat(format="p010le")
    planes = read_planes(frame, colour_tags(frame, "hevc"))
    wanted = noise(0, 0, 32, 48)
    assert np.abs(planes.luma.astype(int) - wanted).max() <= 1  # swscale dithers as it unpacks


@pytest.mark.parametrize(("name", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_gray_has_no_chroma(name: str, bits: int) -> None:
    """Gray of any depth is luma alone."""
    step = 1 << (bits - 8)
    frame = planar_frame(name, SIZE, 0, lambda *a: noise(*a).astype(int) * step)
    planes = read_planes(frame, colour_tags(frame, "ffv1"))
    assert planes.chroma is None
    assert np.array_equal(planes.luma, noise(0, 0, SIZE[1], SIZE[0]))


def test_untagged_gray_is_full_range_unless_its_codec_means_studio_swing() -> None:
    """FFmpeg reads untagged gray as full range; H.264 says that no tag is studio swing."""
    frame = planar_frame("gray", SIZE, 0, noise)
    assert colour_tags(frame, "png").range == RANGE_FULL
    assert colour_tags(frame, "h264").range == RANGE_UNKNOWN


@pytest.mark.parametrize("name", ["rgb24", "bgr0", "gbrp", "rgba", "pal8"])
def test_rgb_becomes_studio_swing(name: str) -> None:
    """White is 235, 128, 128; black is 16, 128, 128 (BT.601 and BT.709 agree on gray)."""
    for level, luma in ((255, 235), (0, 16)):
        rgb = np.full((32, 48, 3), level, np.uint8)
        if name == "pal8":
            palette = np.full((256, 4), 255, np.uint8)
            palette[:, 1:] = level
            frame = av.VideoFrame.from_ndarray((np.zeros((32, 48), np.uint8), palette), "pal8")
        else:
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=name)
        tags = colour_tags(frame, "rawvideo")
        assert (tags.range, tags.matrix) == (RANGE_LIMITED, MATRIX_BT601)
        planes = read_planes(frame, tags)
        assert planes.chroma is not None
        assert np.abs(planes.luma.astype(int) - luma).max() <= 1
        assert np.abs(planes.chroma[0].astype(int) - 128).max() <= 1


def test_rgb_red_uses_the_matrix_of_its_size() -> None:
    """BT.601 red is Y 81, Cb 90, Cr 240; BT.709 red is Y 63, Cb 102, Cr 240."""
    for size, matrix, wanted in (
        ((64, 48), MATRIX_BT601, (81, 90, 240)),
        ((1280, 720), MATRIX_BT709, (63, 102, 240)),
    ):
        rgb = np.zeros((size[1], size[0], 3), np.uint8)
        rgb[:, :, 0] = 255
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        tags = colour_tags(frame, "rawvideo")
        assert tags.matrix == matrix
        planes = read_planes(frame, tags)
        assert planes.chroma is not None
        got = (planes.luma[20, 20], planes.chroma[0][20, 20], planes.chroma[1][20, 20])
        assert np.abs(np.array(got, int) - wanted).max() <= 1
