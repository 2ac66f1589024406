"""The verb `fit`: which shipped networks run at a frame rate on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgevsr.errors import BudgetError, SpecError
from edgevsr.profiling.devices import Device, load_device
from edgevsr.profiling.roofline import estimate, require_bandwidth
from edgevsr.sources import ZooEntry, list_zoo, open_source
from edgevsr.spec import SCALES, parse_size

#: Quality is compared on the first of these sets that a card has.
QUALITY_SETS = ("Set14", "Set5", "B100")


@dataclass(frozen=True)
class Fit:
    """A shipped network that meets the target, by the estimate; `psnr_y_db` is its card's."""

    net: str
    fps: float
    psnr_y_db: float | None
    recurrent: bool


@dataclass(frozen=True)
class Miss:
    """A shipped network of this scale that does not meet the target, and why."""

    net: str
    fps: float | None
    psnr_y_db: float | None
    recurrent: bool
    reason: str


@dataclass(frozen=True)
class FitResult:
    """The shipped networks that fit, single-image before recurrent, best quality first."""

    device: str
    size: tuple[int, int]
    scale: int
    target_fps: float
    fits: tuple[Fit, ...]
    misses: tuple[Miss, ...]
    assumptions: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether anything fits."""
        return bool(self.fits)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "kind": "estimated",
            "device": self.device,
            "size": f"{self.size[0]}x{self.size[1]}",
            "scale": self.scale,
            "target_fps": self.target_fps,
            "fits": [asdict(fit) for fit in self.fits],
            "misses": [asdict(miss) for miss in self.misses],
            "assumptions": list(self.assumptions),
        }


def fit(
    *,
    device: str,
    size: tuple[int, int] | str,
    scale: int,
    fps: float,
    dram_gb_s: float | None = None,
) -> FitResult:
    """List the shipped networks of `scale` whose estimate on `device` reaches `fps`.

    `size` is the LR frame's (width, height) or WIDTHxHEIGHT; `dram_gb_s` (10⁹ bytes a second)
    takes the place of the profile's bandwidth.

    Raises:
        SpecError: a scale or frame rate that does not exist.
        BudgetError: an unknown or incomplete device.
    """
    if scale not in SCALES:
        raise SpecError(f"--scale {scale}: expected one of {', '.join(map(str, SCALES))}")
    if not 0 < fps < math.inf:
        raise SpecError(f"--fps {fps:g}: expected a positive number of frames a second")
    if isinstance(size, str):
        size = parse_size(size)
    found = load_device(device)
    require_bandwidth(found, dram_gb_s)
    fits: list[Fit] = []
    misses: list[Miss] = []
    assumptions: dict[str, None] = {}
    for entry in list_zoo():
        if entry.scale != scale or entry.form == "wide":
            continue
        answer, stated = _judge(entry, found, size, fps, dram_gb_s)
        assumptions |= dict.fromkeys(stated)
        if isinstance(answer, Fit):
            fits.append(answer)
        else:
            misses.append(answer)
    return FitResult(
        device=found.name,
        size=size,
        scale=scale,
        target_fps=fps,
        fits=tuple(sorted(fits, key=_best_first)),
        misses=tuple(sorted(misses, key=_best_first)),
        assumptions=tuple(assumptions),
    )


def _judge(
    entry: ZooEntry, device: Device, size: tuple[int, int], fps: float, dram_gb_s: float | None
) -> tuple[Fit | Miss, tuple[str, ...]]:
    graph = open_source(entry.path).graph
    quality = card_quality(entry.card, graph.quantized)
    about = (quality, entry.recurrent)
    try:
        found = estimate(graph, size, device, dram_gb_s)
    except (BudgetError, SpecError) as error:
        return Miss(entry.name, None, *about, str(error)), ()
    if found.fps >= fps:
        return Fit(entry.name, found.fps, *about), found.assumptions
    reason = f"{found.latency_ms:.1f} ms a frame against {1e3 / fps:.1f} ms, {found.bound_by} bound"
    return Miss(entry.name, found.fps, *about, reason), found.assumptions


def card_quality(card: Mapping[str, Any], quantized: bool) -> float | None:
    """Return the PSNR-Y in dB that a card states for this form of the network, or None."""
    sets = card.get("psnr_y_db")
    if not isinstance(sets, Mapping):
        return None
    forms = ("int8",) if quantized else ("8bit", "float")
    for name in (*QUALITY_SETS, *sorted(sets)):
        values = sets.get(name)
        for form in forms:
            value = values.get(form) if isinstance(values, Mapping) else values
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
    return None


def _best_first(entry: Fit | Miss) -> tuple[bool, float, float, str]:
    quality = -math.inf if entry.psnr_y_db is None else entry.psnr_y_db
    return entry.recurrent, -quality, -(entry.fps or 0.0), entry.net
