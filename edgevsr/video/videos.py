"""A whole video from file to file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import OutputError
from edgevsr.files import atomic_path
from edgevsr.progress import Bar, progress
from edgevsr.video.encoders import choose_encoder
from edgevsr.video.paths import FramePath, Lr, LumaPath, RgbPath, Target
from edgevsr.video.pipeline import LaneSeconds, run_pipeline
from edgevsr.video.planes import colour_tags
from edgevsr.video.sink import VideoSink
from edgevsr.video.source import Step, VideoSource

SuperResolve = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
#: Wraps what feeds the net, given how to see an item's pixels; for nets that look at later frames.
Ahead = Callable[[Iterable[Any], Callable[[Any], NDArray[np.uint8] | None]], Iterable[Any]]


@dataclass(frozen=True)
class VideoReport:
    """What was written, how long each part worked, and what the output could not hold."""

    frames: int
    seconds: LaneSeconds
    dropped: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class _Work:
    """What travels through the pipeline: packets to copy, and a frame on its way."""

    packets: tuple[Any, ...]
    lr: Lr | None
    sr: NDArray[np.uint8] | None = None


def upscale_video(
    source: VideoSource,
    output: Path,
    net: SuperResolve,
    *,
    channels: int,
    scale: int,
    codec: str | None = None,
    crf: int | None = None,
    force: bool = False,
    ahead: Ahead | None = None,
) -> VideoReport:
    """Write `source` super-resolved to `output`, everything else kept as far as it can hold it.

    `net` maps (H, W, channels) uint8 to `scale` times the size, and runs in one thread. A net that
    looks at later frames brings `ahead`, which runs it where frames are decoded.

    Raises:
        DataError: the source is damaged, ends early or changes its frame size.
        SpecError: the codec, crf or container is not possible.
        OutputError: the output exists or cannot be written.
    """
    size = source.size[0] * scale, source.size[1] * scale
    encoder = choose_encoder(codec, crf, output, size)
    tags = colour_tags(source.first, source.codec)
    target = Target(size, encoder.frame_format, encoder.factors, scale, tags, source.siting)
    path: FramePath = LumaPath(target) if channels == 1 else RgbPath(target)
    with (
        atomic_path(output, force) as temporary,
        _written(output),
        VideoSink(temporary, source, target, encoder) as sink,
        progress("upscale", source.frame_estimate) as bar,
    ):
        counter = _Counter(bar)
        steps: Iterable[_Work] = (_split(step, path) for step in source.steps(sink.copied))
        seconds = run_pipeline(
            steps if ahead is None else ahead(steps, _pixels),
            lambda work: _resolve(work, net),
            lambda work: _encode(work, path, sink, counter),
            sink.finish,
            counter.show,
        )
    how = _how(source, encoder.name, encoder.pixel_format, channels)
    dropped = [*sink.dropped, *_dropped_of_frames(source)]
    return VideoReport(counter.frames, seconds, tuple(dropped), how)


def _split(step: Step, path: FramePath) -> _Work:
    lr = None if step.frame is None else path.split(step.frame, step.pts)
    return _Work(step.packets, lr)


def _pixels(work: _Work) -> NDArray[np.uint8] | None:
    return None if work.lr is None else work.lr.pixels


def _resolve(work: _Work, net: SuperResolve) -> _Work:
    return work if work.lr is None else _Work(work.packets, work.lr, net(work.lr.pixels))


def _encode(work: _Work, path: FramePath, sink: VideoSink, counter: _Counter) -> None:
    for packet in work.packets:
        sink.write_packet(packet)
    if work.lr is not None and work.sr is not None:
        sink.write_frame(path.join(work.lr, work.sr))
        counter.frames += 1


class _Counter:
    """Counts frames in the encoding thread and shows them in the waiting one."""

    def __init__(self, bar: Bar) -> None:
        self.frames = 0
        self._bar = bar
        self._shown = 0
        self._start = time.perf_counter()

    def show(self) -> None:
        new = self.frames - self._shown
        if new:
            self._shown += new
            fps = self._shown / (time.perf_counter() - self._start)
            self._bar.advance(new, f"{fps:.1f} FPS")


class _written:  # noqa: N801 - reads as the context that it is
    """Turns what the encoder or muxer raises into one clear line; a full disk is the caller's."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from av.error import FFmpegError

        if isinstance(error, FFmpegError) and not isinstance(error, OSError):
            raise OutputError(
                f"{self._output}: could not be encoded ({error.strerror}); try another --codec, "
                "or an output named .mkv"
            ) from error


def _how(source: VideoSource, codec: str, pixel_format: str, channels: int) -> str:
    way = "Y through the net, chroma bicubic" if channels == 1 else "through RGB"
    read = source.first.format.name
    bits = source.first.format.components[0].bits
    rounded = f" rounded from {bits} to 8 bits" if bits > 8 else ""
    return f"{read}{rounded}, {way}, {codec} {pixel_format}"


def _dropped_of_frames(source: VideoSource) -> list[str]:
    has_alpha = any(component.is_alpha for component in source.first.format.components)
    return ["alpha of the frames"] if has_alpha else []
