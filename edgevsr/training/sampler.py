"""Random patches that depend on nothing but seed, step and rank, so any step can be replayed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from edgevsr.data.pairs import Pairs
from edgevsr.errors import DataError
from edgevsr.training.lessons import Lessons

Planes = tuple[np.ndarray, ...]

_CUTS = 0.1
_STANDING = 0.2


class PatchSampler:
    """Draws batches of aligned patches, flipped and rotated; large pictures more often."""

    def __init__(
        self, pairs: Pairs, patch: int, batch: int, seed: int, lessons: Lessons | None = None
    ) -> None:
        usable = [i for i in range(len(pairs)) if int(pairs.sizes[i].min()) >= patch]
        self._pictures = [_planes(pairs, lessons, i) for i in usable]
        areas = (planes[0].shape[0] * planes[0].shape[1] for planes in self._pictures)
        self._edges = _edges(pairs, patch, areas)
        self.pictures = len(usable)
        self._units = _units(pairs, lessons)
        self._patch, self._batch, self._seed = patch, batch, seed

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, ...]:
        """Return LR (N, C, patch, patch) and HR (N, C, patch·scale, patch·scale) in [0, 1].

        After them comes what is kept of a teacher: its SR, and its features (N, F, patch, patch).
        """
        rng = np.random.default_rng([self._seed, step, rank])
        chosen = _choose(rng, self._edges, self._batch)
        places = rng.random((self._batch, 2))
        turns = rng.integers(0, 8, self._batch)
        views = [
            _turn(_crop(self._pictures[index], place, self._patch), int(turn))
            for index, place, turn in zip(chosen, places, turns, strict=True)
        ]
        return _tensors(views, self._units)


class ClipSampler:
    """Draws batches of short clips, each one patch through time, flipped, rotated and reversed.

    A clip shorter than asked for runs back and forth. In a tenth of them the scene is cut, so
    that a network learns to do without a state that no longer fits. Up to `burn_in` frames come
    before those asked for, as many in all clips of a batch; then nothing moves in a fifth of the
    clips, where a network most easily goes on sharpening what it has sharpened before.
    """

    def __init__(
        self,
        pairs: Pairs,
        patch: int,
        batch: int,
        seed: int,
        frames: int,
        lessons: Lessons | None = None,
        burn_in: int = 0,
    ) -> None:
        usable = [
            (int(first), int(count))
            for first, count in pairs.clips
            if count > 1 and int(pairs.sizes[first].min()) >= patch
        ]
        self._clips = [
            [_planes(pairs, lessons, first + i) for i in range(count)] for first, count in usable
        ]
        areas = (clip[0][0].size * min(len(clip), frames) for clip in self._clips)
        self._edges = _edges(pairs, patch, areas)
        self.pictures = len(usable)
        self._units = _units(pairs, lessons)
        self._patch, self._batch, self._seed = patch, batch, seed
        self._frames, self._burn_in = frames, burn_in

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, ...]:
        """Return LR (N, T, C, patch, patch) and HR, `scale` times as large, in [0, 1].

        After them comes what is kept of a teacher: its SR, and its features (N, T, F, patch,
        patch).
        """
        rng = np.random.default_rng([self._seed, step, rank])
        clips, length = [], self._frames
        if self._burn_in:
            length += int(rng.integers(0, self._burn_in + 1))
        for _ in range(self._batch):
            views = self._take(rng, length)
            if self._frames > 2 and rng.random() < _CUTS:
                after, cut = self._take(rng, length), int(rng.integers(1, length))
                views[cut:] = after[cut:]
            clips.append(_tensors(views, self._units))
        return tuple(torch.stack(planes) for planes in zip(*clips, strict=True))

    def _take(self, rng: np.random.Generator, length: int) -> list[Planes]:
        """Return one patch of a random clip over time: LR, HR and more of each frame."""
        clip = self._clips[int(_choose(rng, self._edges, 1)[0])]
        there_and_back = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
        start = int(rng.integers(0, max(len(clip) - length, 0) + 1))
        order = [there_and_back[(start + i) % len(there_and_back)] for i in range(length)]
        if rng.random() < 0.5:
            order.reverse()
        if self._burn_in and rng.random() < _STANDING:
            order = order[:1] * length
        place, turn = rng.random(2), int(rng.integers(0, 8))
        return [_turn(_crop(clip[i], place, self._patch), turn) for i in order]


def _planes(pairs: Pairs, lessons: Lessons | None, index: int) -> Planes:
    pair = pairs.picture(index)
    return pair if lessons is None else (*pair, *lessons.picture(index))


def _units(pairs: Pairs, lessons: Lessons | None) -> tuple[float, ...]:
    """Return the stored value of 1.0 in each plane."""
    units = (pairs.unit, pairs.unit)
    return units if lessons is None else (*units, *lessons.units)


def _edges(pairs: Pairs, patch: int, areas: Iterable[int]) -> np.ndarray:
    """Return where each entry's share of the draws ends, in proportion to its area.

    Raises:
        DataError: there is none.
    """
    shares = np.fromiter(areas, np.float64)
    if not shares.size:
        raise DataError(
            f"no training picture is at least {patch * pairs.scale} pixels high and wide; "
            "use a smaller --patch or larger pictures"
        )
    edges: np.ndarray = np.cumsum(shares / shares.sum())
    return edges


def _choose(rng: np.random.Generator, edges: np.ndarray, count: int) -> np.ndarray:
    return np.minimum(np.searchsorted(edges, rng.random(count)), len(edges) - 1)


def _crop(planes: Planes, place: np.ndarray, patch: int) -> Planes:
    """Return aligned patches of planes (h, w, C), the first LR; `place` is where, from 0 to 1."""
    height, width = planes[0].shape[:2]
    y = int(place[0] * (height - patch + 1))
    x = int(place[1] * (width - patch + 1))
    scales = (plane.shape[0] // height for plane in planes)
    return tuple(
        plane[y * s : (y + patch) * s, x * s : (x + patch) * s]
        for plane, s in zip(planes, scales, strict=True)
    )


def _turn(planes: Planes, turn: int) -> Planes:
    """Return one of the square's eight symmetries of planes (h, w, C)."""
    rotated = (np.rot90(plane, turn % 4) for plane in planes)
    return tuple(plane[:, ::-1] if turn >= 4 else plane for plane in rotated)


def _tensors(views: list[Planes], units: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Return each plane of all views as one tensor (views, C, h, w), over its unit."""
    stacks = (np.stack(plane).astype(np.float32) for plane in zip(*views, strict=True))
    return tuple(
        torch.from_numpy((stack / np.float32(unit)).transpose(0, 3, 1, 2))
        for stack, unit in zip(stacks, units, strict=True)
    )
