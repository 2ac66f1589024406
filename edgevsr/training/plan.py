"""What a run decides before its first step: rates, who learns at which, what is held out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from edgevsr.nets.blocks import CollapsibleDeconv
from edgevsr.training.learned_ranges import LearnedRanges

_HELD_OUT = 10
_WARM_UP_STEPS = 500
#: A deconvolution sums over a thousand inputs a pixel: at the full rate each step shakes the whole
#: picture. FSRCNN's authors, too, train it at a tenth.
_DECONV_RATE = 0.1
#: The ends of an int8 range are few and every pixel speaks of them.
_RANGES_RATE = 10.0
_RATES: tuple[tuple[type[nn.Module], float], ...] = (
    (CollapsibleDeconv, _DECONV_RATE),
    (LearnedRanges, _RANGES_RATE),
)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate of a step: a short rise, then half a cosine down to a hundredth of `peak`."""
    floor = peak * 0.01
    rise = min(_WARM_UP_STEPS, max(steps // 20, 1))
    if step < rise:
        return peak * (step + 1) / rise
    return floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def held_out(media: Sequence[Path]) -> set[Path]:
    """Return the training files kept for validation: a fixed tenth, ten at most, by name."""
    ranked = sorted(media, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    return set(ranked[: min(_HELD_OUT, len(ranked) // 10)])


def parameter_groups(net: nn.Module) -> list[dict[str, Any]]:
    """Return Adam's groups: deconvolutions learn at a fraction of the rate, ranges at more."""
    rates = {
        id(parameter): rate
        for kind, rate in _RATES
        for module in net.modules()
        if isinstance(module, kind)
        for parameter in module.parameters()
    }
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for parameter in net.parameters():
        groups.setdefault(rates.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": found, "rate_scale": rate} for rate, found in groups.items() if found]
