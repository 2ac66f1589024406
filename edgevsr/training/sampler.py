"""Random patches that depend on nothing but seed, step and rank, so any step can be replayed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from edgevsr.data.pairs import Pairs
from edgevsr.errors import DataError

_CUTS = 0.1


class PatchSampler:
    """Draws batches of aligned patches, flipped and rotated; large pictures more often."""

    def __init__(self, pairs: Pairs, patch: int, batch: int, seed: int) -> None:
        usable = [i for i in range(len(pairs)) if int(pairs.sizes[i].min()) >= patch]
        self._pictures = [pairs.picture(i) for i in usable]
        self._edges = _edges(pairs, patch, (lr.shape[0] * lr.shape[1] for lr, _ in self._pictures))
        self.pictures = len(usable)
        self._pairs, self._patch, self._batch, self._seed = pairs, patch, batch, seed

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Return LR (N, C, patch, patch) and HR (N, C, patch·scale, patch·scale) in [0, 1]."""
        rng = np.random.default_rng([self._seed, step, rank])
        chosen = _choose(rng, self._edges, self._batch)
        places = rng.random((self._batch, 2))
        turns = rng.integers(0, 8, self._batch)
        lrs, hrs = [], []
        for index, place, turn in zip(chosen, places, turns, strict=True):
            lr, hr = _crop(self._pictures[index], place, self._patch, self._pairs.scale)
            lrs.append(_turn(lr, int(turn)))
            hrs.append(_turn(hr, int(turn)))
        return _tensor(lrs, self._pairs.unit), _tensor(hrs, self._pairs.unit)


class ClipSampler:
    """Draws batches of short clips, each one patch through time, flipped, rotated and reversed.

    A clip shorter than asked for runs back and forth. In a tenth of them the scene is cut, so
    that a network learns to do without a state that no longer fits.
    """

    def __init__(self, pairs: Pairs, patch: int, batch: int, seed: int, frames: int) -> None:
        usable = [
            (int(first), int(count))
            for first, count in pairs.clips
            if count > 1 and int(pairs.sizes[first].min()) >= patch
        ]
        self._clips = [[pairs.picture(first + i) for i in range(count)] for first, count in usable]
        areas = (clip[0][0].size * min(len(clip), frames) for clip in self._clips)
        self._edges = _edges(pairs, patch, areas)
        self.pictures = len(usable)
        self._pairs, self._patch, self._batch, self._seed = pairs, patch, batch, seed
        self._frames = frames

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Return LR (N, T, C, patch, patch) and HR, `scale` times as large, in [0, 1]."""
        rng = np.random.default_rng([self._seed, step, rank])
        lrs, hrs = [], []
        for _ in range(self._batch):
            lr, hr = self._take(rng)
            if self._frames > 2 and rng.random() < _CUTS:
                after, cut = self._take(rng), int(rng.integers(1, self._frames))
                lr[cut:], hr[cut:] = after[0][cut:], after[1][cut:]
            lrs.append(_tensor(lr, self._pairs.unit))
            hrs.append(_tensor(hr, self._pairs.unit))
        return torch.stack(lrs), torch.stack(hrs)

    def _take(self, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return one patch of a random clip over time: LR and HR of each frame."""
        clip = self._clips[int(_choose(rng, self._edges, 1)[0])]
        there_and_back = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
        start = int(rng.integers(0, max(len(clip) - self._frames, 0) + 1))
        order = [there_and_back[(start + i) % len(there_and_back)] for i in range(self._frames)]
        if rng.random() < 0.5:
            order.reverse()
        place, turn = rng.random(2), int(rng.integers(0, 8))
        views = [_crop(clip[i], place, self._patch, self._pairs.scale) for i in order]
        return [_turn(lr, turn) for lr, _ in views], [_turn(hr, turn) for _, hr in views]


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


def _crop(
    picture: tuple[np.ndarray, np.ndarray], place: np.ndarray, patch: int, scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return aligned patches of LR and HR (h, w, C); `place` is where, from 0 to 1."""
    lr, hr = picture
    y = int(place[0] * (lr.shape[0] - patch + 1))
    x = int(place[1] * (lr.shape[1] - patch + 1))
    area = hr[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
    return lr[y : y + patch, x : x + patch], area


def _tensor(patches: list[np.ndarray], unit: float) -> Tensor:
    stacked = np.stack(patches).astype(np.float32) / np.float32(unit)
    return torch.from_numpy(stacked.transpose(0, 3, 1, 2))


def _turn(patch: np.ndarray, turn: int) -> np.ndarray:
    """Return one of the square's eight symmetries of (h, w, C)."""
    rotated = np.rot90(patch, turn % 4)
    return rotated[:, ::-1] if turn >= 4 else rotated
