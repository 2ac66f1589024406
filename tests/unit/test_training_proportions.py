"""Steps of training for int8: as large beside an equalized weight as they were beside the other."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevsr.collapsing import narrow_graph
from edgevsr.errors import SourceError
from edgevsr.graph.ir import Graph
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build, net_spec
from edgevsr.training.proportions import Proportions, checked, in_proportion, rescale


def scaled(graph: Graph, tensors: dict[str, np.ndarray]) -> Graph:
    """Return the equal graph whose tensors have these factors on their channels."""
    nodes = []
    for node in graph.nodes:
        weight, bias = node.weight, node.bias
        assert weight is not None
        assert bias is not None
        if node.output in tensors:
            weight = weight * tensors[node.output].reshape(-1, 1, 1, 1)
            bias = bias * tensors[node.output]
        if node.inputs[0] in tensors:
            weight = weight / tensors[node.inputs[0]]
        nodes.append(replace(node, weight=weight.astype(np.float32), bias=bias.astype(np.float32)))
    return replace(graph, nodes=tuple(nodes))


@pytest.fixture
def pair() -> tuple[Net, Net, Proportions]:
    """An FSRCNN, and the same function with factors of up to 64 on its channels."""
    torch.manual_seed(0)
    net = build(replace(net_spec("fsrcnn-s", 2, "relu"), expansion=64))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    other, graph, rng = deepcopy(net), narrow_graph(net), np.random.default_rng(0)
    widths = {name: graph.tensors[name].channels for name in ("extract_act", "map0_act")}
    factors = {name: np.exp(rng.uniform(0, 4, width)) for name, width in widths.items()}
    return net, other, rescale(other, graph, scaled(graph, factors))


def test_the_wide_net_stays_the_same_function(pair: tuple[Net, Net, Proportions]) -> None:
    net, other, proportions = pair
    frame = torch.rand(1, 1, 14, 11)
    with torch.no_grad():
        torch.testing.assert_close(other(frame), net(frame), rtol=0, atol=1e-5)
    assert max(float(each.max() / each.min()) for each in proportions.values()) > 20


def test_a_step_is_that_of_the_net_before(pair: tuple[Net, Net, Proportions]) -> None:
    """Adam's first step has one size for all weights, so factors would show in it."""
    frame, outputs = torch.rand(1, 1, 14, 11), []
    for net, proportions in ((pair[0], {}), (pair[1], pair[2]), (deepcopy(pair[1]), {})):
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        (net(frame) - 0.5).abs().mean().backward()
        with torch.no_grad():
            before = net(frame)
        with in_proportion(net, proportions):
            optimizer.step()
        with torch.no_grad():
            outputs.append(net(frame) - before)
    first, proportioned, plain = outputs
    off, off_plain = (float((each - first).abs().max()) for each in (proportioned, plain))
    assert off < 0.01 * float(first.abs().max())
    assert off_plain > 10 * off


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("extract.expand.bias", torch.ones(3)),
        ("extract.project.bias", torch.tensor(float("nan"))),
        ("extract.project.bias", torch.tensor(0.0)),
        ("deconv.expand.weight", torch.ones(2, 1, 1, 1, 1)),
        ("other", torch.ones(1)),
    ],
)
def test_damaged_proportions_are_named(
    pair: tuple[Net, Net, Proportions], name: str, factor: torch.Tensor
) -> None:
    assert checked(pair[0], pair[2], Path("run")) == pair[2]
    with pytest.raises(SourceError, match=f"proportion of {name}"):
        checked(pair[0], {name: factor}, Path("run"))
