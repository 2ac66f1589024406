"""LR/HR pairs of whole pictures and clips, made once and kept on disk, read by random patches."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import CLEAN_BITS_PER_PIXEL, bits_per_pixel, halve, is_video, read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import Degradation, crop_to_multiple, degrade, imresize, round_u8
from edgevsr.data.images import is_image, read_rgb
from edgevsr.data.motion import moving_clip
from edgevsr.errors import DataError
from edgevsr.progress import progress
from edgevsr.spec import Colour

_VERSION = 2
#: Luma is kept in 1/256 of an 8-bit step, so its rounding is far below what training can see.
_LUMA_STEPS = 256
_FRAME_STRIDE = 10
_JPEG = (".jpg", ".jpeg")
_LONGEST_CLIP = 60
_CLIP_SIDE = 256
_SMALLEST = 8

#: LR and HR of one frame.
View = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pairs:
    """Aligned pictures: `lr[offset : offset + h*w*c]` and likewise for `hr`.

    `sizes` holds (lr_height, lr_width) of each picture; `clips` the first picture and the number
    of frames of each clip, a still being a clip of one; `unit` is the stored value of 1.0.
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    clips: NDArray[np.int64]
    lr: NDArray[Any]
    hr: NDArray[Any]
    scale: int
    channels: int
    unit: float

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return views of one picture: LR (h, w, C) and HR (h·scale, w·scale, C), raw values."""
        height, width = (int(side) for side in self.sizes[index])
        start = self.start(index) * self.channels
        pixels = height * width * self.channels
        lr = self.lr[start : start + pixels].reshape(height, width, self.channels)
        area, s = self.scale**2, self.scale
        hr = self.hr[start * area : (start + pixels) * area]
        return lr, hr.reshape(height * s, width * s, self.channels)

    @property
    def pixels(self) -> int:
        """The LR pixels of all pictures."""
        return int(self._ends[-1])

    def start(self, index: int) -> int:
        """Return the LR pixels of all pictures before this one."""
        return int(self._ends[index - 1]) if index else 0

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        ends: NDArray[np.int64] = np.cumsum(self.sizes[:, 0] * self.sizes[:, 1])
        return ends


def find_media(paths: Sequence[Path]) -> list[Path]:
    """Return every picture and video among `paths` and below the folders in it, sorted.

    Raises:
        DataError: a path does not exist, or nothing was found.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(p for p in path.rglob("*") if is_image(p) or is_video(p))
        elif path.is_file() and (is_image(path) or is_video(path)):
            found.add(path)
        else:
            raise DataError(f"{path}: expected a folder, an image or a video")
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: no image or video found there")
    return sorted(found)


