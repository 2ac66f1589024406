"""The verb `profile`: what a network costs, counted, estimated on a device or measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgevsr.errors import BudgetError, DeviceError, SpecError
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import (
    CONVENTION,
    PEAK_ASSUMPTION,
    TRAFFIC_ASSUMPTION,
    count_graph,
)
from edgevsr.spec import DEFAULT_SIZE, parse_size

if TYPE_CHECKING:
    from edgevsr.sources import Stage

Kind = Literal["static", "estimated", "measured"]


@dataclass(frozen=True)
class LayerProfile:
    """One node of the graph: its MACs, the bytes it moves and, where known, its time."""

    name: str
    op: str
    gmac: float
    bytes: int
    ms: float | None = None


@dataclass(frozen=True)
class ProfileReport:
    """What one LR frame of `size` (width, height) costs, and how that is known.

    `kind` says where times come from and they are of that kind alone: "static" has none,
    "estimated" are the roofline's, "measured" are this host's. `met` is None without a target.
    """

    kind: Kind
    source: str
    size: tuple[int, int]
    scale: int
    params: int
    gmac: float
    gmac_per_hr_pixel: float
    file_bytes: int
    peak_activation_bytes: int
    dram_bytes: int
    layers: tuple[LayerProfile, ...]
    assumptions: tuple[str, ...]
    device: str | None = None
    runtime: str | None = None
    threads: int | None = None
    runs: int | None = None
    latency_ms: float | None = None
    latency_ms_p90: float | None = None
    latency_ms_min: float | None = None
    utilisation: float | None = None
    bound_by: str | None = None
    target_fps: float | None = None
    convention: str = CONVENTION

    @property
    def fps(self) -> float | None:
        """Frames a second at the median latency, frames one after another."""
        return None if self.latency_ms is None else 1e3 / self.latency_ms

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, or None where there is none."""
        if self.target_fps is None or self.fps is None:
            return None
        return self.fps >= self.target_fps

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "kind": self.kind,
            "source": self.source,
            "size": f"{self.size[0]}x{self.size[1]}",
            "scale": self.scale,
            "device": self.device,
            "runtime": self.runtime,
            "threads": self.threads,
            "runs": self.runs,
            "params": self.params,
            "gmac": self.gmac,
            "gmac_per_hr_pixel": self.gmac_per_hr_pixel,
            "file_bytes": self.file_bytes,
            "peak_activation_bytes": self.peak_activation_bytes,
            "dram_bytes": self.dram_bytes,
            "latency_ms": self.latency_ms,
            "latency_ms_p90": self.latency_ms_p90,
            "latency_ms_min": self.latency_ms_min,
            "fps": self.fps,
            "target_fps": self.target_fps,
            "utilisation": self.utilisation,
            "bound_by": self.bound_by,
            "met": self.met,
            "layers": [vars(layer) for layer in self.layers],
            "assumptions": list(self.assumptions),
            "convention": self.convention,
        }


def profile(
    source: str | Path,
    *,
    size: tuple[int, int] | str | None = None,
    device: str | None = None,
    on: str | None = None,
    fps: float | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    dram_gb_s: float | None = None,
) -> ProfileReport:
    """Count what a network costs; with `device` estimate its speed, with `on="host"` measure it.

    `size` is the LR frame's (width, height) or WIDTHxHEIGHT, by default the source's own,
    else 640x360. `fps` is the target that `met` answers. `threads` and `runtime` ("litert" or
    "onnxruntime") go with `on`, `dram_gb_s` (10⁹ bytes a second, in place of the profile's) with
    `device`.

    Raises:
        SourceError: the source cannot be opened.
        SpecError: options that do not go together, or a size the network cannot have.
        BudgetError: an unknown or incomplete device, or a target without device or host.
        DeviceError: the runtime is missing or cannot run the file.
    """
    _check_options(device, on, fps, threads, runtime, dram_gb_s)
    from edgevsr.sources import open_source

    if isinstance(size, str):
        size = parse_size(size)
    stage = open_source(source)
    report = replace(_static(stage, size), target_fps=fps)
    if device is not None:
        return _estimated(report, stage.graph, device, dram_gb_s)
    if on is not None:
        return _measured(report, stage.graph, stage.path, runtime, threads)
    return report


