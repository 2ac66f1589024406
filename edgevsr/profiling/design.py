"""How wide and how deep a network of a family may be on a device: the deepest of each width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from edgevsr.graph.ir import Graph, Node, QuantParams
from edgevsr.profiling.counts import MAC_OPS, count_graph
from edgevsr.profiling.devices import Device
from edgevsr.profiling.roofline import Estimate, estimate

#: Widths (num_feat) that are tried, multiples of what MAC arrays pad channels to.
WIDTHS = (8, 12, 16, 24, 32, 48, 64)
MOST_BLOCKS = 32
#: Families whose names spell out width and depth, so that any size of them can be trained.
SPELLED = {"sesr": "sesr-f{f}-m{m}", "rsesr": "rsesr-f{f}-m{m}-s12"}

GraphOf = Callable[[str], Graph]


@dataclass(frozen=True)
class Member:
    """A network of a family by its name, and what it would cost; it need not be trained.

    `fps` is the estimate's, within `fps_low` and `fps_high`, which are None where nothing measured
    tells. `next_fps` is that of the same width one block deeper, None at the most tried.
    """

    net: str
    family: str
    num_feat: int
    num_block: int
    params: int
    gmac: float
    fps: float
    fps_low: float | None
    fps_high: float | None
    next_fps: float | None


@dataclass(frozen=True)
class Budget:
    """A device, an LR frame size (width, height) and the frames a second to reach on it."""

    device: Device
    size: tuple[int, int]
    fps: float
    dram_gb_s: float | None = None

    def estimate(self, graph: Graph) -> Estimate:
        """Return the estimate of a graph on this device at this size."""
        return estimate(graph, self.size, self.device, self.dram_gb_s)


def fps_range(found: Estimate) -> tuple[float | None, float | None]:
    """Return the frames a second between which the truth is expected, None where unknown."""
    if found.latency_ms_low is None or found.latency_ms_high is None:
        return None, None
    return 1e3 / found.latency_ms_high, 1e3 / found.latency_ms_low


def deepest_members(
    graph_of: GraphOf, budget: Budget, widths: Iterable[int] = WIDTHS
) -> Iterator[Member]:
    """Yield, for each family and width, the deepest network that reaches the budget's rate.

    `graph_of` gives the narrow float graph of a network's name. A width of which one block is too
    slow is left out.
    """
    for family, pattern in SPELLED.items():
        for width in widths:
            found = _deepest(family, pattern, width, graph_of, budget)
            if found is not None:
                yield found


def _deepest(
    family: str, pattern: str, width: int, graph_of: GraphOf, budget: Budget
) -> Member | None:
    def at(depth: int) -> tuple[str, Graph, Estimate]:
        name = pattern.format(f=width, m=depth)
        graph = as_int8(graph_of(name))
        return name, graph, budget.estimate(graph)

    one, two = at(1)[2].latency_ms, at(2)[2].latency_ms
    # Blocks are alike, so latency is a line in their number; what is on the chip bends it little.
    depth = 1 + int((1e3 / budget.fps - one) / max(two - one, 1e-9))
    depth = min(max(depth, 1), MOST_BLOCKS)
    while depth >= 1 and at(depth)[2].fps < budget.fps:
        depth -= 1
    if depth < 1:
        return None
    while depth < MOST_BLOCKS and at(depth + 1)[2].fps >= budget.fps:
        depth += 1
    name, graph, found = at(depth)
    counts = count_graph(graph, budget.size)
    low, high = fps_range(found)
    deeper = at(depth + 1)[2].fps if depth < MOST_BLOCKS else None
    return Member(
        name, family, width, depth, counts.params, counts.gmac, found.fps, low, high, deeper
    )


def as_int8(graph: Graph) -> Graph:
    """Return a float graph with the types of its int8 form, for counting only: no value is kept."""
    codes = QuantParams(1 / 255, -128)
    return replace(
        graph,
        nodes=tuple(_int8_types(node) for node in graph.nodes),
        qparams=dict.fromkeys(graph.tensors, codes),
    )


def _int8_types(node: Node) -> Node:
    if node.weight is None or node.op not in MAC_OPS:
        return node
    weight = np.broadcast_to(np.zeros((), np.int8), node.weight.shape)
    bias = None if node.bias is None else np.broadcast_to(np.zeros((), np.int32), node.bias.shape)
    return replace(node, weight=weight, bias=bias)


def proposals(members: Iterable[Member]) -> list[Member]:
    """Return, for each family, the member of most weights: what buys quality at a given rate.

    At a given time wide and shallow costs as much as narrow and deep; of the deepest of every
    width the one with most weights has the most to train.
    """
    best: dict[str, Member] = {}
    for member in members:
        if member.family not in best or member.params > best[member.family].params:
            best[member.family] = member
    return list(best.values())
