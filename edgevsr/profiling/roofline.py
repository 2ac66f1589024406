"""The cost model, in one sentence: after a fixed launch, layers run one after another, and each
takes the longest of its arithmetic on the MAC array (two operations a MAC; channels padded to the
array, Winograd and zero insertion where the profile says so), its element-wise work (additions,
clips, concatenations and shuffles of pixels, a pass over the output each, of which what is still on
the chip costs nothing), and its traffic to DRAM, where activations ride along with the layer that
computes their input and a tensor stays on the chip while everything alive beside it fits in SRAM.

With a data sheet's numbers the estimate is a bound that a compiler may beat by cascading strips of
several layers through SRAM and may miss by stalls that no data sheet states; with numbers that
`edgevsr calibrate` fitted to measured latencies it comes with the error seen on networks left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgevsr.errors import BudgetError
from edgevsr.graph.ir import Graph
from edgevsr.profiling.devices import Device, Fact
from edgevsr.profiling.work import Structure, Work, graph_work, riders, rides

Limit = Literal["compute", "elementwise", "memory"]


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
    the limit that the largest part of the time goes to. `layers` follows the graph's nodes;
    `overhead_ms` is what a frame costs beside them: its launch and the conversions at its ends.
    The true latency is expected between `latency_ms_low` and `latency_ms_high`, None where nothing
    measured says how far to trust the profile; `uncertainty` is in words where that range is from.
    """

    device: str
    latency_ms: float
    latency_ms_low: float | None
    latency_ms_high: float | None
    uncertainty: str
    overhead_ms: float
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
    launch_ms: float
    structure: Structure


def estimate(
    graph: Graph,
    size: tuple[int, int],
    device: Device,
    dram_gb_s: float | None = None,
    end_elements: Sequence[int] = (),
) -> Estimate:
    """Return the roofline estimate of one LR frame of `size` (width, height) on a device.

    `dram_gb_s` (10⁹ bytes a second) takes the place of the profile's bandwidth. `end_elements`
    holds the elements of each conversion at the file's ends (one byte each), element-wise work that
    the graph does not hold.

    Raises:
        BudgetError: the profile has no peak for the graph's number type, or no bandwidth and none
            is given, or `dram_gb_s` is not a positive number.
        SpecError: the graph cannot run at this size.
    """
    machine = _machine(graph, device, dram_gb_s)
    counts, work = graph_work(graph, size, machine.structure)
    costs = [_estimate_layer(each, machine) for each in work]
    overhead_ms = machine.launch_ms + _ends_ms(end_elements, machine)
    total_ms = overhead_ms + sum(cost.ms for cost in costs)
    time_of: dict[Limit, float] = {"compute": 0.0, "elementwise": 0.0, "memory": 0.0}
    for cost in costs:
        if cost.limit is not None:
            time_of[cost.limit] += cost.ms
    operations = sum(2 * layer.macs for layer in counts.layers)
    low, high, uncertainty = device.range_of(total_ms)
    return Estimate(
        device=device.name,
        latency_ms=total_ms,
        latency_ms_low=low,
        latency_ms_high=high,
        uncertainty=uncertainty,
        overhead_ms=overhead_ms,
        utilisation=operations / (total_ms / 1e3 * machine.ops_per_s),
        bound_by=max(time_of, key=lambda limit: time_of[limit]),
        dram_bytes=sum(cost.bytes for cost in costs),
        layers=_per_node(graph, costs),
        assumptions=(
            *_assumptions(device, machine, dram_gb_s, f"{size[0]}x{size[1]}"),
            f"uncertainty: {uncertainty}",
        ),
    )


def require_bandwidth(device: Device, dram_gb_s: float | None = None) -> float:
    """Return the memory bandwidth to reckon with, in 10⁹ bytes a second.

    It is infinite for a calibrated device on which no measured network was held up by memory.

    Raises:
        BudgetError: neither the profile nor the caller gives one, or the caller's is not positive.
    """
    if dram_gb_s is not None and not 0 < dram_gb_s < math.inf:
        raise BudgetError(f"--dram-gb-s {dram_gb_s:g}: expected a positive number of 10^9 bytes/s")
    bandwidth = dram_gb_s if dram_gb_s is not None else device.value("dram_gb_s")
    if bandwidth is None and device.calibration is not None:
        return math.inf
    if bandwidth is None:
        raise BudgetError(
            f"{device.name}: no source states its memory bandwidth; measure or look up your "
            "system's and give it with --dram-gb-s, or fit a profile: edgevsr calibrate"
        )
    return bandwidth


