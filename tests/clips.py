"""Small videos that tests write with PyAV, and a net whose output is known by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.ir import Graph
from tests.graphs import Builder, quantized

Values = Callable[[int, int, int, int], NDArray[Any]]  # frame, plane, height, width


def nearest_graph(scale: int = 2, channels: int = 1) -> Graph:
    """Return a net that repeats every pixel `scale` times across and down."""
    b = Builder()
    x = b.input("frame", channels, "frame")
    weight = np.zeros((channels * scale**2, 1, 1, channels), np.float32)
    for position in range(scale**2):
        for channel in range(channels):
            weight[position * channels + channel, 0, 0, channel] = 1.0
    h = b.node(
        "conv2d",
        "spread",
        (x,),
        channels * scale**2,
        attrs={"groups": 1},
        weight=weight,
        bias=np.zeros(channels * scale**2, np.float32),
    )
    sr = b.depth_to_space("sr", h, scale)
    colour = "y" if channels == 1 else "rgb"
    return b.graph((sr, "sr"), net="nearest", scale=scale, colour=colour)


def write_net(path: Path, graph: Graph, int8: bool = False) -> Path:
    """Write a graph as .onnx, float or QDQ."""
    path.write_bytes(onnx_bytes(quantized(graph) if int8 else graph))
    return path


def noise(frame: int, plane: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return blurred noise that differs from frame to frame, 30 to 220."""
    rng = np.random.default_rng(frame * 8 + plane)
    coarse = rng.integers(30, 220, (height // 8 + 2, width // 8 + 2))
    rows = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return rows.astype(np.uint8)


def write_plane(frame: av.VideoFrame, index: int, values: NDArray[Any]) -> None:
    """Fill a plane of a planar frame of any depth up to 16 bits."""
    plane = frame.planes[index]
    dtype = np.uint16 if frame.format.components[index].bits > 8 else np.uint8
    rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
    rows[:, : plane.width] = values


def planar_frame(name: str, size: tuple[int, int], index: int, values: Values) -> av.VideoFrame:
    """Return a planar frame of these values."""
    frame = av.VideoFrame(*size, name)
    for number, plane in enumerate(frame.planes):
        write_plane(frame, number, values(index, number, plane.height, plane.width))
    return frame


def read_plane(frame: av.VideoFrame, index: int) -> NDArray[Any]:
    """Return a plane of a planar frame."""
    plane = frame.planes[index]
    dtype = np.uint16 if frame.format.components[index].bits > 8 else np.uint8
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width].copy()


def decode(path: Path) -> list[av.VideoFrame]:
    """Return every frame of the first video stream."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def seconds_of(path: Path) -> list[Fraction]:
    """Return the exact time of every frame."""
    return [frame.pts * Fraction(frame.time_base) for frame in decode(path)]


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    pts: Sequence[int] = tuple(range(0, 400, 40)),
    time_base: Fraction = Fraction(1, 1000),
    values: Values = noise,
    options: dict[str, str] | None = None,
    tags: dict[str, int] | None = None,
    aspect: Fraction | None = None,
    rotation: int | None = None,
    audio: str | None = None,
    subtitle: str | None = None,
    chapters: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a clip; times are exact, B-frames are what the encoder likes."""
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=25, options=options or {})
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = pixel_format
        context.time_base = stream.time_base = time_base
        for name, value in (tags or {}).items():
            setattr(context, name, value)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        sound = out.add_stream(audio, rate=48000, layout="stereo") if audio else None
        if sound is not None:
            sound.metadata["language"] = "deu"
        text = out.add_stream(subtitle) if subtitle else None
        if text is not None:
            header = "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
            text.codec_context.subtitle_header = header.encode()
            text.metadata["language"] = "fra"
        if chapters:
            out.set_chapters([_chapter(1, 0, 200, "one"), _chapter(2, 200, 400, "two")])
        for index, time in enumerate(pts):
            frame = planar_frame(pixel_format, size, index, values)
            frame.pts, frame.time_base = time, time_base
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            _write_sound(out, sound)
        if text is not None:
            _write_text(out, text)
    return path


def _chapter(number: int, start: int, end: int, title: str) -> Any:
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _write_sound(out: Any, stream: Any) -> None:
    for start in range(0, 19200, 1024):
        wave = np.sin(np.arange(start, start + 1024) / 20)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _write_text(out: Any, stream: Any) -> None:
    from av.subtitles.subtitle import SubtitleSet

    for index, start in enumerate((0, 150)):
        line = f"{index},0,Default,,0,0,0,,line {index}".encode()
        packet = stream.codec_context.encode_subtitle(SubtitleSet.create(line, 0, 100))
        packet.stream = stream
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = 100
        out.mux(packet)