def _check_options(
    device: str | None,
    on: str | None,
    fps: float | None,
    threads: int | None,
    runtime: str | None,
    dram_gb_s: float | None,
) -> None:
    if device is not None and on is not None:
        raise SpecError(
            "--device and --on: an estimate and a measurement are never mixed; run profile twice"
        )
    if on is not None and on != "host":
        raise DeviceError(f"--on {on!r}: expected host, this machine")
    if on is None and (threads is not None or runtime is not None):
        raise SpecError("--threads and --runtime: only a measurement has them; add --on host")
    if device is None and dram_gb_s is not None:
        raise SpecError(
            "--dram-gb-s: only an estimate uses it; add --device (edgevsr list devices)"
        )
    if threads is not None and not 1 <= threads <= 1024:
        raise SpecError(f"--threads {threads}: expected 1 to 1024")
    if fps is None:
        return
    if not 0 < fps < math.inf:
        raise SpecError(f"--fps {fps:g}: expected a positive number of frames a second")
    if device is None and on is None:
        raise BudgetError(
            "--fps: nothing says how fast the network runs; add --device NAME or --on host"
        )


def _static(stage: Stage, size: tuple[int, int] | None) -> ProfileReport:
    graph = stage.graph
    size = size or graph.size or DEFAULT_SIZE
    counts = count_graph(graph, size)
    return ProfileReport(
        kind="static",
        source=stage.name,
        size=size,
        scale=graph.scale,
        params=counts.params,
        gmac=counts.gmac,
        gmac_per_hr_pixel=counts.gmac_per_hr_pixel,
        file_bytes=_file_bytes(graph, stage.path),
        peak_activation_bytes=counts.peak_activation_bytes,
        dram_bytes=counts.dram_bytes,
        layers=tuple(
            LayerProfile(layer.node.name, layer.node.op, layer.macs / 1e9, layer.bytes)
            for layer in counts.layers
        ),
        assumptions=(PEAK_ASSUMPTION, TRAFFIC_ASSUMPTION),
    )


def _file_bytes(graph: Graph, path: Path) -> int:
    """Return the size of the source's file; for a checkpoint, that of what collapse would write."""
    if path.suffix in (".onnx", ".tflite"):
        return path.stat().st_size
    from edgevsr.exporters.onnx import onnx_bytes

    return len(onnx_bytes(graph))


def _estimated(
    report: ProfileReport, graph: Graph, device: str, dram_gb_s: float | None
) -> ProfileReport:
    from edgevsr.profiling.devices import load_device
    from edgevsr.profiling.roofline import estimate

    found = estimate(graph, report.size, load_device(device), dram_gb_s)
    return replace(
        report,
        kind="estimated",
        device=found.device,
        latency_ms=found.latency_ms,
        utilisation=found.utilisation,
        bound_by=found.bound_by,
        dram_bytes=found.dram_bytes,
        layers=tuple(
            replace(layer, bytes=cost.bytes, ms=cost.ms)
            for layer, cost in zip(report.layers, found.layers, strict=True)
        ),
        assumptions=(PEAK_ASSUMPTION, *found.assumptions),
    )


def _measured(
    report: ProfileReport, graph: Graph, path: Path, runtime: str | None, threads: int | None
) -> ProfileReport:
    from edgevsr.profiling import host
    from edgevsr.runtime.runners import available_threads

    threads = threads or available_threads()
    file = host.host_file(graph, path, report.size, host.choose_runtime(graph, path, runtime))
    timing = host.measure(file, report.size, threads)
    layer_ms: dict[str, float] = {}
    if file.runtime == "onnxruntime":
        layer_ms = host.onnxruntime_layer_ms(file, graph, report.size, threads)
        per_layer = "ms of layers: medians of a second, profiled run; null where it was fused"
    else:
        per_layer = "ms of layers: LiteRT's Python package has no operator profiler"
    return replace(
        report,
        kind="measured",
        runtime=file.runtime,
        threads=threads,
        runs=timing.runs,
        latency_ms=timing.p50_ms,
        latency_ms_p90=timing.p90_ms,
        latency_ms_min=timing.min_ms,
        layers=tuple(replace(layer, ms=layer_ms.get(layer.name)) for layer in report.layers),
        assumptions=(*report.assumptions, f"{file.how}, on random pixels", per_layer),
    )
