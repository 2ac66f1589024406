"""`edgevsr list`: what there is to choose from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgevsr.errors import SpecError, nearest

ListKind = Literal["nets", "zoo", "devices", "targets"]

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


def list_kind(kind: ListKind) -> ListResult:
    """Return the networks that can be trained, or the shipped networks, devices or targets.

    Raises:
        SpecError: there is no such kind.
    """
    kinds = {"nets": _nets, "zoo": _zoo, "devices": _devices, "targets": _targets}
    if kind not in kinds:
        raise SpecError(f"kind {kind!r}{nearest(kind, kinds)}: expected {', '.join(kinds)}")
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
        }
        for target in targets
    ]
