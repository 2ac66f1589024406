"""A video file being written: the SR frames, and everything of the source that it can hold."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgevsr.errors import OutputError, SpecError
from edgevsr.video.encoders import Encoder
from edgevsr.video.paths import Target
from edgevsr.video.source import VideoSource

#: What libavformat says of the source's container, not of its content.
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
#: Counts that the source's video had and the new one has not.
_STALE_TAGS = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS", "encoder", "ENCODER")

_MOV = (".mp4", ".m4v", ".mov")
_MATROSKA = (".mkv", ".webm")
#: Their own stream says the sample aspect ratio. PyAV has no way to tell it to Matroska's header.
_SAYS_ASPECT = frozenset({"libx264", "libx265"})

#: MPEG-TS takes any stream as private data that nothing plays; these it has a type for.
_TS_HOLDS = frozenset(
    {
        "aac", "aac_latm", "ac3", "dca", "dts", "dvb_teletext", "dvbsub", "dvb_subtitle", "eac3",
        "mp1", "mp2", "mp3", "mp3float", "mp2float", "opus", "libopus", "truehd",
    }
)  # fmt: skip


class VideoSink:
    """Encodes and muxes; use it as a context, and call `finish` at the end.

    `dropped` names what of the source this container cannot hold.
    """

    def __init__(self, path: Path, source: VideoSource, target: Target, encoder: Encoder) -> None:
        import av

        self.path = path
        self._source = source
        self._finished = False
        self._container = av.open(
            f"file:{path}", "w", container_options=_muxer_options(path, source)
        )
        self.dropped: list[str] = []
        with contextlib.ExitStack() as stack:
            stack.push(self)
            self._video = self._add_video(target, encoder)
            self._copies = dict(self._add_copies())
            self._add_metadata()
            with _encoding(encoder.name):
                self._container.start_encoding()
            stack.pop_all()

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(self, *_: object) -> None:
        from av.error import FFmpegError

        if self._finished:
            return
        # The file is given up: what its trailer meets does not matter any more.
        with contextlib.suppress(FFmpegError, ValueError):
            self._container.close()

    def finish(self) -> None:
        """Write what the encoder still holds, and the file's end."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        self._finished = True

    @property
    def copied(self) -> tuple[int, ...]:
        """Indices of the source's streams that are copied as they are."""
        return tuple(self._copies)

    def write_packet(self, packet: Any) -> None:
        """Mux one packet of a copied stream."""
        packet.stream = self._copies[packet.stream_index]
        self._container.mux(packet)

    def write_frame(self, frame: Any) -> None:
        """Encode one frame and mux what comes of it."""
        self._container.mux(self._video.encode(frame))

    def _add_video(self, target: Target, encoder: Encoder) -> Any:
        from av.codec.context import Flags

        source, suffix = self._source, self.path.suffix.lower()
        if encoder.name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no option for it
        options = dict(encoder.options)
        if target.siting != "left":
            options["chroma_sample_location"] = target.siting
        try:
            stream = self._container.add_stream(encoder.name, rate=source.rate, options=options)
        except ValueError as error:
            raise SpecError(
                f"{self.path.suffix} cannot hold {encoder.name}; use .mkv, or another --codec"
            ) from error
        context = stream.codec_context
        context.width, context.height = target.size
        context.pix_fmt = encoder.pixel_format
        context.time_base = stream.time_base = source.time_base
        aspect = context.sample_aspect_ratio = source.video.sample_aspect_ratio or 0
        context.color_range = target.tags.range
        context.colorspace = target.tags.matrix
        context.color_primaries = target.tags.primaries
        context.color_trc = target.tags.transfer
        context.flags |= Flags.frame_duration
        if source.display_matrix is not None:
            stream.set_display_matrix(source.display_matrix)
            if suffix == ".ts":
                self.dropped.append("rotation")
        if suffix not in _MOV and encoder.name not in _SAYS_ASPECT and (aspect or 1) != 1:
            self.dropped.append(f"sample aspect ratio {aspect} with {encoder.name}")
        stream.disposition = source.video.disposition
        stream.metadata.update(
            {
                key: value
                for key, value in source.video.metadata.items()
                if not key.startswith(_STALE_TAGS)
            }
        )
        return stream

    def _add_copies(self) -> Iterator[tuple[int, Any]]:
        for old in self._source.others():
            if _is_chapter_track(old, self._source):
                continue
            if not _can_hold(self._container.format.name, old):
                self.dropped.append(_name(old))
                continue
            new = self._container.add_stream_from_template(old)
            new.disposition = old.disposition
            new.metadata.update(old.metadata)
            yield old.index, new

    def _add_metadata(self) -> None:
        source = self._source.container
        self._container.metadata.update(
            {key: value for key, value in source.metadata.items() if key not in _CONTAINER_TAGS}
        )
        chapters = source.chapters()
        if not chapters:
            return
        if self.path.suffix.lower() == ".ts":
            self.dropped.append(f"{len(chapters)} chapters")
        else:
            self._container.set_chapters(chapters)


def _muxer_options(path: Path, source: VideoSource) -> dict[str, str]:
    suffix = path.suffix.lower()
    if suffix in _MOV:
        # libavformat makes coarse time bases finer; the source's own stays.
        return {"video_track_timescale": str(source.time_base.denominator)}
    if suffix in _MATROSKA:
        # Sound that begins with an encoder's padding starts before 0, and Matroska can say so; by
        # default libavformat would move every frame later instead.
        return {"avoid_negative_ts": "disabled"}
    return {}


@contextlib.contextmanager
def _encoding(name: str) -> Iterator[None]:
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise OutputError(
            f"encoder {name} did not start ({error.strerror}); try --codec libx264, or an output "
            "named .mkv"
        ) from error


def _is_chapter_track(stream: Any, source: VideoSource) -> bool:
    """Whether the stream only spells out chapters, which the new container writes anew."""
    is_mov = "mov" in source.container.format.name.split(",")
    return stream.type == "data" and is_mov and bool(source.container.chapters())


def _can_hold(format_name: str, stream: Any) -> bool:
    """Whether a container takes a stream as it is: found by writing a header with it alone."""
    import av
    from av.error import FFmpegError

    if stream.type in ("data", "unknown"):
        return False
    if format_name == "mpegts" and (
        stream.codec_context is None or stream.codec_context.codec.canonical_name not in _TS_HOLDS
    ):
        return False
    try:
        with av.open(io.BytesIO(), "w", format=format_name) as trial:
            copy = trial.add_stream_from_template(stream, opaque=True)
            copy.disposition = stream.disposition
            copy.metadata.update(stream.metadata)
            trial.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def _name(stream: Any) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
    language = f", {stream.language}" if stream.language else ""
    return f"{stream.type} stream {stream.index} ({codec}{language})"
