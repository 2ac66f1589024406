"""Random patches that depend on nothing but seed, step and rank, so any step can be replayed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgevsr.data.pairs import Pairs
from edgevsr.errors import DataError


class PatchSampler:
    """Draws batches of aligned patches, flipped and rotated; large pictures more often."""

    def __init__(self, pairs: Pairs, patch: int, batch: int, seed: int, indices: list[int]) -> None:
        usable = [i for i in indices if int(pairs.sizes[i].min()) >= patch]
        if not usable:
            raise DataError(
                f"no training picture is at least {patch * pairs.scale} pixels high and wide; "
                "use a smaller --patch or larger pictures"
            )
        self._pictures = [pairs.picture(i) for i in usable]
        areas = np.array([lr.shape[0] * lr.shape[1] for lr, _ in self._pictures], np.float64)
        self._edges = np.cumsum(areas / areas.sum())
        self.pictures = len(usable)
        self._pairs, self._patch, self._batch, self._seed = pairs, patch, batch, seed

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Return LR (N, C, patch, patch) and HR (N, C, patch·scale, patch·scale) in [0, 1]."""
        rng = np.random.default_rng([self._seed, step, rank])
        patch, scale = self._patch, self._pairs.scale
        chosen = np.minimum(
            np.searchsorted(self._edges, rng.random(self._batch)), len(self._edges) - 1
        )
        places = rng.random((self._batch, 2))
        turns = rng.integers(0, 8, self._batch)
        lrs, hrs = [], []
        for index, (row, column), turn in zip(chosen, places, turns, strict=True):
            lr, hr = self._pictures[index]
            y = int(row * (lr.shape[0] - patch + 1))
            x = int(column * (lr.shape[1] - patch + 1))
            lrs.append(_turn(lr[y : y + patch, x : x + patch], int(turn)))
            area = hr[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
            hrs.append(_turn(area, int(turn)))
        return self._tensor(lrs), self._tensor(hrs)

    def _tensor(self, patches: list[np.ndarray]) -> Tensor:
        stacked = np.stack(patches).astype(np.float32) / np.float32(self._pairs.unit)
        return torch.from_numpy(stacked.transpose(0, 3, 1, 2))


def _turn(patch: np.ndarray, turn: int) -> np.ndarray:
    """Return one of the square's eight symmetries of (h, w, C)."""
    rotated = np.rot90(patch, turn % 4)
    return rotated[:, ::-1] if turn >= 4 else rotated
