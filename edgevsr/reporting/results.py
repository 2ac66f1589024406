"""One result, whatever file it came from: a network on a device, and how its times are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgevsr.cards import quoted_first
from edgevsr.profiling.measured import Measured
from edgevsr.reporting.numbers import milliseconds

Kind = Literal["measured", "estimated", "emulated", "static"]

#: What each kind of figure is worth, in the words of the page.
KINDS: dict[Kind, str] = {
    "measured": "timed on the device itself",
    "estimated": "reckoned by a stated cost model; nothing ran",
    "emulated": "the right bits on a wrong clock: equality counts, times do not exist",
    "static": "counted from the file: MACs, weights and bytes, no times",
}
#: Which figure of a latency is quoted: the first of these that is there.
QUOTED = ("p50", "mean", "min")


@dataclass(frozen=True)
class LayerCost:
    """One layer or operator; what its source does not say is None."""

    name: str
    op: str
    ms: float | None = None
    gmac: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Result:
    """One network on one device (or on none), and how that is known.

    `latency_ms` maps p50, p90, mean, min and so on to milliseconds, and holds only what is known;
    an estimate's single figure is its p50, and the truth is expected from its low to its high.
    `device` is None for a count. `conditions` are what a fair comparison keeps equal.
    `psnr_y_db` is dB by test set.
    """

    kind: Kind
    origin: str
    net: str
    device: str | None
    size: str | None
    scale: int | None
    latency_ms: Mapping[str, float]
    conditions: Mapping[str, str]
    layers: tuple[LayerCost, ...] = ()
    psnr_y_db: Mapping[str, float] = field(default_factory=dict)
    gmac: float | None = None
    params: int | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    partial: bool = False
    target_fps: float | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    measured: Measured | None = None

    @property
    def quoted(self) -> tuple[str, float] | None:
        """Name and milliseconds of the figure to quote, or None where there are no times."""
        return next(
            ((name, self.latency_ms[name]) for name in QUOTED if self.latency_ms.get(name)), None
        )

    @property
    def spread_ms(self) -> tuple[float, float] | None:
        """What a whisker spans: least to p90 of a measurement, what an estimate expects."""
        ends = ("low", "high") if self.kind == "estimated" else ("min", "p90")
        low, high = (self.latency_ms.get(end) for end in ends)
        return None if self.ms is None or low is None or high is None else (low, high)

    @property
    def hindered(self) -> bool:
        """Whether an estimate names obstacles, so that it meets no budget whatever its time."""
        return self.kind == "estimated" and bool(self.faults)

    @property
    def ms(self) -> float | None:
        """Milliseconds of one frame as quoted."""
        return None if self.quoted is None else self.quoted[1]


def spread_text(result: Result) -> str:
    """Return what the whisker of a result spans, in words."""
    if result.spread_ms is None:
        return "spread unknown"
    low, high = (milliseconds(end) for end in result.spread_ms)
    return f"expected {low} to {high}" if result.kind == "estimated" else f"{low} to p90 {high}"


def commonest_set(results: Iterable[Result]) -> str | None:
    """Return the test set that most results are scored on; of equals, the first of the field's."""
    count = Counter(name for result in results for name in result.psnr_y_db)
    order = quoted_first(count)
    return max(count, key=lambda name: (count[name], -order.index(name)), default=None)


def with_quality(result: Result, psnr_y_db: Mapping[str, float]) -> Result:
    """Return the result with a quality that its own file did not state."""
    return result if result.psnr_y_db else replace(result, psnr_y_db=dict(psnr_y_db))
