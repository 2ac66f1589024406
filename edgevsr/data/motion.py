"""Clips from still pictures: a camera that moves smoothly, and something in its way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rng = np.random.Generator

_SLIDES = 0.5
_OCCLUDED = 0.3
_FASTEST_PX = 8.0
_FASTEST_TURN = math.radians(0.4)
_FASTEST_ZOOM = 0.006


@dataclass(frozen=True)
class _Path:
    """Where the camera stands at each frame: centre in pixels, angle, and zoom factor."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    zoom: NDArray[np.float64]


def moving_clip(
    picture: NDArray[np.uint8], other: NDArray[np.uint8], side: int, frames: int, seed: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield `frames` views (side, side, 3), 0 to 255, of a picture under a moving camera.

    Half of the clips slide by whole pixels, which costs no sharpness and is a fraction of an LR
    pixel all the same; the others slide, turn and zoom by any amount, interpolated bicubically.
    In some, a piece of `other` moves across. Beyond its edges a picture is mirrored.
    """
    rng = np.random.default_rng(seed)
    slides = rng.random() < _SLIDES
    path = _path(rng, picture.shape, frames, turning=not slides)
    occluder = _Occluder.draw(rng, other, side, frames) if rng.random() < _OCCLUDED else None
    reach = side // 2 + int(max(np.abs(np.diff(path.x)).sum(), np.abs(np.diff(path.y)).sum())) + 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    source = Image.fromarray(padded)
    for index in range(frames):
        x, y = path.x[index] + reach, path.y[index] + reach
        if slides:
            left, top = round(x) - side // 2, round(y) - side // 2
            view = padded[top : top + side, left : left + side].copy()
        else:
            view = _view(source, (x, y), path.angle[index], path.zoom[index], side)
        if occluder:
            occluder.cover(view, index)
        yield view


def _path(rng: Rng, shape: tuple[int, ...], frames: int, *, turning: bool) -> _Path:
    """Return a path around the picture's middle, with a speed that changes slowly."""
    time: NDArray[np.float64] = np.arange(frames, dtype=np.float64) - (frames - 1) / 2
    heading, speed = rng.uniform(0, 2 * math.pi), _FASTEST_PX * rng.random() ** 1.5
    sway = rng.uniform(0, 2.0, 2) * np.sin(
        time[:, None] * rng.uniform(0.1, 0.6, 2) + rng.uniform(0, 2 * math.pi, 2)
    )
    height, width = shape[:2]
    turn, zoom = rng.uniform(-_FASTEST_TURN, _FASTEST_TURN), rng.uniform(-1, 1) * _FASTEST_ZOOM
    return _Path(
        x=width * rng.uniform(0.3, 0.7) + math.cos(heading) * speed * time + sway[:, 0],
        y=height * rng.uniform(0.3, 0.7) + math.sin(heading) * speed * time + sway[:, 1],
        angle=time * float(turn * turning),
        zoom=np.exp(time * float(zoom * turning)),
    )


def _view(
    source: Image.Image, centre: tuple[float, float], angle: float, zoom: float, side: int
) -> NDArray[np.uint8]:
    """Return the square view around `centre`, turned by `angle` and 1/zoom as wide."""
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    half = side / 2
    x, y = centre
    matrix = (
        cosine, sine, x - half * (cosine + sine),
        -sine, cosine, y - half * (cosine - sine),
    )  # fmt: skip
    view = source.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.array(view)


@dataclass(frozen=True)
class _Occluder:
    """An ellipse cut from a picture that crosses the view by whole pixels."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    places: NDArray[np.int64]

    @staticmethod
    def draw(rng: Rng, picture: NDArray[np.uint8], side: int, frames: int) -> _Occluder:
        """Return a random piece of `picture`, at most half as wide as the view, and its way."""
        height, width = (
            int(min(limit, side * rng.uniform(0.15, 0.5))) for limit in picture.shape[:2]
        )
        top = rng.integers(0, picture.shape[0] - height + 1)
        left = rng.integers(0, picture.shape[1] - width + 1)
        rows = (np.arange(height) + 0.5) / height * 2 - 1
        columns = (np.arange(width) + 0.5) / width * 2 - 1
        mask = rows[:, None] ** 2 + columns**2 < 1.0
        time = np.arange(frames)[:, None] - rng.uniform(0, frames)
        velocity = rng.uniform(-_FASTEST_PX, _FASTEST_PX, 2)
        places = np.round(rng.uniform(0.2, 0.8, 2) * side + velocity * time).astype(np.int64)
        pixels = picture[top : top + height, left : left + width]
        return _Occluder(pixels, mask, places - np.array([height // 2, width // 2]))

    def cover(self, view: NDArray[np.uint8], index: int) -> None:
        """Lay the piece over the view of one frame."""
        top, left = (int(place) for place in self.places[index])
        height, width = self.mask.shape
        rows = slice(max(-top, 0), max(min(height, view.shape[0] - top), 0))
        columns = slice(max(-left, 0), max(min(width, view.shape[1] - left), 0))
        mask = self.mask[rows, columns]
        if not mask.size:
            return
        area = view[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
        area[mask] = self.pixels[rows, columns][mask]
