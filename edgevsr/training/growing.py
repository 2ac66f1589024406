"""A network that starts from the weights of a smaller one, as the same function where it can.

Source: Net2Net, Chen et al., ICLR 2016; here nothing reads what is new, so no noise is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgevsr.errors import SpecError
from edgevsr.files import CHECKPOINT
from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, Slope
from edgevsr.nets.checkpoint import load_net
from edgevsr.nets.narrow_form import Block, open_narrow
from edgevsr.nets.ops import Net

#: Whose blocks can be passed by.
_RESIDUAL = ("sesr", "rsesr")


def warm_start(net: Net, path: Path) -> None:
    """Copy every weight of a network that has the same name and shape: ×2 starts ×4.

    `path` is a run, a checkpoint, or the .onnx of a narrow float network, which is made wide again.
    Smaller blocks of the same scale and colours become the first channels of this net's, be they
    smaller inside or in features, and residual blocks that the checkpoint lacks start as what
    changes nothing: so SESR-M5 starts SESR-M11 and SESR-M11 starts SESR-XL as the function it is.
    Of another scale, blocks are widened inside alone.

    Raises:
        SourceError: the file is damaged.
        SpecError: nothing in it fits, or it is no float network of this project.
    """
    source = _open(path, net.spec.expansion)
    own, given = net.state_dict(), source.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and v.shape == own[k].shape}
    alike = _is_alike(net, source)
    for name, module in net.named_modules():
        parts = {
            k.removeprefix(f"{name}."): v for k, v in given.items() if k.startswith(f"{name}.")
        }
        grown: Mapping[str, Tensor] = {}
        if isinstance(module, Block):
            grown = _grown(module, parts, features=alike)
        elif alike and isinstance(module, nn.PReLU) and parts:
            slopes = parts["weight"].expand(source.spec.options["num_feat"])
            grown = {"weight": _first(slopes, module.weight.detach())}
        fitting |= {f"{name}.{key}": value for key, value in grown.items()}
    if not fitting:
        raise SpecError(f"--init {path}: no weight has the name and shape of this net's")
    if net.spec.family == source.spec.family and net.spec.family in _RESIDUAL:
        fitting |= _passing(net, given)
    net.load_state_dict({**own, **fitting})


def _open(path: Path, expansion: int) -> Net:
    """Return the wide network of a file; one that is narrow there gets this expansion."""
    if path.suffix == ".onnx":
        return open_narrow(path, expansion)
    return load_net(path / CHECKPOINT if path.is_dir() else path)[0]


def _is_alike(net: Net, source: Net) -> bool:
    """Return whether the first channels of a wider net can be those of the source."""
    one, other = net.spec, source.spec
    same = (one.family, one.scale, one.colour) == (other.family, other.scale, other.colour)
    # Other families join pictures and states among their channels, or have other layers at a place.
    return same and one.family == "sesr"


def _grown(block: Block, given: Mapping[str, Tensor], *, features: bool) -> Mapping[str, Tensor]:
    """Return the weights of a smaller block, by name, at the size of this one.

    Its function stays that of the first channels, which read nothing that is new; what is new
    starts as this block's own. There are none where the smaller does not fit: without `features`,
    where it reads or makes fewer channels.
    """
    own = block.state_dict()
    names = ("expand.weight", "expand.bias", "project.weight", "project.bias")
    if block.expand.groups > 1 or not all(name in given for name in names):
        return {}
    expand, project = (_inside_first(block, own), own["project.weight"].clone())
    small_expand, small_project = _inside_first(block, given), given["project.weight"]
    if small_expand.dim() != 4 or small_project.dim() != 4:
        return {}
    (inside, read), made = small_expand.shape[:2], small_project.shape[0]
    if small_expand.shape[2:] != expand.shape[2:] or small_project.shape[1] != inside:
        return {}
    if inside > expand.shape[0] or read > expand.shape[1] or made > project.shape[0]:
        return {}
    if not features and (read, made) != (expand.shape[1], project.shape[0]):
        return {}
    expand[:inside] = 0.0
    expand[:inside, :read] = small_expand
    project[:made] = 0.0
    project[:made, :inside] = small_project
    grown = {"expand.weight": _inside_first(block, {"expand.weight": expand})}
    grown["project.weight"] = project
    for name in ("expand.bias", "project.bias"):
        grown[name] = _first(given[name], own[name])
    return grown


def _first(given: Tensor, own: Tensor) -> Tensor:
    """Return the values of the first channels as given, of the others as they are."""
    return torch.cat([given, own[len(given) :]])[: len(own)]


def _inside_first(block: Block, weights: Mapping[str, Tensor]) -> Tensor:
    """Return a copy of the expanding kernel, its inner channels in the first place, or back."""
    kernel = weights["expand.weight"].clone()
    if isinstance(block, CollapsibleDeconv) and kernel.dim() > 1:
        return kernel.transpose(0, 1).contiguous()
    return kernel


def _passing(net: Net, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with which residual blocks that were not given hand on what they get."""
    found: dict[str, Tensor] = {}
    new = [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, CollapsibleConv | Slope | nn.PReLU)
        and not any(key.startswith(f"{name}.") for key in given)
    ]
    for name, module in new:
        if isinstance(module, Slope | nn.PReLU):
            found[f"{name}.weight"] = torch.ones_like(module.weight)
        elif module.residual:
            found[f"{name}.project.weight"] = torch.zeros_like(module.project.weight)
    return found
