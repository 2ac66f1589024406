"""`edgevsr list`: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgevsr.errors import SpecError, missing_extra, nearest
from edgevsr.progress import progress

if TYPE_CHECKING:
    from edgevsr.nets.references.catalogue import System
    from edgevsr.nets.references.counting import Work
    from edgevsr.profiling.devices import Device

ListKind = Literal["nets", "zoo", "devices", "targets", "references"]

#: The budget that references are held to where no device is named.
DEFAULT_DEVICE = "npu-4tops"

_HR_PIXELS = 1280 * 720  # the output that the field counts MACs for
_PROBE = (48, 48)


@dataclass(frozen=True)
class ListResult:
    """Everything of one kind, sorted by name; every entry has a `name`."""

    kind: ListKind
    entries: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the entries, keyed by what is listed."""
        return {self.kind: list(self.entries)}


def list_kind(kind: ListKind, *, device: str | None = None) -> ListResult:
    """Return the networks that can be trained, or the shipped networks, devices or targets.

    "references" are the large systems of the literature; what they cost is told for `device`.

    Raises:
        SpecError: there is no such kind, or a device is given where none is meant.
        BudgetError: the device is not known or its profile incomplete.
    """
    kinds = {"nets": _nets, "zoo": _zoo, "devices": _devices, "targets": _targets}
    names = (*kinds, "references")
    if kind not in names:
        raise SpecError(f"kind {kind!r}{nearest(kind, names)}: expected {', '.join(names)}")
    if kind == "references":
        return ListResult(kind, tuple(_references(device or DEFAULT_DEVICE)))
    if device is not None:
        raise SpecError(f"--device is for: edgevsr list references; leave it out of list {kind}")
    return ListResult(kind, tuple(kinds[kind]()))


def _nets() -> list[dict[str, Any]]:
    from edgevsr.nets.registry import NETS
    from edgevsr.spec import ACTIVATIONS, SCALES

    return [
        {
            "name": name,
            "family": spec.family,
            "colour": spec.colour,
            "scales": list(SCALES),
            "activations": list(ACTIVATIONS),
            **spec.options,
        }
        for name, spec in NETS.items()
    ]


def _zoo() -> list[dict[str, Any]]:
    from edgevsr.sources import list_zoo

    entries = list_zoo()
    gmac = {(e.net, e.scale): _gmac(e.name) for e in entries if e.form == "narrow"}
    return [
        {
            "name": entry.name,
            "net": entry.net,
            "form": entry.form,
            "scale": entry.scale,
            "colour": entry.card["colour"],
            "recurrent": entry.recurrent,
            "params": entry.card["params"],
            "gmac": gmac[entry.net, entry.scale],  # of the narrow net, whatever the form
            "psnr_y_db": entry.psnr_y_db,
        }
        for entry in entries
    ]


def _gmac(name: str) -> float:
    """Return the 1e9 MACs that a shipped network spends on a frame of 1280×720 SR pixels."""
    from edgevsr.profiling.counts import count_graph
    from edgevsr.sources import open_source

    graph = open_source(name).graph
    width, height = _PROBE
    return count_graph(graph, _PROBE).gmac / (width * height) * _HR_PIXELS / graph.scale**2


def _devices() -> list[dict[str, Any]]:
    from edgevsr.profiling.devices import device_names, load_device

    return [load_device(name).to_json() for name in device_names()]


def _targets() -> list[dict[str, Any]]:
    from edgevsr.exporters.targets import load_target, target_names

    targets = (load_target(name) for name in target_names())
    return [
        {
            **asdict(target),
            "precisions": list(target.precisions),
            "io": list(target.io),
            "operators": sorted(target.operators),
            "rewrites": list(target.rewrites),
            "way_out": dict(target.way_out),
            "lint": None if target.lint is None else target.lint.to_json(),
        }
        for target in targets
    ]


def _references(device_name: str) -> list[dict[str, Any]]:
    """Return the literature's systems, and after them the shipped ×4 networks to compare with."""
    from edgevsr.profiling.devices import load_device
    from edgevsr.profiling.yardstick import LR_SIZE

    device = load_device(device_name)
    try:
        from edgevsr.nets.references.catalogue import SYSTEMS
        from edgevsr.nets.references.counting import count_reference
    except ModuleNotFoundError as error:
        raise missing_extra("torch", "train", "counting references") from error
    entries = []
    with progress("counting", len(SYSTEMS)) as bar:
        for system in SYSTEMS.values():
            entries.append(_reference(system, count_reference(system, LR_SIZE), device))
            bar.advance(1, system.name)
    return entries + _beside(device)


def _reference(system: System, work: Work, device: Device) -> dict[str, Any]:
    from edgevsr.profiling.yardstick import TRUNK, peak_macs_per_s, trunk_utilisation

    utilisation = trunk_utilisation(device)
    fps_at_peak = peak_macs_per_s(device) / work.macs
    return {
        "name": system.name,
        "title": system.title,
        "venue": system.venue,
        "kind": "reference",
        "sees": system.sees,
        "params": work.params,
        "params_published": system.published_params,
        "gmac": work.macs / 1e9,
        "device": device.name,
        "fps_at_peak": fps_at_peak,
        "utilisation": utilisation,
        "utilisation_of": TRUNK,
        "fps": fps_at_peak * utilisation,
        "components": asdict(system.components),
        "beyond_npus": list(system.beyond_npus),
        "published": [score.to_json() for score in system.quality],
        "published_runtime": system.runtime and system.runtime.to_json(),
    }


def _beside(device: Device) -> list[dict[str, Any]]:
    """Return the shipped int8 ×4 networks in the references' terms, by their own estimates."""
    from edgevsr.profiling.counts import count_graph
    from edgevsr.profiling.roofline import estimate
    from edgevsr.profiling.yardstick import LR_SIZE, peak_macs_per_s
    from edgevsr.sources import list_zoo, open_source

    entries = []
    for shipped in list_zoo():
        if shipped.scale != 4 or shipped.form != "w8a8" or not device.value("peak_int8_tops"):
            continue
        graph = open_source(shipped.name).graph
        cost = estimate(graph, LR_SIZE, device)
        gmac = count_graph(graph, LR_SIZE).gmac
        entries.append(
            {
                "name": shipped.name,
                "title": shipped.net,
                "venue": "shipped",
                "kind": "shipped",
                "sees": "past" if shipped.recurrent else "frame",
                "params": shipped.card["params"],
                "params_published": None,
                "gmac": gmac,
                "device": device.name,
                "fps_at_peak": peak_macs_per_s(device) / (gmac * 1e9),
                "utilisation": cost.utilisation,
                "utilisation_of": "itself",
                "fps": cost.fps,
                "components": None,
                "beyond_npus": [],
                "published": [],
                "published_runtime": None,
            }
        )
    return entries
