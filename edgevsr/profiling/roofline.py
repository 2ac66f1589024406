"""The cost model, in one sentence: layers run one after another, and each takes the longest of its
arithmetic on the MAC array (two operations a MAC; channels padded to the array, Winograd and zero
insertion where the profile says so), its element-wise work on the vector unit, and its traffic to
DRAM, where activations ride along with the layer that feeds them and a tensor stays on the chip
while everything alive beside it fits in SRAM.

The estimate is a bound that a compiler may beat by cascading strips of several layers through SRAM
and may miss by stalls that no data sheet states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from edgevsr.errors import BudgetError
from edgevsr.graph.ir import Graph, Node
from edgevsr.profiling.counts import MAC_OPS, Counts, Layer, count_graph, lifetimes
from edgevsr.profiling.devices import Device, Fact

Limit = Literal["compute", "elementwise", "memory"]

#: Applied by the layer that produces their input, at no cost of their own.
RIDING_OPS = ("relu", "leaky_relu", "prelu", "clip")


@dataclass(frozen=True)
class LayerEstimate:
    """One layer's estimated time, the bytes it moves to and from DRAM, and what limits it.

    A layer that rides along with its producer has no time, no bytes and no limit.
    """

    bytes: int
    ms: float
    limit: Limit | None


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of one frame on a device.

    `utilisation` is the graph's own MACs over what the array could do in that time. `bound_by` is
    the limit that the largest part of the time goes to. `layers` follows the graph's nodes.
    """

    device: str
    latency_ms: float
    utilisation: float
    bound_by: Limit
    dram_bytes: int
    layers: tuple[LayerEstimate, ...]
    assumptions: tuple[str, ...]

    @property
    def fps(self) -> float:
        """Frames a second when frames follow one another without overlap."""
        return 1e3 / self.latency_ms


@dataclass(frozen=True)
class _Machine:
    """A device profile reduced to the model's constants, in operations and bytes a second."""

    ops_per_s: float
    bytes_per_s: float
    elements_per_s: float
    sram_bytes: int
    in_multiple: int
    out_multiple: int
    deconvolution_per_hr_pixel: bool
    winograd: bool


def estimate(
    graph: Graph, size: tuple[int, int], device: Device, dram_gb_s: float | None = None
) -> Estimate:
    """Return the roofline estimate of one LR frame of `size` (width, height) on a device.

    `dram_gb_s` (10⁹ bytes a second) takes the place of the profile's bandwidth.

    Raises:
        BudgetError: the profile has no peak for the graph's number type, or no bandwidth and none
            is given, or `dram_gb_s` is not a positive number.
        SpecError: the graph cannot run at this size.
    """
    machine = _machine(graph, device, dram_gb_s)
    fused = ride_along(graph)
    counts = count_graph(fused, size)
    on_chip = _on_chip(fused, counts, machine.sram_bytes)
    costs = [_estimate_layer(layer, machine, on_chip) for layer in counts.layers]
    total_ms = sum(cost.ms for cost in costs)
    time_of: dict[Limit, float] = {"compute": 0.0, "elementwise": 0.0, "memory": 0.0}
    for cost in costs:
        if cost.limit is not None:
            time_of[cost.limit] += cost.ms
    operations = sum(2 * layer.macs for layer in counts.layers)
    return Estimate(
        device=device.name,
        latency_ms=total_ms,
        utilisation=operations / (total_ms / 1e3 * machine.ops_per_s),
        bound_by=max(time_of, key=lambda limit: time_of[limit]),
        dram_bytes=sum(cost.bytes for cost in costs),
        layers=_per_node(graph, costs),
        assumptions=_assumptions(device, machine, dram_gb_s),
    )


def require_bandwidth(device: Device, dram_gb_s: float | None = None) -> float:
    """Return the memory bandwidth to reckon with, in 10⁹ bytes a second.

    Raises:
        BudgetError: neither the profile nor the caller gives one, or the caller's is not positive.
    """
    if dram_gb_s is not None and not 0 < dram_gb_s < math.inf:
        raise BudgetError(f"--dram-gb-s {dram_gb_s:g}: expected a positive number of 10^9 bytes/s")
    bandwidth = dram_gb_s if dram_gb_s is not None else device.value("dram_gb_s")
    if bandwidth is None:
        raise BudgetError(
            f"{device.name}: no source states its memory bandwidth; measure or look up your "
            "system's and give it with --dram-gb-s"
        )
    return bandwidth


def _machine(graph: Graph, device: Device, dram_gb_s: float | None) -> _Machine:
    kind = "int8" if graph.quantized else "float"
    peak = device.value(f"peak_{kind}_tops")
    if peak is None:
        way_out = (
            "quantize the network first: edgevsr quantize"
            if kind == "float"
            else "choose another device: edgevsr list devices"
        )
        raise BudgetError(f"{device.name}: its profile states no {kind} peak; {way_out}")
    bandwidth = require_bandwidth(device, dram_gb_s)
    elementwise = device.value("elementwise_gops")
    return _Machine(
        ops_per_s=peak * 1e12,
        bytes_per_s=bandwidth * 1e9,
        elements_per_s=math.inf if elementwise is None else elementwise * 1e9,
        sram_bytes=int(device.value("sram_bytes") or 0),
        in_multiple=int(device.value("in_channel_multiple") or 1),
        out_multiple=int(device.value("out_channel_multiple") or 1),
        deconvolution_per_hr_pixel=bool(device.value("deconvolution_per_hr_pixel")),
        winograd=bool(device.value("winograd")),
    )


