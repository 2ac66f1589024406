"""How one decoded frame becomes one frame to encode: through its luma, or through RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import DataError
from edgevsr.video.chroma import NEUTRAL, Plane, Siting, chroma_size, grids, resample
from edgevsr.video.planes import (
    MATRIX_UNKNOWN,
    ColourTags,
    Planes,
    is_rgb,
    read_planes,
    write_plane,
)
from edgevsr.video.source import side_data

SuperResolve = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

#: Frame side data that is about the picture and that encoders or players use; the rest belongs to
#: the coded stream (motion vectors, quantizers) or is carried by the container (rotation).
_CARRIED = frozenset({"A53_CC", "AFD", "S12M_TIMECODE", "DYNAMIC_HDR_PLUS"})


@dataclass(frozen=True)
class Lr:
    """What the net takes of a frame, (H, W, C) uint8, and what waits for its SR."""

    pixels: NDArray[np.uint8]
    chroma: tuple[Plane, Plane] | None
    source: Any
    pts: int


@dataclass(frozen=True)
class Target:
    """The frames to encode: size, 8-bit pixel format with its subsampling, tags, siting."""

    size: tuple[int, int]
    pixel_format: str
    factors: tuple[int, int]
    scale: int
    tags: ColourTags
    siting: Siting

    @property
    def chroma_size(self) -> tuple[int, int]:
        """(width, height) of a chroma plane."""
        return chroma_size(self.size, self.factors)


class FramePath(Protocol):
    """Takes a decoded frame apart for the net, and puts the net's output together for encoding.

    `split` and `join` run in different threads.
    """

    def split(self, frame: Any, pts: int) -> Lr:
        """Return what the net takes of a decoded frame."""

    def join(self, lr: Lr, sr: NDArray[np.uint8]) -> Any:
        """Return the frame to encode, stamped with the source's time."""


@dataclass(frozen=True)
class LumaPath:
    """Y goes straight from the decoder to the net to the encoder; chroma is resized by bicubic."""

    target: Target

    def split(self, frame: Any, pts: int) -> Lr:
        """Return Y as decoded, (H, W, 1), and chroma already at its HR size."""
        planes = read_planes(frame, self.target.tags)
        return Lr(planes.luma[:, :, None], self._chroma(planes), frame, pts)

    def _chroma(self, planes: Planes) -> tuple[Plane, Plane] | None:
        if planes.chroma is None:
            return None
        target = self.target
        source = grids(planes.factors, target.siting)
        wanted = grids(target.factors, target.siting)
        first, second = (
            resample(plane, target.chroma_size, source, wanted, target.scale)
            for plane in planes.chroma
        )
        return first, second

    def join(self, lr: Lr, sr: NDArray[np.uint8]) -> Any:
        """Return Y from the net, (H, W, 1), with the chroma that waited."""
        return _assemble(self.target, lr, sr[:, :, 0], lr.chroma)


@dataclass(frozen=True)
class RgbPath:
    """RGB nets: to RGB and back by the frame's own matrix and range."""

    target: Target

    def split(self, frame: Any, pts: int) -> Lr:
        """Return the frame as RGB, (H, W, 3)."""
        import av
        from av.error import FFmpegError

        try:
            if is_rgb(frame):
                rgb = frame.reformat(format="rgb24")
            else:
                full = _full_chroma(read_planes(frame, self.target.tags), self.target)
                size = (frame.width, frame.height)
                yuv = _planar_frame(av, "yuv444p", size, full, self.target.tags)
                rgb = yuv.reformat(format="rgb24", dst_color_range=2)
        except FFmpegError as error:
            raise _unknown_matrix(self.target.tags, error) from error
        return Lr(np.ascontiguousarray(rgb.to_ndarray()), None, frame, pts)

    def join(self, lr: Lr, sr: NDArray[np.uint8]) -> Any:
        """Return the RGB of the net, (H, W, 3), in the source's matrix and range."""
        import av
        from av.error import FFmpegError

        tags = self.target.tags
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(sr), format="rgb24")
        matrix = None if tags.matrix == MATRIX_UNKNOWN else tags.matrix
        try:
            yuv = rgb.reformat(
                format="yuv444p",
                dst_colorspace=matrix,
                src_color_range=2,
                dst_color_range=tags.range or 1,
            )
        except FFmpegError as error:
            raise _unknown_matrix(tags, error) from error
        planes = read_planes(yuv, tags)
        assert planes.chroma is not None
        target = self.target
        full, wanted = grids((1, 1), target.siting), grids(target.factors, target.siting)
        first, second = (
            resample(plane, target.chroma_size, full, wanted) for plane in planes.chroma
        )
        return _assemble(target, lr, planes.luma, (first, second))


def _full_chroma(planes: Planes, target: Target) -> tuple[Plane, ...]:
    height, width = planes.luma.shape
    if planes.chroma is None:
        neutral = np.full_like(planes.luma, NEUTRAL)
        return planes.luma, neutral, neutral
    source, full = grids(planes.factors, target.siting), grids((1, 1), target.siting)
    return planes.luma, *(resample(plane, (width, height), source, full) for plane in planes.chroma)


def _planar_frame(
    av: Any, format_: str, size: tuple[int, int], planes: tuple[Plane, ...], tags: ColourTags
) -> Any:
    frame = av.VideoFrame(*size, format_)
    _stamp(frame, tags)
    for index, plane in enumerate(planes):
        write_plane(frame, index, plane)
    return frame


def _assemble(target: Target, lr: Lr, luma: Plane, chroma: tuple[Plane, Plane] | None) -> Any:
    import av

    if chroma is None:
        width, height = target.chroma_size
        neutral = np.full((height, width), NEUTRAL, np.uint8)
        chroma = neutral, neutral
    source = lr.source
    if _has_carried_data(source):
        # Side data can only be copied by a conversion: nearest is the cheapest, and is overwritten.
        width, height = target.size
        frame = source.reformat(width, height, target.pixel_format, interpolation="POINT")
        for index, plane in enumerate((luma, *chroma)):
            write_plane(frame, index, plane)
        _stamp(frame, target.tags)
        frame.pict_type = 0  # else the encoder repeats the source's choice of I, P and B
    else:
        frame = _planar_frame(av, target.pixel_format, target.size, (luma, *chroma), target.tags)
    frame.pts, frame.time_base = lr.pts, source.time_base
    frame.duration = source.duration
    return frame


def _has_carried_data(source: Any) -> bool:
    """Whether side data of the frame is to go on with it.

    Asking a frame for its side data ties it into a reference cycle, and a video's frames would
    wait in memory for the cycle collector; a copy of 16x16 pixels may wait.
    """
    from av.error import FFmpegError

    try:
        tiny = source.reformat(16, 16, "gray", interpolation="POINT", threads=1)
    except FFmpegError:
        return False
    return any(data.type.name in _CARRIED for data in side_data(tiny))


def _stamp(frame: Any, tags: ColourTags) -> None:
    frame.color_range = tags.range
    frame.colorspace = tags.matrix
    frame.color_primaries = tags.primaries
    frame.color_trc = tags.transfer


def _unknown_matrix(tags: ColourTags, error: Exception) -> DataError:
    return DataError(
        f"the video's colour matrix (number {tags.matrix} of ITU-T H.273) cannot be turned into "
        f"RGB ({error}); use a net that works on Y, such as sesr-m5-x2-w8a8"
    )
