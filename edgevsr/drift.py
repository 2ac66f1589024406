"""Whether a recurrent int8 network stays steady: on a clip without end, and on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgevsr.clip_scores import finite_mean
from edgevsr.data.clips import back_and_forth
from edgevsr.errors import SpecError
from edgevsr.evaluation import Picture, super_resolve_y
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.streaming import is_recurrent, state_pairs
from edgevsr.metrics import psnr_db
from edgevsr.progress import Bar, progress
from edgevsr.runtime.model import SrModel

FRAMES = 1000
#: Frames at either end whose mean drop is compared.
ENDS = 100
#: The last frames may lose this much more than the first, and states clip this share of values.
MAX_GROWTH_DB = 0.05
MAX_SATURATED = 0.001
#: So long does a picture stand still, and so much may its SR lose by that.
STANDING_FRAMES = 300
MAX_STANDING_FALL_DB = 0.2


@dataclass(frozen=True)
class Drift:
    """What int8 loses against float over a long clip; PSNR-Y in dB, no border left out.

    `state_saturated` is the share of the state's values at its highest code, over all frames;
    `standing_fall_db` what int8 loses from the first to the 300th frame where the clip's first
    picture stands still: a network that feeds on its own SR may sharpen it without end.
    """

    clip: str
    frames: int
    drop_first_db: float
    drop_last_db: float
    state_saturated: float
    standing_fall_db: float

    @property
    def growth_db(self) -> float:
        """How much more the last 100 frames lose than the first 100."""
        return self.drop_last_db - self.drop_first_db

    @property
    def passed(self) -> bool:
        """Whether growth, saturation and the fall on a standing picture are within bounds."""
        return (
            self.growth_db <= MAX_GROWTH_DB
            and self.state_saturated <= MAX_SATURATED
            and self.standing_fall_db <= MAX_STANDING_FALL_DB
        )

    def to_json(self) -> dict[str, Any]:
        """Return the card's entry."""
        return {**asdict(self), "growth_db": self.growth_db}


def measure_drift(
    real: SrModel, int8: SrModel, pictures: Sequence[Picture], frames: int = FRAMES
) -> Drift:
    """Return the drift over a clip's pictures played back and forth until `frames` are reached.

    Raises:
        SpecError: there are fewer than two pictures or 200 frames, or a network is not what it
            should be.
    """
    if len(pictures) < 2 or frames < 2 * ENDS:
        raise SpecError(
            f"drift: {len(pictures)} pictures over {frames} frames; expected a clip of 2 or more "
            f"pictures and at least {2 * ENDS} frames"
        )
    if real.graph.quantized or not int8.graph.quantized or not is_recurrent(int8.graph):
        raise SpecError("drift: expected a recurrent network in float and in int8")
    real.reset()
    int8.reset()
    drops: list[float] = []
    clipped = values = 0
    with progress("drift", frames + STANDING_FRAMES) as bar:
        for index in back_and_forth(len(pictures), frames):
            picture = pictures[index]
            before, after = (
                psnr_db(super_resolve_y(model, picture.lr), picture.hr_y) for model in (real, int8)
            )
            drops.append(before - after)
            for codes, highest in _states(int8.graph, int8.state):
                clipped += int((codes >= highest).sum())
                values += codes.size
            bar.advance(1)
        standing = _standing_fall(int8, pictures[0], bar)
    first, last = finite_mean(drops[:ENDS]), finite_mean(drops[-ENDS:])
    if first is None or last is None:
        raise SpecError("drift: SR equals HR on every frame; give a clip with detail")
    saturated = clipped / max(values, 1)
    return Drift(pictures[0].clip or pictures[0].name, frames, first, last, saturated, standing)


def _standing_fall(int8: SrModel, picture: Picture, bar: Bar) -> float:
    """Return the PSNR-Y of the first frame over that of the last, where nothing moves."""
    int8.reset()
    values = []
    for _ in range(STANDING_FRAMES):
        values.append(psnr_db(super_resolve_y(int8, picture.lr), picture.hr_y))
        bar.advance(1)
    return values[0] - values[-1] if np.isfinite(values).all() else 0.0


def _states(graph: Graph, state: dict[str, Array]) -> Iterator[tuple[Array, float]]:
    """Yield each state and its highest value, as codes or as the real values they stand for."""
    for _, output in state_pairs(graph):
        array, q = state[graph.roles[output]], graph.qparams[output]
        if array.dtype == np.int8:
            yield array, 127
        else:
            yield array, (126.5 - q.zero_point) * q.scale