def _riders(graph: Graph) -> dict[str, str]:
    """Map the input of each activation that rides along with its producer to its output.

    An activation rides only where nothing else reads the value before it.
    """
    produced = {node.output for node in graph.nodes}
    return {
        node.inputs[0]: node.output
        for node in graph.nodes
        if node.op in RIDING_OPS
        and node.inputs[0] in produced
        and node.inputs[0] not in graph.outputs
        and len(graph.consumers(node.inputs[0])) == 1
    }


def _rides(node: Node, riders: dict[str, str]) -> bool:
    return riders.get(node.inputs[0]) == node.output


def ride_along(graph: Graph) -> Graph:
    """Return the graph without the activations that the producer of their input applies.

    For counting only: those activations are no longer in it.
    """
    riders = _riders(graph)
    nodes = []
    for node in graph.nodes:
        if _rides(node, riders):
            continue
        output = node.output
        while output in riders:
            output = riders[output]
        nodes.append(replace(node, output=output))
    return replace(graph, nodes=tuple(nodes))


def _per_node(graph: Graph, costs: list[LayerEstimate]) -> tuple[LayerEstimate, ...]:
    """Return one estimate a node of the graph, where riding activations cost nothing."""
    riders, remaining = _riders(graph), iter(costs)
    nothing = LayerEstimate(0, 0.0, None)
    return tuple(nothing if _rides(node, riders) else next(remaining) for node in graph.nodes)


def _on_chip(graph: Graph, counts: Counts, sram_bytes: int) -> frozenset[str]:
    """Return the intermediate tensors that never leave the chip.

    A tensor stays when at every node of its life all living activations fit in SRAM together.
    """
    kept = set()
    for name, (born, last) in lifetimes(graph).items():
        if name in graph.inputs or name in graph.outputs:
            continue
        if max(counts.live_bytes[born : last + 1], default=0) <= sram_bytes:
            kept.add(name)
    return frozenset(kept)


def _estimate_layer(layer: Layer, machine: _Machine, on_chip: frozenset[str]) -> LayerEstimate:
    activations = {**layer.inputs, layer.node.output: layer.output_bytes}
    moved = layer.weight_bytes + sum(
        size for name, size in activations.items() if name not in on_chip
    )
    on_array = layer.node.op in MAC_OPS
    seconds: dict[Limit, float] = {
        "memory": moved / machine.bytes_per_s,
        "compute": 2 * _array_macs(layer, machine) / machine.ops_per_s,
        "elementwise": 0.0 if on_array else layer.output_elements / machine.elements_per_s,
    }
    limit = max(seconds, key=lambda each: seconds[each])
    return LayerEstimate(moved, seconds[limit] * 1e3, limit)


def _array_macs(layer: Layer, machine: _Machine) -> float:
    """Return the MACs the array spends, idle lanes of padded channels included."""
    weight = layer.node.weight
    if weight is None or layer.node.op not in MAC_OPS:
        return 0.0
    out_channels, height, width, in_channels = map(int, weight.shape)
    padded = _up(out_channels, machine.out_multiple) * _up(in_channels, machine.in_multiple)
    macs = layer.macs_per_hr_pixel if machine.deconvolution_per_hr_pixel else layer.macs
    gain = _winograd_gain(height, width) if machine.winograd else 1.0
    return macs / (out_channels * in_channels) * padded / gain


def _winograd_gain(height: int, width: int) -> float:
    """Return the MACs a direct kernel takes for each one of its F(2×2, 3×3) Winograd form.

    A larger kernel is cut into 3×3 pieces, of 16 products for 2×2 outputs each; where that takes
    more than the direct form, the direct form is used.

    Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1.
    """
    if height == 1 or width == 1:
        return 1.0
    return max(1.0, 4 * height * width / (16 * math.ceil(height / 3) * math.ceil(width / 3)))


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _assumptions(device: Device, machine: _Machine, dram_gb_s: float | None) -> tuple[str, ...]:
    lines = [f"note: {device.notes}"] if device.notes else []
    for key, fact in device.facts.items():
        if key == "dram_gb_s" and dram_gb_s is not None:
            continue
        if fact.mark in ("assumed", "claimed"):
            lines.append(f"{fact.mark}: {key} = {_number(fact)} ({fact.source})")
    if dram_gb_s is not None:
        lines.append(f"given: dram_gb_s = {dram_gb_s:g} (--dram-gb-s)")
    lines.append("layers run one after another; activations ride along with their producer")
    if machine.sram_bytes:
        lines.append(
            f"a tensor stays on chip while all that lives beside it fits in {machine.sram_bytes} "
            "bytes of SRAM; no cascading of strips"
        )
    else:
        lines.append("the profile states no SRAM: every tensor goes through DRAM")
    if math.isinf(machine.elements_per_s):
        lines.append("the profile states no element-wise rate: such ops cost their traffic alone")
    per = "HR" if machine.deconvolution_per_hr_pixel else "LR"
    lines.append(f"transposed convolutions cost the array their MACs per {per} pixel")
    if machine.winograd:
        lines.append("kernels run in Winograd form (F(2x2, 3x3)) where that takes fewer products")
    return tuple(lines)


def _number(fact: Fact) -> str:
    return str(fact.value).lower() if isinstance(fact.value, bool) else f"{fact.value:g}"
