"""A video file as a stream of decoded frames and untouched packets."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from edgevsr.errors import DataError
from edgevsr.video.chroma import SITINGS, Siting

#: Demuxers that open other files or addresses named inside the file.
_PLAYLISTS = frozenset({"concat", "concatf", "hls", "dash", "imf", "webm_dash_manifest"})
_MAX_PIXELS = 1 << 26
_PACKETS_A_STEP = 64
_CENTRED = frozenset({"mjpeg", "mpeg1video"})


@dataclass(frozen=True)
class Step:
    """One decoded frame with its time, and the other streams' packets that came before it.

    `frame` is None where packets were many or the video is over.
    """

    packets: tuple[Any, ...]
    frame: Any | None = None
    pts: int = 0


@dataclass
class VideoSource:
    """An open video: its main stream, and everything beside it.

    Open it with `VideoSource.open`, and use it as a context.
    """

    path: Path
    container: Any
    video: Any
    first: Any
    siting: Siting
    display_matrix: tuple[int, ...] | None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the video at `path`, its first frame decoded.

        Raises:
            DataError: there is no such file, it is not a video, is empty or damaged, or its frames
                are too large.
        """
        import av

        if not path.is_file():
            raise DataError(f"{path}: no such file; give an image or a video")
        with _damaged(path):
            # "file:" keeps a name such as "a:b.mp4" from being taken for a protocol.
            container = av.open(
                f"file:{path}",
                container_options={"protocol_whitelist": "file"},
                metadata_errors="replace",
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(container)
            video = _main_stream(path, container)
            first = _first_frame(path, container, video)
            siting = _siting(container, video)
            source = cls(path, container, video, first, siting, _display_matrix(first))
            stack.pop_all()
        return source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.container.close()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        return self.first.width, self.first.height

    @property
    def time_base(self) -> Fraction:
        """Seconds a tick of `pts`."""
        return Fraction(self.video.time_base)

    @property
    def rate(self) -> Fraction:
        """Mean frames a second as the container tells, or 25 where it does not."""
        return Fraction(self.video.average_rate or self.video.guessed_rate or 25)

    @property
    def codec(self) -> str:
        """Name of the decoder."""
        return str(self.video.codec_context.name)

    @property
    def frame_estimate(self) -> int | None:
        """How many frames there are, as far as the container tells."""
        if self.video.frames:
            return int(self.video.frames)
        duration = self.video.duration
        seconds = duration * self.time_base if duration else None
        if seconds is None and self.container.duration:
            seconds = Fraction(self.container.duration, 1_000_000)
        return round(seconds * self.rate) or None if seconds else None

    def others(self) -> list[Any]:
        """Return every stream but the main video."""
        return [stream for stream in self.container.streams if stream.index != self.video.index]

    def steps(self, kept: Sequence[int]) -> Iterator[Step]:
        """Yield the frames in display order, with the packets of the streams of these indices.

        Raises:
            DataError: the file is damaged or ends early (MPEG-TS, which is cut from a running
                stream, may end anywhere), or a frame changes size.
        """
        packets: list[Any] = []
        clock = _Clock(self)
        streams = [self.video, *(s for s in self.others() if s.index in kept)]
        with _damaged(self.path):
            for packet in self.container.demux(streams):
                if packet.stream_index != self.video.index:
                    if packet.pts is not None or packet.size:
                        packets.append(packet)
                    if len(packets) >= _PACKETS_A_STEP:
                        yield Step(tuple(packets))
                        packets = []
                    continue
                clock.count(packet)
                for frame in packet.decode():
                    self._check(frame)
                    yield Step(tuple(packets), frame, clock.stamp(frame))
                    packets = []
        clock.check_end()
        yield Step(tuple(packets))

    def _check(self, frame: Any) -> None:
        # A broadcast begins in mid-stream, where decoders conceal what came before.
        if frame.is_corrupt and self.container.format.name != "mpegts":
            raise DataError(
                f"{self.path}: the frame at {float(frame.time or 0.0):.2f} s is damaged; copy the "
                "file again, or convert it with a tool that conceals damage"
            )
        if (frame.width, frame.height) != self.size:
            at = float(frame.time or 0.0)
            raise DataError(
                f"{self.path}: frames change size at {at:.2f} s, from {self.size[0]}x"
                f"{self.size[1]} to {frame.width}x{frame.height}; split the video there first"
            )


@dataclass
class _Clock:
    """Keeps each frame's time, mends what is missing, and sees a file that ends early."""

    source: VideoSource
    last: int | None = None
    packets: int = 0
    frames: int = 0
    end: float = 0.0

    def count(self, packet: Any) -> None:
        if not packet.size:
            return
        self.packets += 1
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            ticks = time + (packet.duration or 0)
            self.end = max(self.end, float(ticks * self.source.time_base))

    def stamp(self, frame: Any) -> int:
        """Return the frame's own time; one that is missing or not after the last gets the next."""
        self.frames += 1
        step = frame.duration or round(1 / (self.source.rate * self.source.time_base)) or 1
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None:
            pts = 0 if self.last is None else self.last + step
        if self.last is not None and pts <= self.last:
            pts = self.last + 1
        self.last = int(pts)
        return self.last

    def check_end(self) -> None:
        path, told = self.source.path, _told_end(self.source)
        if told is not None and self.end < told - 0.05 - 2 / float(self.source.rate):
            raise DataError(
                f"{path}: the video ends at {self.end:.1f} s of {told:.1f} s: the file is cut "
                "short; copy it again, or cut it cleanly to what is there"
            )
        expected = 0 if _counts_gaps(self.source) else self.source.video.frames
        if expected and self.packets < expected:
            raise DataError(
                f"{path}: holds {self.packets} of {expected} frames: the file is cut short; copy "
                "it again, or cut it cleanly to what is there"
            )


def _told_end(source: VideoSource) -> float | None:
    """Return where the container itself says that the video ends, in seconds."""
    if _counts_gaps(source):
        return float(source.video.frames * source.time_base) or None
    if "matroska" not in source.container.format.name:
        return None
    match = re.fullmatch(
        r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", source.video.metadata.get("DURATION", "")
    )
    if match is None:
        return None
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _counts_gaps(source: VideoSource) -> bool:
    """Whether the container's count of frames includes those that were left out."""
    return bool(source.container.format.name == "avi")


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Turn what the decoder raises into one clear line."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read as a video: damaged, cut short or of a kind not known "
            f"({reason}); check that it plays to its end"
        ) from error


