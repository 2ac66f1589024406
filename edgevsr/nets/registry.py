"""The table of networks: every public name and the NetSpec it stands for. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgevsr.errors import SpecError, nearest
from edgevsr.nets.references.catalogue import find_system, is_reference
from edgevsr.spec import ACTIVATIONS, SCALES, Activation, NetSpec

if TYPE_CHECKING:
    from edgevsr.nets.ops import Net

_SESR = {"m3": (16, 3), "m5": (16, 5), "m7": (16, 7), "m11": (16, 11), "xl": (32, 11)}
_FSRCNN = {"fsrcnn": (56, 12, 4), "fsrcnn-s": (32, 5, 1)}
_RECURRENT = {
    "rsesr-f24-m5-s12": (24, 5, 12),
    "rsesr-f16-m5-s11": (16, 5, 11),
    "rsesr-f16-m4-s11": (16, 4, 11),
    "rrn-16-5": (16, 5, 16),
    "rrn-32-5": (32, 5, 32),
    "rsesr-f24-m5-mc": (24, 5, 0),
    "rsesr-f16-m5-mc": (16, 5, 0),
}
#: What SESR's blocks may be beside plain: with the fixed filters of ECBSR, or depthwise separable.
_BLOCKS = r"(?:(?P<filtered>-ecb)|(?P<separable>-dw))?"
#: Names that spell out their structure, of any size: widths, blocks and state channels.
_SPELLED = {
    "sesr": re.compile(
        rf"sesr-f(?P<num_feat>\d{{1,3}})-m(?P<num_block>\d{{1,2}}){_BLOCKS}(?P<gated>-gate)?"
    ),
    "rsesr": re.compile(
        r"rsesr-f(?P<num_feat>\d{1,3})-m(?P<num_block>\d{1,2})"
        rf"(?:-s(?P<num_state>\d{{1,3}}))?{_BLOCKS}(?P<aligned>-mc)?"
    ),
    "rrn": re.compile(r"rrn-(?P<num_feat>\d{1,3})-(?P<num_block>\d{1,2})"),
}

#: The family of the literature's systems, which train but do not collapse.
REFERENCE = "reference"

NETS: dict[str, NetSpec] = {
    **{
        f"sesr-{size}": NetSpec(
            f"sesr-{size}", "sesr", 2, options={"num_feat": feat, "num_block": block}
        )
        for size, (feat, block) in _SESR.items()
    },
    **{
        name: NetSpec(
            name,
            "fsrcnn",
            2,
            activation="relu",
            options={"num_feat": feat, "num_shrink": shrink, "num_map": maps},
        )
        for name, (feat, shrink, maps) in _FSRCNN.items()
    },
}
NETS |= {
    name: NetSpec(
        name,
        name.partition("-")[0],
        4,
        activation="relu",
        options={"num_feat": feat, "num_block": block, "num_state": state}
        | ({"aligned": 1} if name.endswith("-mc") else {}),
    )
    for name, (feat, block, state) in _RECURRENT.items()
}
NETS |= {
    f"{name}-rgb": replace(spec, name=f"{name}-rgb", colour="rgb") for name, spec in NETS.items()
}


def net_spec(name: str, scale: int, activation: Activation | None = None) -> NetSpec:
    """Return the spec of a network, listed or spelled out (`rsesr-f24-m5-s12`), at this scale.

    `-ecb` behind the numbers (`sesr-f16-m5-ecb`) trains SESR's blocks with fixed filters beside
    them, `-dw` makes them depthwise separable; `-gate` (`sesr-f16-m5-gate`) multiplies the features
    before the last convolution by a gate made of them.

    Without `activation` it has its family's: ReLU for recurrent networks, whose state must not
    drift apart between runtimes, and for FSRCNN, through which int8 can hand the frame on unrounded
    only where no code is spent below zero; one slope a layer for SESR.

    Raises:
        SpecError: the name, scale or activation is not known.
    """
    if is_reference(name):
        return _reference(name, scale, activation)
    listed = NETS.get(name) or _spelled(name)
    if listed is None:
        raise SpecError(f"net {name!r} is not known{nearest(name, NETS)}; run: edgevsr list nets")
    if scale not in SCALES:
        raise SpecError(f"scale {scale}: expected one of {', '.join(map(str, SCALES))}")
    activation = activation or listed.activation
    if activation not in ACTIVATIONS:
        raise SpecError(f"activation {activation!r}: expected one of {', '.join(ACTIVATIONS)}")
    return replace(listed, scale=scale, activation=activation)


def _reference(name: str, scale: int, activation: Activation | None) -> NetSpec:
    if scale != 4:
        raise SpecError(f"--scale {scale}: {name} is a reference, and these are x4; give --scale 4")
    if activation is not None:
        raise SpecError(f"--activation {activation}: {name} has its own; leave it out")
    return NetSpec(find_system(name).name, REFERENCE, 4, colour="rgb", activation="relu")


def _spelled(name: str) -> NetSpec | None:
    """Return the spec of a name that spells out its structure, or None."""
    for family, pattern in _SPELLED.items():
        found = pattern.fullmatch(name.removesuffix("-rgb"))
        if not found:
            continue
        options = _options(found.groupdict())
        if 0 in options.values():
            return None
        if family == "rsesr" and not options.keys() & {"num_state", "aligned"}:
            return None  # without state and alignment it is single-image SESR
        if family == "rrn":
            options["num_state"] = options["num_feat"]
        if family == "rsesr":
            options.setdefault("num_state", 0)
        return NetSpec(
            name,
            family,
            2,
            colour="rgb" if name.endswith("-rgb") else "y",
            activation="relu" if "num_state" in options else "leaky",
            options=options,
        )
    return None


def _options(groups: Mapping[str, str | None]) -> dict[str, int]:
    """Return the numbers that a name spells out; what is only named there counts as 1."""
    return {key: int(text) if text.isdigit() else 1 for key, text in groups.items() if text}


def build(spec: NetSpec) -> Net:
    """Return the untrained wide network of a spec.

    Raises:
        SpecError: no family of that name.
    """
    from edgevsr.nets.fsrcnn import Fsrcnn
    from edgevsr.nets.recurrent import Rrn, Rsesr
    from edgevsr.nets.references.trainable import ReferenceNet
    from edgevsr.nets.sesr import Sesr

    families: dict[str, type[Net]] = {
        "sesr": Sesr, "fsrcnn": Fsrcnn, "rsesr": Rsesr, "rrn": Rrn, REFERENCE: ReferenceNet,
    }  # fmt: skip
    if spec.family not in families:
        raise SpecError(f"net family {spec.family!r}: expected one of {', '.join(families)}")
    return families[spec.family](spec)
