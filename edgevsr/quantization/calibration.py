"""Calibration frames: LR frames as the device will see them, used as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import back_and_forth, is_video, read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import round_u8
from edgevsr.data.images import list_images, read_rgb
from edgevsr.data.listing import Clip, group_clips, list_media
from edgevsr.errors import DataError
from edgevsr.graph.ir import Graph
from edgevsr.graph.streaming import is_recurrent

Frame = NDArray[np.float32]

#: Fewer pictures than this say too little about the ranges of activations.
MIN_FRAMES = 4
MAX_FRAMES = 48
#: Frames in a row that a recurrent network is calibrated on: its state has settled by then.
RUN_FRAMES = 12
_MAX_SIDE = 144
_MIN_SIDE = 16


def load_for(graph: Graph, path: Path) -> list[Frame]:
    """Return what the graph is calibrated on: frames, or clips where it is recurrent.

    Raises:
        DataError: the path holds too little of them.
    """
    load = load_clips if is_recurrent(graph) else load_calibration
    return load(path, graph.channels)


def load_calibration(path: Path, channels: int, limit: int = MAX_FRAMES) -> list[Frame]:
    """Return up to `limit` LR frames (H, W, C) in [0, 1], spread evenly over a folder or video.

    One channel is luma rounded to 8 bits, as a decoder delivers it; three are RGB. Each frame is
    cut to its central 144×144 pixels.

    Raises:
        DataError: the path holds no pictures, or fewer than four usable ones.
    """
    if path.is_file() and is_video(path):
        pictures = list(read_frames(path, every=max(1, _count(path) // limit)))[:limit]
    else:
        files = list_images(path)
        chosen = np.unique(np.linspace(0, len(files) - 1, limit).astype(int))
        pictures = [read_rgb(files[i]) for i in chosen]
    usable = [_centre(picture) for picture in pictures if _is_usable(picture)]
    if len(usable) < MIN_FRAMES:
        raise DataError(
            f"{path}: {len(usable)} frames of at least {_MIN_SIDE}x{_MIN_SIDE}; calibration needs "
            f"{MIN_FRAMES} or more LR frames of what the device will see"
        )
    return [_as_input(picture, channels) for picture in usable]


def load_clips(path: Path, channels: int, limit: int = MAX_FRAMES) -> list[Frame]:
    """Return runs of LR frames (T, H, W, C) in [0, 1], up to `limit` frames in all.

    The path is a video, a folder of numbered frames, or a folder of those. A run is 12 frames in a
    row, or the whole of a shorter clip; runs are spread evenly over the clips and their lengths.
    Frames are as `load_calibration` makes them.

    Raises:
        DataError: the path holds no clip, or fewer than four usable frames.
    """
    clips = [found for found in group_clips(path, list_media(path)) if isinstance(found, Clip)]
    if not clips:
        raise DataError(
            f"{path}: holds no clip, and a recurrent network is calibrated on frames in order; "
            "give a video, or folders of numbered frames of one size"
        )
    wanted = max(1, limit // RUN_FRAMES)
    if len(clips) > wanted:
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, wanted).astype(int)]
    shares = [wanted // len(clips) + (i < wanted % len(clips)) for i in range(len(clips))]
    runs = [
        np.stack([_as_input(picture, channels) for picture in run])
        for clip, share in zip(clips, shares, strict=True)
        for run in _runs(clip, share)
    ]
    if sum(map(len, runs)) < MIN_FRAMES:
        raise DataError(
            f"{path}: {sum(map(len, runs))} frames in clips of at least {_MIN_SIDE}x{_MIN_SIDE}; "
            f"calibration needs {MIN_FRAMES} or more LR frames of what the device will see"
        )
    return runs


def load_stream(path: Path, channels: int, frames: int) -> list[NDArray[np.uint8]]:
    """Return LR frames (H, W, C) of 8 bits in a row: the path's first clip, played back and forth
    until there are `frames`, each cut as `load_calibration` cuts them.

    Raises:
        DataError: the path holds no clip of frames of 16×16 pixels or more.
    """
    clips = [found for found in group_clips(path, list_media(path)) if isinstance(found, Clip)]
    if not clips:
        raise DataError(f"{path}: holds no clip; give a video, or a folder of numbered frames")
    found = list(islice(clips[0].frames(), frames))
    if not found or not all(map(_is_usable, found)):
        raise DataError(f"{path}: holds no frame, or some below {_MIN_SIDE}x{_MIN_SIDE}")
    cut = [_to_channels(_centre(frame), channels) for frame in found]
    return [cut[i] for i in back_and_forth(len(cut), frames)]


def _runs(clip: Clip, count: int) -> Iterator[Sequence[NDArray[np.uint8]]]:
    """Yield up to `count` runs of frames, spread over a clip that is read twice, not held."""
    length = sum(1 for _ in clip.frames())
    count = min(count, max(1, length // RUN_FRAMES))
    starts = np.linspace(0, max(0, length - RUN_FRAMES), count).astype(int)
    runs: list[list[NDArray[np.uint8]]] = [[] for _ in starts]
    for number, frame in enumerate(clip.frames()):
        for start, run in zip(starts, runs, strict=True):
            if start <= number < start + RUN_FRAMES and _is_usable(frame):
                run.append(_centre(frame))
    yield from (run for run in runs if run)


def _count(path: Path) -> int:
    return sum(1 for _ in read_frames(path))


def _is_usable(picture: NDArray[np.uint8]) -> bool:
    return bool(min(picture.shape[:2]) >= _MIN_SIDE)


def _centre(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - _MAX_SIDE) // 2) for side in picture.shape[:2])
    return picture[top : top + _MAX_SIDE, left : left + _MAX_SIDE]


def _as_input(picture: NDArray[np.uint8], channels: int) -> Frame:
    return _to_channels(picture, channels).astype(np.float32) / np.float32(255.0)


def _to_channels(picture: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    return round_u8(rgb_to_y(picture))[..., None] if channels == 1 else picture
