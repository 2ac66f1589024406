"""The verb `fit`: which shipped networks run at a frame rate on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgevsr.cards import quality_of, quoted_first
from edgevsr.errors import BudgetError, SpecError, missing_extra
from edgevsr.profiling.design import Budget, Member, deepest_members, fps_range, proposals
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.roofline import require_bandwidth, require_peak
from edgevsr.sources import ZooEntry, list_zoo, open_source
from edgevsr.spec import SCALES, as_size, check_fps

_NO_TORCH = "widths and depths of the families need torch: edgevsr[train]"


@dataclass(frozen=True)
class Fit:
    """A shipped network that meets the target, by the estimate; `psnr_y_db` is its card's.

    The true rate is expected between `fps_low` and `fps_high`, None where nothing measured tells.
    """

    net: str
    fps: float
    psnr_y_db: float | None
    recurrent: bool
    fps_low: float | None = None
    fps_high: float | None = None


@dataclass(frozen=True)
class Miss:
    """A shipped network of this scale that does not meet the target, and why."""

    net: str
    fps: float | None
    psnr_y_db: float | None
    recurrent: bool
    reason: str
    fps_low: float | None = None
    fps_high: float | None = None


@dataclass(frozen=True)
class Design:
    """A network that would just meet the target, and the command that trains it.

    It is not trained, so its quality is not known: shipped networks of its family with fewer and
    with more weights, where there are any, say what to expect (`below`, `above`: name and dB).
    """

    member: Member
    below: tuple[str, float] | None
    above: tuple[str, float] | None
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return the design as JSON values."""
        return {
            **asdict(self.member),
            "below": _named(self.below),
            "above": _named(self.above),
            "command": self.command,
        }


@dataclass(frozen=True)
class FitResult:
    """The shipped networks that fit, single-image before recurrent, best quality first.

    `nearest_miss` is the one of those that do not fit which comes closest. `families` are the
    deepest networks of each family and width that fit, trained or not; `designs`, when asked for,
    the ones to train.
    """

    device: str
    size: tuple[int, int]
    scale: int
    target_fps: float
    fits: tuple[Fit, ...]
    misses: tuple[Miss, ...]
    assumptions: tuple[str, ...]
    families: tuple[Member, ...] = ()
    designs: tuple[Design, ...] = ()

    @property
    def nearest_miss(self) -> str | None:
        """The fastest network that does not fit, or None."""
        timed = [miss for miss in self.misses if miss.fps is not None]
        return max(timed, key=lambda miss: miss.fps or 0).net if timed else None

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
            "nearest_miss": self.nearest_miss,
            "families": [asdict(member) for member in self.families],
            "designs": [design.to_json() for design in self.designs],
            "assumptions": list(self.assumptions),
        }


def fit(
    *,
    device: str,
    size: tuple[int, int] | str,
    scale: int,
    fps: float,
    dram_gb_s: float | None = None,
    design: bool = False,
) -> FitResult:
    """List the shipped networks of `scale` whose estimate on `device` reaches `fps`.

    `size` is the LR frame's (width, height) or WIDTHxHEIGHT; `dram_gb_s` (10⁹ bytes a second)
    replaces the profile's bandwidth. With torch it says too how deep networks of each family and
    width may be; `design` proposes which to train.

    Raises:
        SpecError: no such scale or rate.
        BudgetError: an unknown or incomplete device.
        EdgeVsrError: `design` without torch.
    """
    if scale not in SCALES:
        raise SpecError(f"--scale {scale}: expected one of {', '.join(map(str, SCALES))}")
    check_fps(fps)
    size = as_size(size)
    budget = _budget(device, size, fps, dram_gb_s)
    fits: list[Fit] = []
    misses: list[Miss] = []
    assumptions: dict[str, None] = {}
    for entry in list_zoo():
        if entry.scale != scale or entry.form == "wide":
            continue
        answer, stated = _judge(entry, budget)
        assumptions |= dict.fromkeys(stated)
        fits.append(answer) if isinstance(answer, Fit) else misses.append(answer)
    families = _families(budget, scale, required=design)
    if families is None:
        assumptions[_NO_TORCH] = None
    return FitResult(
        device=budget.device.name,
        size=size,
        scale=scale,
        target_fps=fps,
        fits=tuple(sorted(fits, key=_best_first)),
        misses=tuple(sorted(misses, key=_best_first)),
        assumptions=tuple(assumptions),
        families=families or (),
        designs=_designs(families or (), scale) if design else (),
    )


def _budget(device: str, size: tuple[int, int], fps: float, dram_gb_s: float | None) -> Budget:
    """Return the budget, refused where the profile has nothing to estimate from."""
    found = load_device(device)
    if found.unpublished:
        require_peak(found, "int8")
    require_bandwidth(found, dram_gb_s)
    return Budget(found, size, fps, dram_gb_s)


def _families(budget: Budget, scale: int, *, required: bool) -> tuple[Member, ...] | None:
    """Return the deepest networks that fit, or None without torch to describe them."""
    try:
        from edgevsr.collapsing import untrained_graph
    except ModuleNotFoundError as error:
        if required:
            raise missing_extra(str(error.name), "train", "--design") from error
        return None
    if budget.device.value("peak_int8_tops") is None:
        return ()
    return tuple(deepest_members(lambda name: untrained_graph(name, scale), budget))


def _designs(members: tuple[Member, ...], scale: int) -> tuple[Design, ...]:
    """Return the networks to train, with the shipped ones of their family around them."""
    designs = []
    for member in proposals(members):
        known = sorted(
            (int(entry.card["params"]), quality, entry.name)
            for entry in list_zoo()
            if entry.scale == scale
            and entry.form == "w8a8"
            and entry.net.partition("-")[0] == member.family
            and (quality := card_quality(entry.card, True)) is not None
        )
        below = [(name, quality) for params, quality, name in known if params <= member.params]
        above = [(name, quality) for params, quality, name in known if params >= member.params]
        command = f"edgevsr train {member.net} --scale {scale} --data DIR --out RUN"
        designs.append(
            Design(member, below[-1] if below else None, above[0] if above else None, command)
        )
    return tuple(designs)


def _named(found: tuple[str, float] | None) -> dict[str, Any] | None:
    return None if found is None else {"net": found[0], "psnr_y_db": found[1]}


def _judge(entry: ZooEntry, budget: Budget) -> tuple[Fit | Miss, tuple[str, ...]]:
    graph = open_source(entry.path).graph
    quality = card_quality(entry.card, graph.quantized)
    about = (quality, entry.recurrent)
    try:
        found = budget.estimate(graph)
    except (BudgetError, SpecError) as error:
        return Miss(entry.name, None, *about, str(error)), ()
    low, high = fps_range(found)
    if found.fps >= budget.fps:
        return Fit(entry.name, found.fps, *about, low, high), found.assumptions
    reason = (
        f"{found.latency_ms:.1f} ms a frame against {1e3 / budget.fps:.1f} ms, "
        f"{found.bound_by} bound"
    )
    return Miss(entry.name, found.fps, *about, reason, low, high), found.assumptions


def card_quality(card: Mapping[str, Any], quantized: bool) -> float | None:
    """Return the PSNR-Y in dB that a card states for this form of the network, or None.

    Networks are compared on the first of the quoted test sets that their cards have.
    """
    known = quality_of(card, quantized)
    return next((known[name] for name in quoted_first(known)), None)


def _best_first(entry: Fit | Miss) -> tuple[bool, float, float, str]:
    quality = -math.inf if entry.psnr_y_db is None else entry.psnr_y_db
    return entry.recurrent, -quality, -(entry.fps or 0.0), entry.net
