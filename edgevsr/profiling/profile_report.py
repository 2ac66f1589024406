"""What the verb `profile` says: counts, and times of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgevsr.profiling.counts import CONVENTION
from edgevsr.profiling.measured import Measured

Kind = Literal["static", "estimated", "measured"]

_LISTS = ("assumptions", "cpu_operators", "obstacles", "outputs")


@dataclass(frozen=True)
class LayerProfile:
    """One node of the graph: its MACs, the bytes it moves and, where known, its time."""

    name: str
    op: str
    gmac: float
    bytes: int
    ms: float | None = None


@dataclass(frozen=True)
class ProfileReport:
    """What one LR frame of `size` (width, height) costs, and how that is known.

    `kind` says where times come from and they are of that kind alone: "static" has none,
    "estimated" are those of `estimator`, "measured" are this host's. `met` is None without a
    target, and False whatever the times say where there are `obstacles`. An estimate's true latency
    is expected between `latency_ms_low` and `latency_ms_high`, None where nothing tells.
    """

    kind: Kind
    source: str
    size: tuple[int, int]
    scale: int
    params: int
    gmac: float
    gmac_per_hr_pixel: float
    file_bytes: int
    peak_activation_bytes: int
    dram_bytes: int
    layers: tuple[LayerProfile, ...]
    assumptions: tuple[str, ...]
    device: str | None = None
    runtime: str | None = None
    threads: int | None = None
    runs: int | None = None
    latency_ms: float | None = None
    latency_ms_p90: float | None = None
    latency_ms_min: float | None = None
    latency_ms_low: float | None = None
    latency_ms_high: float | None = None
    utilisation: float | None = None
    bound_by: str | None = None
    target_fps: float | None = None
    estimator: str | None = None
    cycles: int | None = None
    arena_bytes: int | None = None
    arena_limit_bytes: int | None = None
    sram_traffic_bytes: int | None = None
    cpu_operators: tuple[dict[str, str], ...] = ()
    obstacles: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()
    outputs: tuple[str, ...] = ()
    convention: str = CONVENTION

    @property
    def fps(self) -> float | None:
        """Frames a second at the median latency, frames one after another."""
        return None if self.latency_ms is None else 1e3 / self.latency_ms

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, or None where there is none."""
        if self.target_fps is None or self.fps is None:
            return None
        return self.fps >= self.target_fps and not self.obstacles

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            **vars(self),
            "size": f"{self.size[0]}x{self.size[1]}",
            "fps": self.fps,
            "met": self.met,
            "layers": [vars(layer) for layer in self.layers],
            "measured": [each.to_json() for each in self.measured],
            **{key: list(getattr(self, key)) for key in _LISTS},
        }
