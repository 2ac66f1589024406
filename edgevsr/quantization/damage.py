"""What rounding did to pictures besides noise: a shift of level or colour, a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Damage:
    """The error of int8 pictures against float ones, gathered picture by picture.

    A network ends in a pixel shuffle, so its channels can err differently and leave a grid of
    `scale` pixels. The error's energy at that period's frequencies is that of its means over the
    scale² places in the grid.
    """

    scale: int
    _sums: NDArray[np.float64] | None = field(default=None, init=False)
    _counts: NDArray[np.float64] | None = field(default=None, init=False)
    _squares: float = field(default=0.0, init=False)

    def add(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
        """Count in a float picture (H, W, C) and its int8 form, both of 8 bits."""
        error = after.astype(np.float64) - before
        scale, channels = self.scale, error.shape[2]
        sums = np.empty((scale, scale, channels))
        counts = np.empty((scale, scale, 1))
        for y in range(scale):
            for x in range(scale):
                part = error[y::scale, x::scale]
                sums[y, x], counts[y, x] = part.sum(axis=(0, 1)), part[..., 0].size
        self._squares += float((error**2).sum())
        self._sums = sums if self._sums is None else self._sums + sums
        self._counts = counts if self._counts is None else self._counts + counts

    def to_json(self) -> dict[str, Any] | None:
        """Return levels of 0 to 255, or None where no picture was counted in.

        `shift` is the mean error of each channel, `grid` the root mean square of the periodic part,
        `error` that of the whole error, and `grid_by_chance` what error without a period would
        leave in `grid`.
        """
        if self._sums is None or self._counts is None:
            return None
        channels = self._sums.shape[2]
        shift = self._sums.sum(axis=(0, 1)) / self._counts.sum()
        places = self._sums / self._counts - shift
        pixels = float(self._counts.sum()) * channels
        error = np.sqrt(self._squares / pixels)
        chance = error * np.sqrt((self.scale**2 - 1) / self._counts.sum())
        return {
            "shift": [round(float(value), 4) for value in shift],
            "grid": round(float(np.sqrt((places**2).mean())), 4),
            "grid_by_chance": round(float(chance), 4),
            "error": round(float(error), 4),
        }
