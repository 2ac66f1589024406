"""The verb `compare`: how two results differ, in ratios, like with like."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import DataError, SpecError
from edgevsr.reporting.reading import read_result
from edgevsr.reporting.results import QUOTED, LayerCost, Result


@dataclass(frozen=True)
class Ratio:
    """One figure of both results; `ratio` is b over a, None where a is zero."""

    name: str
    unit: str
    a: float
    b: float

    @property
    def ratio(self) -> float | None:
        """How many times as much b is."""
        return self.b / self.a if self.a else None

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class CompareResult:
    """B against A. `latency` is the statistic that both have; `slowdown_percent` comes of it.

    `conditions` are what differs besides: name → (a, b). `within_spread` says whether b's figure
    lies between a's least and 90th percentile, None where those are unknown.
    """

    a: Result
    b: Result
    latency: Ratio
    ratios: tuple[Ratio, ...]
    layers: tuple[Ratio, ...]
    conditions: dict[str, tuple[str | None, str | None]]
    within_spread: bool | None
    max_slowdown_percent: float | None

    @property
    def slowdown_percent(self) -> float:
        """How much longer b takes, in percent of a; negative when it is faster."""
        return 100 * (self.latency.b / self.latency.a - 1)

    @property
    def met(self) -> bool | None:
        """Whether b is at most so much slower, or None without a gate."""
        if self.max_slowdown_percent is None:
            return None
        return self.slowdown_percent <= self.max_slowdown_percent

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "a": _about(self.a),
            "b": _about(self.b),
            "same_kind": self.a.kind == self.b.kind,
            "latency": self.latency.to_json(),
            "slowdown_percent": self.slowdown_percent,
            "max_slowdown_percent": self.max_slowdown_percent,
            "met": self.met,
            "within_spread": self.within_spread,
            "ratios": [ratio.to_json() for ratio in self.ratios],
            "layers": [ratio.to_json() for ratio in self.layers],
            "conditions": [
                {"name": name, "a": a, "b": b} for name, (a, b) in self.conditions.items()
            ],
        }


def compare(
    a: str | Path,
    b: str | Path,
    *,
    max_slowdown: float | None = None,
    across_kinds: bool = False,
) -> CompareResult:
    """Compare two results, files of `edgevsr profile`: ratios of b to a.

    `max_slowdown` is the gate in percent of a's latency. An estimate and a measurement are
    compared only with `across_kinds`, and the result says so.

    Raises:
        DataError: a file that is no result, results without a latency in common, or of different
            kinds.
        SpecError: a gate below -100 percent.
    """
    if max_slowdown is not None and not -100 < max_slowdown < math.inf:
        raise SpecError(f"--max-slowdown {max_slowdown:g}: expected percent above -100")
    first, second = read_result(Path(a)), read_result(Path(b))
    if first.kind != second.kind and not across_kinds:
        raise DataError(
            f"{a} is {first.kind} and {b} is {second.kind}: their difference is not one of speed "
            "alone; add --across-kinds to see it all the same"
        )
    latency = _latency(first, second)
    return CompareResult(
        first,
        second,
        latency,
        ratios=_ratios(first, second, latency.name),
        layers=_layers(first.layers, second.layers),
        conditions=_differences(first, second),
        within_spread=_within_spread(first, latency.b),
        max_slowdown_percent=max_slowdown,
    )


def _latency(a: Result, b: Result) -> Ratio:
    for name in QUOTED:
        if a.latency_ms.get(name) and b.latency_ms.get(name):
            return Ratio(name, "ms", a.latency_ms[name], b.latency_ms[name])
    for result in (a, b):
        if not result.latency_ms:
            raise DataError(
                f"{result.origin}: is {result.kind} and has no latency to compare; measure with: "
                "edgevsr profile FILE --on host --json"
            )
    raise DataError(
        f"{a.origin} and {b.origin}: no statistic in common (one has {', '.join(a.latency_ms)}, "
        f"the other {', '.join(b.latency_ms)}); measure both with the same tool"
    )


def _ratios(a: Result, b: Result, quoted: str) -> tuple[Ratio, ...]:
    found = [
        Ratio(name, "ms", a.latency_ms[name], b.latency_ms[name])
        for name in a.latency_ms
        if name in b.latency_ms and name != quoted
    ]
    found += [
        Ratio(name, "ms" if name.endswith("_ms") else "bytes", a.costs[name], b.costs[name])
        for name in a.costs
        if name in b.costs
    ]
    if a.gmac is not None and b.gmac is not None:
        found.append(Ratio("gmac", "10⁹ MACs", a.gmac, b.gmac))
    return tuple(found)


def _layers(a: tuple[LayerCost, ...], b: tuple[LayerCost, ...]) -> tuple[Ratio, ...]:
    """Return the times of the layers that both have, by name, those that changed most first."""
    others = {layer.name: layer.ms for layer in b}
    found = []
    for layer in a:
        other = others.get(layer.name)
        if layer.ms is not None and other is not None:
            found.append(Ratio(layer.name, "ms", layer.ms, other))
    return tuple(sorted(found, key=lambda ratio: -abs(ratio.b - ratio.a)))


def _differences(a: Result, b: Result) -> dict[str, tuple[str | None, str | None]]:
    first = {"kind": a.kind, "network": a.net, **a.conditions}
    second = {"kind": b.kind, "network": b.net, **b.conditions}
    return {
        name: (first.get(name), second.get(name))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    }


def _within_spread(a: Result, value: float) -> bool | None:
    low, high = a.latency_ms.get("min"), a.latency_ms.get("p90")
    return None if low is None or high is None else low <= value <= high


def _about(result: Result) -> dict[str, Any]:
    return {
        "file": result.origin,
        "kind": result.kind,
        "network": result.net,
        "device": result.device,
        "partial": result.partial,
    }
