"""The table of networks: every public name and the NetSpec it stands for. Needs no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgevsr.errors import SpecError, nearest
from edgevsr.spec import ACTIVATIONS, SCALES, Activation, NetSpec

if TYPE_CHECKING:
    from edgevsr.nets.ops import Net

_SESR = {"m3": (16, 3), "m5": (16, 5), "m7": (16, 7), "m11": (16, 11), "xl": (32, 11)}
_FSRCNN = {"fsrcnn": (56, 12, 4), "fsrcnn-s": (32, 5, 1)}

NETS: dict[str, NetSpec] = {
    **{
        f"sesr-{size}": NetSpec(
            f"sesr-{size}", "sesr", 2, options={"num_feat": feat, "num_block": block}
        )
        for size, (feat, block) in _SESR.items()
    },
    **{
        name: NetSpec(
            name, "fsrcnn", 2, options={"num_feat": feat, "num_shrink": shrink, "num_map": maps}
        )
        for name, (feat, shrink, maps) in _FSRCNN.items()
    },
}
NETS |= {
    f"{name}-rgb": replace(spec, name=f"{name}-rgb", colour="rgb") for name, spec in NETS.items()
}


def net_spec(name: str, scale: int, activation: Activation = "leaky") -> NetSpec:
    """Return the spec of a listed network at this scale and activation.

    Raises:
        SpecError: the name, scale or activation is not known.
    """
    if name not in NETS:
        raise SpecError(f"net {name!r} is not known{nearest(name, NETS)}; run: edgevsr list nets")
    if scale not in SCALES:
        raise SpecError(f"scale {scale}: expected one of {', '.join(map(str, SCALES))}")
    if activation not in ACTIVATIONS:
        raise SpecError(f"activation {activation!r}: expected one of {', '.join(ACTIVATIONS)}")
    return replace(NETS[name], scale=scale, activation=activation)


def build(spec: NetSpec) -> Net:
    """Return the untrained wide network of a spec.

    Raises:
        SpecError: no family of that name.
    """
    from edgevsr.nets.fsrcnn import Fsrcnn
    from edgevsr.nets.sesr import Sesr

    families: dict[str, type[Net]] = {"sesr": Sesr, "fsrcnn": Fsrcnn}
    if spec.family not in families:
        raise SpecError(f"net family {spec.family!r}: expected one of {', '.join(families)}")
    return families[spec.family](spec)
