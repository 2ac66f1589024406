"""Video files, decoded frame by frame to 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import DataError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts", ".mpg", ".mpeg", ".y4m", ".gif"}
)

#: Below this many bits a pixel the codec's noise is worth halving away before training.
CLEAN_BITS_PER_PIXEL = 0.5


def is_video(path: Path) -> bool:
    """Whether the file's suffix is one of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_frames(path: Path, every: int = 1) -> Iterator[NDArray[np.uint8]]:
    """Yield every `every`-th frame as RGB (H, W, 3), 0 to 255, in display order.

    Raises:
        DataError: the file is not a video, is damaged, or holds no frame.
    """
    from av.error import FFmpegError

    try:
        with _open(path) as container:
            if not container.streams.video:
                raise DataError(f"{path}: holds no video stream")
            count = 0
            for count, frame in enumerate(container.decode(video=0), start=1):
                if (count - 1) % every == 0:
                    yield _to_rgb(frame)
            if count == 0:
                raise DataError(f"{path}: holds no video frame")
    except (FFmpegError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a video ({error})") from error


def _open(path: Path) -> Any:
    """Open a local file; what it names elsewhere (a playlist may) is not followed."""
    import av

    return av.open(f"file:{path}", options={"protocol_whitelist": "file"})


def _to_rgb(frame: Any) -> NDArray[np.uint8]:
    if frame.format.name in ("gbrp", "rgb24", "bgr0", "bgra", "rgba", "argb", "gbrap", "0rgb"):
        return np.asarray(frame.to_ndarray(format="rgb24"))
    return np.asarray(
        frame.reformat(format="rgb24", src_colorspace=_colourspace(frame)).to_ndarray()
    )


def _colourspace(frame: Any) -> int:
    """Return the matrix a frame names, or the usual one for its height when it names none."""
    unspecified = 2
    if int(frame.colorspace) != unspecified:
        return int(frame.colorspace)
    bt709, bt601 = 1, 5
    return bt709 if frame.height >= 720 else bt601


def bits_per_pixel(path: Path) -> float:
    """Return the file's compressed bits a pixel a frame: how clean its frames are.

    Raises:
        DataError: the file is not a video.
    """
    from av.error import FFmpegError

    try:
        with _open(path) as container:
            if not container.streams.video:
                raise DataError(f"{path}: holds no video stream")
            stream = container.streams.video[0]
            frames = bytes_ = 0
            for packet in container.demux(stream):
                if packet.size:
                    frames += 1
                    bytes_ += packet.size
            pixels = stream.codec_context.width * stream.codec_context.height * frames
            return 8.0 * float(bytes_) / float(max(pixels, 1))
    except (FFmpegError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a video ({error})") from error


def halve(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the frame (H, W, 3) at half size, each pixel the mean of four."""
    height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
    quads = frame[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    half: NDArray[np.uint8] = ((quads.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    return half


def back_and_forth(length: int, frames: int) -> Iterator[int]:
    """Yield `frames` positions in a clip of `length` that never jump: 0 … n-1 … 0 …"""
    period = max(1, 2 * (length - 1))
    for frame in range(frames):
        at = frame % period
        yield min(at, period - at)
