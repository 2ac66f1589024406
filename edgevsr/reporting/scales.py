"""Axes: where a value stands on the page, and which values are worth a tick."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Maps `low` to `high` onto pixels `start` to `end`, by logarithm when `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a value, clamped to the axis."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int) -> list[float]:
        """Return about `count` round values on the axis, in order."""
        return _log_ticks(self, count) if self.log else _linear_ticks(self, count)


def _linear_ticks(scale: Scale, count: int) -> list[float]:
    span = scale.high - scale.low
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if span / step <= count)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(scale: Scale, count: int) -> list[float]:
    exponents = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * 10.0**power for power in exponents for digit in digits]
        shown = [tick for tick in ticks if scale.low <= tick * 1.000001 and tick <= scale.high]
        if len(shown) <= count:
            return shown
    return shown[:: -(-len(shown) // count)]