def _main_stream(path: Path, container: Any) -> Any:
    from av.stream import Disposition

    if set(container.format.name.split(",")) & _PLAYLISTS:
        raise DataError(f"{path}: is a playlist, not a video; give the video itself")
    pictures = [
        stream
        for stream in container.streams.video
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    if not pictures:
        raise DataError(f"{path}: holds no video stream; give an image or a video")
    best = container.streams.best("video")
    video = best if best in pictures else pictures[0]
    if video.codec_context is None:
        raise DataError(f"{path}: no decoder for its video stream; convert it to H.264 first")
    width, height = video.codec_context.width, video.codec_context.height
    if width * height > _MAX_PIXELS:
        raise DataError(f"{path}: {width}x{height} is more than {_MAX_PIXELS} pixels a frame")
    video.thread_type = "AUTO"
    return video


def _first_frame(path: Path, container: Any, video: Any) -> Any:
    """Decode one frame, then go back to the start."""
    import av

    with (
        _damaged(path),
        av.open(
            f"file:{path}",
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as probe,
    ):
        first = next(probe.decode(probe.streams[video.index]), None)
    if first is None:
        raise DataError(f"{path}: holds no video frame")
    return first


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    for data in side_data(frame):
        if data.type.name == "DISPLAYMATRIX":
            return tuple(int(value) for value in np.frombuffer(bytes(data), np.int32))
    return None


def side_data(frame: Any) -> list[Any]:
    """Return a frame's side data, or none where PyAV has no name for a kind among them."""
    try:
        return list(frame.side_data)
    except ValueError:
        return []


def _siting(container: Any, video: Any) -> Siting:
    """Return where 4:2:0 chroma sits: what the stream says, else what its codec defines.

    PyAV has no attribute for it; libavformat's description of the stream names it.
    """
    import av.logging

    level = av.logging.get_level()
    av.logging.set_libav_level(av.logging.VERBOSE)
    av.logging.set_level(av.logging.VERBOSE)
    try:
        text = container.dumps_format()
    finally:
        av.logging.set_level(level)
        av.logging.set_libav_level(av.logging.INFO)
    line = re.search(rf"Stream #0:{video.index}\b[^\n]*", text)
    for siting in SITINGS:
        if line and re.search(rf"[(, ]{siting}[,)]", line[0]):
            return siting
    return "center" if video.codec_context.name in _CENTRED else "left"