def require_peak(device: Device, kind: Literal["int8", "float"]) -> float:
    """Return the peak of a number type in 10¹² operations a second, two a MAC.

    Raises:
        BudgetError: the profile states none; the message says what to do instead.
    """
    peak = device.value(f"peak_{kind}_tops")
    if peak is not None:
        return peak
    if device.unpublished:
        raise BudgetError(
            f"{device.name}: {device.unpublished}, so there is nothing to estimate from; measure "
            "some networks on it and run: edgevsr calibrate --from FILE.csv -o MY.toml"
        )
    way_out = (
        "quantize the network first: edgevsr quantize"
        if kind == "float"
        else "choose another device: edgevsr list devices"
    )
    raise BudgetError(f"{device.name}: its profile states no {kind} peak; {way_out}")


def _machine(graph: Graph, device: Device, dram_gb_s: float | None) -> _Machine:
    peak = require_peak(device, "int8" if graph.quantized else "float")
    bandwidth = require_bandwidth(device, dram_gb_s)
    elementwise = device.value("elementwise_gops")
    return _Machine(
        ops_per_s=peak * 1e12,
        bytes_per_s=bandwidth * 1e9,
        elements_per_s=math.inf if elementwise is None else elementwise * 1e9,
        launch_ms=device.value("launch_ms") or 0.0,
        structure=Structure(
            in_multiple=int(device.value("in_channel_multiple") or 1),
            out_multiple=int(device.value("out_channel_multiple") or 1),
            sram_bytes=int(device.value("sram_bytes") or 0),
            resident_bytes=int(device.value("resident_bytes") or 0),
            deconvolution_per_hr_pixel=bool(device.value("deconvolution_per_hr_pixel")),
            winograd=bool(device.value("winograd")),
        ),
    )


def _per_node(graph: Graph, costs: list[LayerEstimate]) -> tuple[LayerEstimate, ...]:
    """Return one estimate a node of the graph, where riding activations cost nothing."""
    ridden, remaining = riders(graph), iter(costs)
    nothing = LayerEstimate(0, 0.0, None)
    return tuple(nothing if rides(node, ridden) else next(remaining) for node in graph.nodes)


def _ends_ms(end_elements: Sequence[int], machine: _Machine) -> float:
    absent = sum(max(0, count - machine.structure.resident_bytes) for count in end_elements)
    return absent / machine.elements_per_s * 1e3


def _estimate_layer(work: Work, machine: _Machine) -> LayerEstimate:
    seconds: dict[Limit, float] = {
        "memory": work.bytes / machine.bytes_per_s,
        "compute": work.operations / machine.ops_per_s,
        "elementwise": work.elements / machine.elements_per_s,
    }
    limit = max(seconds, key=lambda each: seconds[each])
    return LayerEstimate(work.bytes, seconds[limit] * 1e3, limit)


def _assumptions(
    device: Device, machine: _Machine, dram_gb_s: float | None, size: str
) -> tuple[str, ...]:
    lines = [f"note: {device.notes}"] if device.notes else []
    if device.calibration is not None and size not in device.calibration.sizes:
        fitted_at = ", ".join(device.calibration.sizes)
        lines.append(f"extrapolated: fitted at LR {fitted_at}, so the range below is of that size")
    for key, fact in device.facts.items():
        if key == "dram_gb_s" and dram_gb_s is not None:
            continue
        if fact.mark in ("assumed", "claimed"):
            lines.append(f"{fact.mark}: {key} = {_number(fact)} ({fact.source})")
    if dram_gb_s is not None:
        lines.append(f"given: dram_gb_s = {dram_gb_s:g} (--dram-gb-s)")
    lines.append("layers run one after another; activations ride along with their producer")
    structure = machine.structure
    if structure.sram_bytes:
        lines.append(
            f"a tensor stays on chip while all that lives beside it fits in {structure.sram_bytes} "
            "bytes of SRAM; no cascading of strips"
        )
    elif structure.resident_bytes:
        lines.append(
            f"of each tensor, element-wise layers find {structure.resident_bytes} bytes on the chip"
        )
    else:
        lines.append("the profile states no SRAM: every tensor goes through DRAM")
    if math.isinf(machine.elements_per_s):
        lines.append("the profile states no element-wise rate: such ops cost their traffic alone")
    if math.isinf(machine.bytes_per_s):
        lines.append("no network it was calibrated on was held up by memory: traffic costs nothing")
    per = "HR" if structure.deconvolution_per_hr_pixel else "LR"
    lines.append(f"transposed convolutions cost the array their MACs per {per} pixel")
    if structure.winograd:
        lines.append("kernels run in Winograd form (F(2x2, 3x3)) where that takes fewer products")
    return tuple(lines)


def _number(fact: Fact) -> str:
    return str(fact.value).lower() if isinstance(fact.value, bool) else f"{fact.value:g}"
