"""A wide net given the weights of a narrow graph: the way back from what collapse made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgevsr.errors import SpecError
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.ir import Graph, Node
from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, Slope
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build, net_spec
from edgevsr.spec import ACTIVATIONS, NetSpec

Block = CollapsibleConv | CollapsibleDeconv

#: What float32 may lose of a narrow weight, over the kernel's largest.
_WORST_ERROR = 1e-4


class _Modules:
    """Collects a network's modules by layer (see `edgevsr.nets.ops.Ops`)."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self.activations: dict[str, nn.Module] = {}

    def conv(self, block: CollapsibleConv, x: str, name: str) -> str:
        """Note the block."""
        self.blocks[name] = block
        return name

    def deconv(self, block: CollapsibleDeconv, x: str, name: str) -> str:
        """Note the block."""
        self.blocks[name] = block
        return name

    def activate(self, module: nn.Module, x: str, name: str) -> str:
        """Note the activation."""
        self.activations[name] = module
        return name

    def add(self, x: str, y: str, name: str) -> str:
        """Pass by."""
        return name

    def mul(self, x: str, y: str, name: str) -> str:
        """Pass by."""
        return name

    def clip(self, x: str, low: float, high: float, name: str) -> str:
        """Pass by."""
        return name

    def concat(self, xs: list[str], name: str) -> str:
        """Pass by."""
        return name

    def depth_to_space(self, x: str, block: int, name: str) -> str:
        """Pass by."""
        return name


def _modules(net: Net) -> _Modules:
    modules = _Modules()
    net.describe(modules, {role: role for role in net.inputs})
    return modules


def blocks_of(net: Net) -> dict[str, Block]:
    """Return a net's blocks by the names of their nodes in the narrow graph."""
    return _modules(net).blocks


def freeze_slopes(net: Net) -> None:
    """Keep the slopes of a net's rectifiers as they are."""
    for module in _modules(net).activations.values():
        module.requires_grad_(False)


def take_narrow(net: Net, graph: Graph) -> None:
    """Give the net the weights and slopes of a narrow graph of its own structure.

    A leaky layer that the graph has no node of became a ReLU: its slope is zero. Wide weights
    change as little as they can.

    Raises:
        SpecError: the graph is of another structure, or the blocks are too narrow inside.
    """
    modules = _modules(net)
    nodes = {node.name: node for node in graph.nodes}
    with torch.no_grad():
        for name, block in modules.blocks.items():
            if name not in nodes:
                raise SpecError(f"layer {name!r} of {net.spec.name} is not in the narrow graph")
            _take_kernel(block, nodes[name])
        for name, module in modules.activations.items():
            slopes = _slopes(nodes.get(name))
            if isinstance(module, Slope | nn.PReLU):
                module.weight.copy_(torch.as_tensor(slopes).expand_as(module.weight))


def open_narrow(path: Path, expansion: int = NetSpec.expansion) -> Net:
    """Return the wide network, of so many channels inside, of a narrow float .onnx.

    Raises:
        SourceError: the file is damaged.
        SpecError: it is quantized, or no network of this project.
    """
    graph = graph_from_onnx(path)
    if graph.quantized:
        raise SpecError(f"{path}: is quantized; give the float network it came from")
    try:
        name, activation = str(graph.meta["net"]), str(graph.meta["activation"])
    except KeyError as error:
        raise SpecError(
            f"{path}: does not say which network of edgevsr it is; give a run, a checkpoint or an "
            ".onnx that collapse wrote"
        ) from error
    if activation not in ACTIVATIONS:
        raise SpecError(f"{path}: activation {activation!r} is not known")
    net = build(replace(net_spec(name, graph.scale, activation), expansion=expansion))
    take_narrow(net, graph)
    return net


def _slopes(node: Node | None) -> Any:
    if node is None:
        return 0.0
    return float(node.attrs["slope"]) if node.weight is None else node.weight.reshape(-1)


def _take_kernel(block: Block, node: Node) -> None:
    assert node.weight is not None
    assert block.project.bias is not None
    transposed = isinstance(block, CollapsibleDeconv)
    order = (3, 0, 1, 2) if transposed else (0, 3, 1, 2)
    wanted = torch.from_numpy(node.weight.transpose(order).copy()).double()
    kernel, bias = block.collapsed(exact=True)
    if kernel.shape != wanted.shape:
        raise SpecError(
            f"layer {node.name!r}: expected a kernel {tuple(kernel.shape)}, got "
            f"{tuple(wanted.shape)}"
        )
    change = wanted - kernel.double()
    if change.any():
        block.expand.weight += _least(block, change).float()
    if node.bias is not None:
        block.project.bias += torch.tensor(node.bias) - bias
    kernel, _ = block.collapsed(exact=True)
    error = float((kernel.double() - wanted).abs().max())
    if not error <= _WORST_ERROR * float(wanted.abs().max()):
        raise SpecError(
            f"layer {node.name!r}: {block.expand.weight.shape[0]} channels inside cannot hold "
            f"these narrow weights (off by {error:.2g})"
        )


def _least(block: Block, change: Tensor) -> Tensor:
    """Return the smallest change of the wide kernel that makes this change of the narrow one."""
    project, groups = block.project.weight.flatten(1).double(), block.project.groups
    inverse: Tensor = torch.linalg.pinv(project.view(groups, -1, project.shape[1]))
    if isinstance(block, CollapsibleDeconv):
        return torch.einsum("po,ioyx->ipyx", inverse[0], change)
    per_group = change.flatten(1).view(groups, project.shape[0] // groups, -1)
    return (inverse @ per_group).view_as(block.expand.weight)
