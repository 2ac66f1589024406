"""Calibration frames: LR frames as the device will see them, used as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import is_video, read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import round_u8
from edgevsr.data.images import list_images, read_rgb
from edgevsr.errors import DataError

Frame = NDArray[np.float32]

#: Fewer pictures than this say too little about the ranges of activations.
MIN_FRAMES = 4
MAX_FRAMES = 48
_MAX_SIDE = 144
_MIN_SIDE = 16


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
    usable = [_centre(picture) for picture in pictures if min(picture.shape[:2]) >= _MIN_SIDE]
    if len(usable) < MIN_FRAMES:
        raise DataError(
            f"{path}: {len(usable)} frames of at least {_MIN_SIDE}x{_MIN_SIDE}; calibration needs "
            f"{MIN_FRAMES} or more LR frames of what the device will see"
        )
    return [_as_input(picture, channels) for picture in usable]


def _count(path: Path) -> int:
    return sum(1 for _ in read_frames(path))


def _centre(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - _MAX_SIDE) // 2) for side in picture.shape[:2])
    return picture[top : top + _MAX_SIDE, left : left + _MAX_SIDE]


def _as_input(picture: NDArray[np.uint8], channels: int) -> Frame:
    if channels == 1:
        picture = round_u8(rgb_to_y(picture))[..., None]
    return picture.astype(np.float32) / np.float32(255.0)
