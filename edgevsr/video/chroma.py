"""Bicubic resampling of chroma that knows where a chroma sample sits between luma samples.

A plane subsampled by `factor` has sample j at luma position factor * j + offset. MPEG-2, H.264 and
their successors put 4:2:0 chroma beside the left luma column (offset 0) and halfway between two
rows (offset 1/2); JPEG and MPEG-1 put it in the middle both ways. A resize that ignores this moves
every colour by a quarter of an LR pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
Siting = Literal["left", "center", "topleft", "top", "bottomleft", "bottom"]

SITINGS: tuple[Siting, ...] = ("left", "center", "topleft", "top", "bottomleft", "bottom")
NEUTRAL = 128


@dataclass(frozen=True)
class Grid:
    """Where the samples of a plane sit along one axis, in luma samples of its own frame."""

    factor: int
    offset: float = 0.0


def grids(factors: tuple[int, int], siting: Siting) -> tuple[Grid, Grid]:
    """Return the (horizontal, vertical) grids of a chroma plane.

    `factors` is (2, 2) for 4:2:0, (2, 1) for 4:2:2, (1, 1) for 4:4:4. Only 4:2:0 is sited in more
    than one way; the others are co-sited with luma, as every standard has them.
    """
    across, down = factors
    if (across, down) != (2, 2):
        return Grid(across), Grid(down)
    offset_x = 0.0 if siting in ("left", "topleft", "bottomleft") else 0.5
    offset_y = {"left": 0.5, "center": 0.5, "topleft": 0.0, "top": 0.0}.get(siting, 1.0)
    return Grid(across, offset_x), Grid(down, offset_y)


def resample(
    plane: Plane,
    size: tuple[int, int],
    source: tuple[Grid, Grid],
    target: tuple[Grid, Grid],
    scale: int = 1,
) -> Plane:
    """Return `plane` (H, W) resampled by bicubic to (width, height) on the grid of an HR frame.

    LR luma sample x covers HR luma samples scale * x up to scale * x + scale - 1, as the nets see
    it. Edges are replicated; where the target is coarser the kernel widens, so nothing aliases.
    """
    from PIL import Image

    width, height = size
    x_start, x_step = _affine(source[0], target[0], scale)
    y_start, y_step = _affine(source[1], target[1], scale)
    if (x_start, x_step, y_start, y_step) == (0.0, 1.0, 0.0, 1.0) and plane.shape == (
        height,
        width,
    ):
        return plane
    # Past the edge the last sample goes on: the kernel's reach, a sample of siting, and the
    # sample that an odd side is short of.
    pad = math.ceil(2 * max(x_step, y_step, 1.0)) + 2
    left, top = x_start + 0.5 - 0.5 * x_step + pad, y_start + 0.5 - 0.5 * y_step + pad
    box = (left, top, left + x_step * width, top + y_step * height)
    padded = Image.fromarray(np.pad(plane, pad, mode="edge"))
    return np.asarray(padded.resize(size, Image.Resampling.BICUBIC, box=box))


def _affine(source: Grid, target: Grid, scale: int) -> tuple[float, float]:
    """Return the source index of target sample 0, and the step from one target sample on."""
    luma = (target.offset + 0.5) / scale - 0.5
    return (luma - source.offset) / source.factor, target.factor / (scale * source.factor)


def chroma_size(size: tuple[int, int], factors: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) of a chroma plane, rounded up as every codec does for odd sides."""
    return -(-size[0] // factors[0]), -(-size[1] // factors[1])
