"""What a folder of test or calibration data holds: single pictures, and clips.

A video is a clip. So are the pictures that lie directly in one folder when there are two or more,
their names differ in one number only, the numbers follow on one another without a gap, and all
have one size: `city/0001.png`, `city/0002.png`, …
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import is_video, read_frames
from edgevsr.data.images import is_image, read_rgb
from edgevsr.errors import DataError

_DIGITS = re.compile(r"(\d{1,9})")


@dataclass(frozen=True)
class Clip:
    """Frames that follow on one another: one video, or numbered pictures in order.

    `name` is the path below the data without extension; `labels` names each picture, and is empty
    for a video.
    """

    name: str
    files: tuple[Path, ...]
    labels: tuple[str, ...] = ()

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Yield every frame as RGB (H, W, 3), 0 to 255.

        Raises:
            DataError: a frame cannot be read, or differs in size from the first.
        """
        size = None
        source = map(read_rgb, self.files) if self.labels else read_frames(self.files[0])
        for number, frame in enumerate(source, start=1):
            size = size or frame.shape
            if frame.shape != size:
                raise DataError(
                    f"{self.files[0]}: frame {number} is {frame.shape[1]}x{frame.shape[0]}, the "
                    f"clip began with {size[1]}x{size[0]}; cut the clip there"
                )
            yield frame


def list_media(data: Path) -> list[Path]:
    """Return the pictures and videos below a folder (or the one file given), sorted by path.

    Raises:
        DataError: there is none, or the path does not exist.
    """
    if data.is_file():
        if not (is_image(data) or is_video(data)):
            raise DataError(f"{data}: expected an image, a video or a folder of them")
        return [data]
    if not data.is_dir():
        raise DataError(f"{data}: no such folder or file")
    files = (path for path in data.rglob("*") if path.is_file())
    found = sorted(path for path in files if is_image(path) or is_video(path))
    if not found:
        raise DataError(f"{data}: holds no image and no video")
    return found


def group_clips(data: Path, files: Sequence[Path]) -> list[Path | Clip]:
    """Return the files that `list_media` found, those that make a clip brought together."""
    numbered = _numbered_folders(data, files)
    found: list[Path | Clip] = []
    for path in files:
        if is_video(path):
            found.append(Clip(_below(data, path.with_suffix("")), (path,)))
        elif path.parent not in numbered:
            found.append(path)
        elif (clip := numbered[path.parent]) not in found:
            found.append(clip)
    return found


def _numbered_folders(data: Path, files: Sequence[Path]) -> dict[Path, Clip]:
    folders: dict[Path, list[Path]] = {}
    for path in files:
        if is_image(path):
            folders.setdefault(path.parent, []).append(path)
    clips = {}
    for folder, pictures in folders.items():
        ordered = _in_order(pictures)
        if ordered and len({_size(path) for path in ordered}) == 1:
            labels = tuple(_below(data, path) for path in ordered)
            name = folder.name if folder == data else _below(data, folder)
            clips[folder] = Clip(name, tuple(ordered), labels)
    return clips


def _in_order(pictures: Sequence[Path]) -> list[Path]:
    """Return pictures by number, or nothing where they are not numbered one after another."""
    names = [(*_DIGITS.split(path.stem), path.suffix) for path in pictures]
    if len(pictures) < 2 or len({len(parts) for parts in names}) > 1:
        return []
    differ = [index for index, parts in enumerate(zip(*names, strict=True)) if len({*parts}) > 1]
    # Splitting at numbers leaves text at even places and the numbers at odd ones.
    if len(differ) != 1 or differ[0] % 2 == 0:
        return []
    ordered = sorted((int(n[differ[0]]), path) for n, path in zip(names, pictures, strict=True))
    follows = all(later[0] == earlier[0] + 1 for earlier, later in pairwise(ordered))
    return [path for _, path in ordered] if follows else []


def _size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the picture's header, (0, 0) where it has none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return int(image.width), int(image.height)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0, 0  # reading it will say what is wrong


def _below(data: Path, path: Path) -> str:
    if data.is_dir():
        return path.relative_to(data).as_posix()
    return path.name
