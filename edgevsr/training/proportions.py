"""Steps in proportion to weights whose channels were brought to one range.

Channels' factors make a block's weights up to 64 times as large or as small. Adam steps all weights
alike, so without this a step would shake small ones as nothing in float training did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgevsr.errors import SourceError
from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.nets.blocks import CollapsibleDeconv
from edgevsr.nets.narrow_form import Block, blocks_of
from edgevsr.nets.ops import Net

#: A step's size beside the one it would have had before, by the parameter's name; broadcasts.
Proportions = dict[str, Tensor]

_TINY = 1e-12


def rescale(net: Net, before: Graph, after: Graph) -> Proportions:
    """Scale the wide weights as the narrow graph's channels were scaled, and return what follows
    for steps. What the factors do not explain is left as it is."""
    nodes, blocks = {node.name: node for node in after.nodes}, blocks_of(net)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    found = Proportions()
    for node in before.nodes:
        block = blocks.get(node.name)
        if block is None or node.name not in nodes or block.expand.groups > 1:
            continue
        made, read = _factors(node, nodes[node.name])
        for parameter, factor in _shares(block, made, read):
            with torch.no_grad():
                parameter.mul_(factor)
            found[names[id(parameter)]] = factor.clone()
    return found


def _shares(block: Block, made: Tensor, read: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each weight of a block and its part of the factors of channels out and in."""
    inside = read.view(-1, 1, 1, 1) if isinstance(block, CollapsibleDeconv) else read.view(-1, 1, 1)
    assert block.project.bias is not None
    yield block.expand.weight, inside
    yield block.project.weight, made.view(-1, 1, 1, 1)
    yield block.project.bias, made


def _factors(before: Node, after: Node) -> tuple[Tensor, Tensor]:
    """Return what a layer's weights (O, …, I) were multiplied by for each channel out and in."""
    ratio = _growth(before.weight, after.weight, (1, 2))
    made, read = ratio.mean(1), ratio.mean(0) - ratio.mean()
    # Weights tell the product of the two alone; biases are multiplied by the one for channels out.
    shared = np.median(_growth(before.bias, after.bias) - made)
    out, into = (torch.from_numpy(np.exp(log)).float() for log in (made + shared, read - shared))
    return out, into


def _growth(
    before: Array | None, after: Array | None, axes: tuple[int, ...] = ()
) -> NDArray[np.float64]:
    """Return the logarithm of how many times as large values are, summed over `axes`."""
    assert before is not None
    assert after is not None
    sums = (np.abs(each.astype(np.float64)).sum(axes) + _TINY for each in (after, before))
    found: NDArray[np.float64] = np.subtract(*(np.log(each) for each in sums))
    return found


def checked(net: nn.Module, found: Proportions, path: Path) -> Proportions:
    """Return what a checkpoint holds of proportions.

    Raises:
        SourceError: one is of no weight of the net, does not fit it, or is not positive.
    """
    shapes = {name: parameter.shape for name, parameter in net.named_parameters()}
    for name, factor in found.items():
        own = shapes.get(name, torch.Size())
        fits = factor.dim() <= len(own) and all(
            size in (1, wanted) for size, wanted in zip(factor.shape[::-1], own[::-1], strict=False)
        )
        if not fits or not torch.isfinite(factor).all() or not (factor > 0).all():
            raise SourceError(f"{path}: the proportion of {name} is damaged; train it anew")
    return found


@contextmanager
def in_proportion(net: nn.Module, proportions: Mapping[str, Tensor]) -> Iterator[None]:
    """Shorten or lengthen what a step does within to each weight that is named."""
    started = [
        (parameter, parameter.detach().clone(), proportions[name])
        for name, parameter in net.named_parameters()
        if name in proportions
    ]
    yield
    with torch.no_grad():
        for parameter, start, proportion in started:
            parameter.copy_(start + (parameter - start) * proportion)
