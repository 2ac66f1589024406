"""Video frames of any pixel format as 8-bit planes, and 8-bit planes as video frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevsr.video.chroma import Plane

#: Values of AVColorRange and AVColorSpace, as PyAV passes them.
RANGE_UNKNOWN, RANGE_LIMITED, RANGE_FULL = 0, 1, 2
MATRIX_BT709, MATRIX_UNKNOWN, MATRIX_BT601 = 1, 2, 6

#: Codecs that say so when gray is full range; every other gray stream is full range.
_STUDIO_GRAY = frozenset({"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg2video", "mpeg4"})

_HD_HEIGHT = 720


@dataclass(frozen=True)
class ColourTags:
    """How numbers mean colour, as AVFrame has it: range, matrix, primaries, transfer."""

    range: int
    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True)
class Planes:
    """One frame as 8-bit Y (H, W) and chroma; `chroma` is None for gray.

    `factors` is how much smaller chroma is, (horizontal, vertical).
    """

    luma: Plane
    chroma: tuple[Plane, Plane] | None
    factors: tuple[int, int]


def is_rgb(frame: Any) -> bool:
    """Whether the frame holds RGB or a palette of it."""
    return bool(frame.format.is_rgb or frame.format.has_palette)


def colour_tags(frame: Any, codec: str) -> ColourTags:
    """Return the tags that the frame's Y, Cb and Cr carry on.

    Studio or full swing goes on as it is: a net of convolutions works on differences of luma and
    takes either, while a map to 16..235 and back would lose codes. RGB becomes studio swing with
    the matrix usual for its size.
    """
    if is_rgb(frame):
        matrix = MATRIX_BT709 if frame.height >= _HD_HEIGHT else MATRIX_BT601
        return ColourTags(RANGE_LIMITED, matrix, int(frame.color_primaries), int(frame.color_trc))
    swing = int(frame.color_range)
    full_gray = _is_gray(frame.format) and codec not in _STUDIO_GRAY
    if frame.format.name.startswith("yuvj") or (swing == RANGE_UNKNOWN and full_gray):
        swing = RANGE_FULL
    return ColourTags(
        swing, int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc)
    )


def read_planes(frame: Any, tags: ColourTags) -> Planes:
    """Return the frame's Y, Cb, Cr rounded to 8 bits, without a round trip through RGB.

    Planar YUV and gray of any depth are read where they lie; other layouts are unpacked first.
    """
    if is_rgb(frame):
        frame = frame.reformat(
            format="yuv444p", dst_colorspace=tags.matrix, dst_color_range=tags.range
        )
    elif not _is_planar(frame.format):
        frame = frame.reformat(format=_planar_name(frame.format))
    luma = _read(frame, 0)
    if _is_gray(frame.format):
        return Planes(luma, None, (1, 1))
    return Planes(luma, (_read(frame, 1), _read(frame, 2)), _factors(frame.format))


def write_plane(frame: Any, index: int, values: Plane) -> None:
    """Copy `values` (H, W) into a plane of an 8-bit planar frame."""
    plane = frame.planes[index]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    rows[:, : plane.width] = values


def _read(frame: Any, index: int) -> Plane:
    plane = frame.planes[index]
    bits = frame.format.components[index].bits
    dtype = np.dtype(np.uint8 if bits <= 8 else "<u2")
    stride = abs(plane.line_size) // dtype.itemsize
    values = np.frombuffer(plane, dtype).reshape(plane.height, stride)[:, : plane.width]
    if plane.line_size < 0:
        values = values[::-1]
    if bits <= 8:
        return np.ascontiguousarray(values, np.uint8)
    half = 1 << (bits - 9)
    rounded = np.minimum((values.astype(np.uint32) + half) >> (bits - 8), 255)
    narrow: Plane = rounded.astype(np.uint8)
    return narrow


def _is_gray(format_: Any) -> bool:
    return not format_.is_rgb and not format_.has_palette and len(format_.components) <= 2


def _is_planar(format_: Any) -> bool:
    """Whether each component lies in a plane of its own that numpy can read."""
    components = format_.components[:3] if not _is_gray(format_) else format_.components[:1]
    return bool(
        format_.name.startswith(("yuv", "gray"))
        and not format_.name.startswith("grayf")
        and "msb" not in format_.name
        and not format_.is_big_endian
        and not format_.is_bit_stream
        and [component.plane for component in components] == list(range(len(components)))
        and all(8 <= component.bits <= 16 for component in components)
    )


def _planar_name(format_: Any) -> str:
    if _is_gray(format_):
        return "gray"
    names = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 2): "yuv440p", (4, 1): "yuv411p"}
    return names.get(_factors(format_), "yuv444p")


def _factors(format_: Any) -> tuple[int, int]:
    # Asked of a size that every subsampling divides: a component's own size is rounded up.
    return 64 // format_.chroma_width(64), 64 // format_.chroma_height(64)