def default_cache() -> Path:
    """Return the folder where pairs are kept: $XDG_CACHE_HOME/edgevsr or ~/.cache/edgevsr."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "edgevsr"


def load_pairs(
    media: Sequence[Path],
    scale: int,
    colour: Colour,
    degradation: Degradation,
    cache: Path | None = None,
    frames: int = 1,
    shrink: Sequence[float] = (),
    shrink_jpeg: Sequence[float] = (),
) -> Pairs:
    """Return the pairs of these files, from the cache when they are there, else made now.

    With `frames` above one, videos keep their frames in order and stills become clips of that
    many frames under a moving camera. Stills come at these parts of their size (`shrink`) too,
    JPEGs at those of `shrink_jpeg` alone where there are any: what the codec left fades there.

    Raises:
        DataError: a file cannot be read, or none is large enough.
    """
    how = degradation, frames, shrink, shrink_jpeg
    key = pairs_key(media, scale, colour, *how)
    folder = (cache or default_cache()) / key
    if not (folder / "index.json").is_file():
        _build(folder, degraded_clips(media, scale, *how), colour)
    index = json.loads((folder / "index.json").read_text())
    return Pairs(
        names=tuple(index["names"]),
        sizes=np.array(index["sizes"], np.int64).reshape(-1, 2),
        clips=np.array(index["clips"], np.int64).reshape(-1, 2),
        lr=np.load(folder / "lr.npy", mmap_mode="r"),
        hr=np.load(folder / "hr.npy", mmap_mode="r"),
        scale=scale,
        channels=1 if colour == "y" else 3,
        unit=255.0 * (_LUMA_STEPS if colour == "y" else 1),
    )


def pairs_key(
    media: Sequence[Path],
    scale: int,
    colour: str,
    degradation: str,
    frames: int,
    shrink: Sequence[float] = (),
    shrink_jpeg: Sequence[float] = (),
) -> str:
    """Return what the pairs of these files are kept under."""
    made = f"{_VERSION} {scale} {colour} {degradation} {_FRAME_STRIDE} {frames}"
    made += "".join(f" {part}" for part in shrink)
    made += "".join(f" jpeg {part}" for part in shrink_jpeg)
    digest = hashlib.sha256(made.encode())
    for path in media:
        stat = path.stat()
        digest.update(f"\n{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def _clips(
    media: Sequence[Path], frames: int, shrink: Sequence[float], shrink_jpeg: Sequence[float]
) -> Iterator[tuple[float, str, Iterator[NDArray[np.uint8]]]]:
    """Yield (part of the files behind, name, frames) of each clip, a still being a clip of one."""
    covers: dict[float, NDArray[np.uint8]] = {}
    for number, path in enumerate(media):
        done = number / len(media)
        if is_video(path):
            noisy = bits_per_pixel(path) < CLEAN_BITS_PER_PIXEL
            shots = read_frames(path, every=_FRAME_STRIDE if frames == 1 else 1)
            clean = (halve(frame) if noisy else frame for frame in shots)
            if frames == 1:
                yield from ((done, f"{path.name}#{i}", iter([f])) for i, f in enumerate(clean))
            else:
                yield done, path.name, itertools.islice(clean, _LONGEST_CLIP)
            continue
        whole = read_rgb(path)
        is_jpeg = path.suffix.lower() in _JPEG
        for part in shrink_jpeg if is_jpeg and shrink_jpeg else (1.0, *shrink):
            picture = whole if part == 1.0 else round_u8(imresize(whole, part))
            name = path.name if part == 1.0 else f"{path.name}@{part}"
            if frames == 1:
                yield done, name, iter([picture])
                continue
            side = min(_CLIP_SIDE, *picture.shape[:2])
            cover = covers.get(part, picture)
            for take in range(max(1, round(picture.size / 3 / (1.5 * side**2)))):
                seed = zlib.crc32(f"{name}#{take}".encode())
                yield done, f"{name}#{take}", moving_clip(picture, cover, side, frames, seed)
            covers[part] = picture


def degraded_clips(
    media: Sequence[Path],
    scale: int,
    degradation: Degradation,
    frames: int,
    shrink: Sequence[float] = (),
    shrink_jpeg: Sequence[float] = (),
) -> Iterator[tuple[float, str, Iterator[View]]]:
    """Yield (part of the files behind, name, views) of each clip that pairs are made of, in order.

    A view is 8-bit RGB: LR (h, w, 3) and HR (h·scale, w·scale, 3). Stills and the moving camera
    over them come out the same every time. A clip may be empty: its frames are too small.
    """
    for done, name, shots in _clips(media, frames, shrink, shrink_jpeg):
        yield done, name, _views(shots, scale, degradation)


def _views(
    shots: Iterator[NDArray[np.uint8]], scale: int, degradation: Degradation
) -> Iterator[View]:
    for rgb in shots:
        hr = crop_to_multiple(rgb, scale)
        if min(hr.shape[:2]) < _SMALLEST * scale:
            return
        yield degrade(hr, scale, degradation), hr


def _stored(rgb: NDArray[np.uint8], colour: Colour) -> NDArray[Any]:
    if colour == "rgb":
        return rgb
    return np.round(rgb_to_y(rgb) * _LUMA_STEPS).astype(np.uint16)


def _build(
    folder: Path,
    clips: Iterator[tuple[float, str, Iterator[View]]],
    colour: Colour,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    spans: list[tuple[int, int]] = []
    try:
        with (
            (building / "lr.raw").open("wb") as lr_file,
            (building / "hr.raw").open("wb") as hr_file,
            progress("preparing data", 100) as bar,
        ):
            shown = 0.0
            for done, name, views in clips:
                bar.advance(100 * done - shown)
                shown, first = 100 * done, len(names)
                for lr, hr in views:
                    lr_file.write(_stored(lr, colour).tobytes())
                    hr_file.write(_stored(hr, colour).tobytes())
                    names.append(name)
                    sizes.append((lr.shape[0], lr.shape[1]))
                if len(names) > first:
                    spans.append((first, len(names) - first))
        if not names:
            raise DataError(f"no picture is at least {_SMALLEST} LR pixels wide and high")
        dtype = np.uint16 if colour == "y" else np.uint8
        for part in ("lr", "hr"):
            np.save(building / f"{part}.npy", np.memmap(building / f"{part}.raw", dtype, "r"))
            (building / f"{part}.raw").unlink()
        index = {"names": names, "sizes": sizes, "clips": spans}
        (building / "index.json").write_text(json.dumps(index))
        if not folder.exists():
            building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
