"""The verb `profile`: what a network costs, counted, estimated on a device or measured here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevsr import __version__
from edgevsr.errors import BudgetError, DeviceError, SpecError
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import PEAK_ASSUMPTION, TRAFFIC_ASSUMPTION, count_graph
from edgevsr.profiling.profile_report import Kind as Kind
from edgevsr.profiling.profile_report import LayerProfile as LayerProfile
from edgevsr.profiling.profile_report import ProfileReport as ProfileReport
from edgevsr.spec import DEFAULT_SIZE, as_size, check_fps

if TYPE_CHECKING:
    from edgevsr.profiling.devices import Device
    from edgevsr.profiling.host import HostFile
    from edgevsr.profiling.phones.measuring import PhoneOptions
    from edgevsr.profiling.subject import Subject
    from edgevsr.sources import Stage


def profile(
    source: str | Path,
    *,
    size: tuple[int, int] | str | None = None,
    device: str | None = None,
    on: str | Sequence[str] | None = None,
    fps: float | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    dram_gb_s: float | None = None,
    benchmark_binary: str | Path | None = None,
    adb: str | Path | None = None,
    delegate: str | None = None,
    runs: int | None = None,
    sustained: float | None = None,
    output: str | Path | None = None,
    force: bool = False,
) -> ProfileReport:
    """Count what a network costs; with `device` estimate its speed, with `on` measure it.

    `size` is the LR frame's (width, height) or WIDTHxHEIGHT, by default the source's own,
    else 640x360. `fps` is the target that `met` answers. `threads` and `runtime` ("litert" or
    "onnxruntime") go with `on`, `dram_gb_s` (10⁹ bytes a second, in place of the profile's) with
    `device`. `on` is "host", or one or several of "adb", "adb:SERIAL" and "adb:all": phones, all
    measured at once by the `benchmark_binary` over `runs` frames and, where `sustained` is given,
    for as many seconds more. A measurement is also written to `output`; on phones, without one, to
    `profiles/measured/`.

    Raises:
        SourceError: the source cannot be opened.
        SpecError: options that do not go together, or a size the network cannot have.
        BudgetError: an unknown or incomplete device, or a target without device or host.
        DeviceError: the runtime is missing or cannot run the file, or no phone gave any time.
        OutputError: the output exists, or cannot be written.
    """
    from edgevsr.profiling.phones.measuring import PhoneOptions
    from edgevsr.sources import open_source

    places = (on,) if isinstance(on, str) else tuple(on or ())
    phones = PhoneOptions(
        None if benchmark_binary is None else Path(benchmark_binary),
        None if adb is None else Path(adb),
        delegate,
        threads,
        runs,
        sustained,
    )
    _check_options(device, places, fps, threads, runtime, dram_gb_s)
    _check_places(places, phones, output)

    size = None if size is None else as_size(size)
    stage = open_source(source)
    report = replace(_static(stage, size), target_fps=fps)
    if device is not None:
        return _estimated(report, stage, device, dram_gb_s)
    output = None if output is None else Path(output)
    if places == ("host",):
        return _measured(report, stage, runtime, threads, output, force)
    if places:
        return _on_phones(report, stage, places, phones, runtime, output, force)
    return report


def _check_options(
    device: str | None,
    places: Sequence[str],
    fps: float | None,
    threads: int | None,
    runtime: str | None,
    dram_gb_s: float | None,
) -> None:
    if device is not None and places:
        raise SpecError(
            "--device and --on: an estimate and a measurement are never mixed; run profile twice"
        )
    if not places and (threads is not None or runtime is not None):
        raise SpecError("--threads and --runtime: only a measurement has them; add --on host")
    if device is None and dram_gb_s is not None:
        raise SpecError(
            "--dram-gb-s: only an estimate uses it; add --device (edgevsr list devices)"
        )
    if threads is not None and not 1 <= threads <= 1024:
        raise SpecError(f"--threads {threads}: expected 1 to 1024")
    if fps is None:
        return
    check_fps(fps)
    if device is None and not places:
        raise BudgetError(
            "--fps: nothing says how fast the network runs; add --device NAME or --on host"
        )


def _check_places(places: Sequence[str], options: PhoneOptions, output: str | Path | None) -> None:
    from edgevsr.profiling.phones.measuring import is_phone

    strange = [place for place in places if place != "host" and not is_phone(place)]
    if strange:
        raise DeviceError(
            f"--on {strange[0][:80]!r}: expected host, this machine, or adb, adb:SERIAL, adb:all"
        )
    if "host" in places and len(set(places)) > 1:
        raise SpecError("--on host and a phone: measure them one after the other")
    if options.given and not any(map(is_phone, places)):
        raise SpecError(f"{options.given[0]}: only a phone has it; add --on adb")
    if output is not None and not places:
        raise SpecError("-o: only a measurement is written; add --on host or --on adb")


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
    report: ProfileReport, stage: Stage, name: str, dram_gb_s: float | None
) -> ProfileReport:
    from edgevsr.profiling.devices import load_device
    from edgevsr.profiling.roofline import estimate

    device = load_device(name)
    if device.vela is not None:
        if dram_gb_s is not None:
            raise SpecError(f"--dram-gb-s: Vela has its own for {device.name}; leave it out")
        return _compiled(report, stage, device)
    found = estimate(stage.graph, report.size, device, dram_gb_s, _ends(stage, report.size))
    return replace(
        report,
        kind="estimated",
        estimator=f"edgevsr {__version__}, roofline",
        device=found.device,
        latency_ms=found.latency_ms,
        latency_ms_low=found.latency_ms_low,
        latency_ms_high=found.latency_ms_high,
        utilisation=found.utilisation,
        bound_by=found.bound_by,
        dram_bytes=found.dram_bytes,
        layers=tuple(
            replace(layer, bytes=cost.bytes, ms=cost.ms)
            for layer, cost in zip(report.layers, found.layers, strict=True)
        ),
        assumptions=(PEAK_ASSUMPTION, *found.assumptions),
    )


def _ends(stage: Stage, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the elements of each conversion at a .tflite file's ends, which no graph holds."""
    if stage.kind != "tflite" or stage.graph.size != size:
        return ()
    from edgevsr.profiling.cost_graph import end_elements

    return end_elements(stage.path)


def _compiled(report: ProfileReport, stage: Stage, device: Device) -> ProfileReport:
    """Estimate with Arm's own compiler: the int8 file itself, or what export would write of it."""
    from edgevsr.exporters.card import artifact_bytes
    from edgevsr.exporters.targets import load_target
    from edgevsr.profiling import vela

    graph = stage.graph
    if not graph.quantized:
        raise BudgetError(f"{device.name}: runs int8 only; quantize the network first")
    if stage.kind == "tflite" and graph.size == report.size:
        data, compiled = stage.path.read_bytes(), f"compiled: {stage.path.name} as it is"
    else:
        target = vela.target_of(device)
        data = artifact_bytes(graph, load_target(target), report.size, "int8")
        compiled = f"compiled: the file of edgevsr export --target {target}"
    found = vela.compile_with_vela(data, device)
    layer_cycles, rest = vela.cycles_of(found, [node.output for node in graph.nodes])
    ms_a_cycle = found.latency_ms / found.cycles
    peak = (device.value("peak_int8_tops") or math.inf) * 1e12
    return replace(
        report,
        kind="estimated",
        estimator=found.estimator,
        device=device.name,
        latency_ms=found.latency_ms,
        utilisation=2 * found.macs / (found.latency_ms / 1e3 * peak),
        bound_by=found.bound_by,
        dram_bytes=found.off_chip_bytes,
        cycles=found.cycles,
        arena_bytes=found.arena_bytes,
        arena_limit_bytes=found.arena_limit_bytes,
        sram_traffic_bytes=found.sram_traffic_bytes,
        cpu_operators=tuple(vars(operator) for operator in found.cpu_operators),
        obstacles=found.obstacles,
        layers=tuple(
            replace(layer, ms=None if cycles is None else cycles * ms_a_cycle)
            for layer, cycles in zip(report.layers, layer_cycles, strict=True)
        ),
        assumptions=(PEAK_ASSUMPTION, compiled, *vela.assumptions(found, device, rest)),
    )


def _measured(
    report: ProfileReport,
    stage: Stage,
    runtime: str | None,
    threads: int | None,
    output: Path | None,
    force: bool,
) -> ProfileReport:
    from edgevsr.files import check_output, write_json
    from edgevsr.profiling import host
    from edgevsr.profiling.host_facts import host_measured, measured_file
    from edgevsr.profiling.measured import LayerTime
    from edgevsr.runtime.runners import available_threads

    if output is not None:
        check_output(output, force)
    threads = threads or available_threads()
    graph, path = stage.graph, stage.path
    file = host.host_file(graph, path, report.size, host.choose_runtime(graph, path, runtime))
    timing = host.measure(file, report.size, threads)
    layers, per_layer = _layers_on_host(report, graph, file, threads)
    measured = host_measured(
        measured_file(file, stage.name),
        timing,
        file.runtime,
        threads,
        subject=_subject(report, stage),
        layers=tuple(
            LayerTime(layer.name, layer.op, layer.ms) for layer in layers if layer.ms is not None
        ),
    )
    if output is not None:
        write_json(output, measured.to_json(), force)
    return replace(
        report,
        kind="measured",
        runtime=file.runtime,
        threads=threads,
        runs=timing.runs,
        latency_ms=timing.p50_ms,
        latency_ms_p90=timing.p90_ms,
        latency_ms_min=timing.min_ms,
        layers=layers,
        measured=(measured,),
        outputs=() if output is None else (str(output),),
        assumptions=(*report.assumptions, f"{file.how}, on random pixels", per_layer),
    )


def _layers_on_host(
    report: ProfileReport, graph: Graph, file: HostFile, threads: int
) -> tuple[tuple[LayerProfile, ...], str]:
    """Return the layers with the times that the runtime tells of them, and how it told."""
    from edgevsr.profiling.host import onnxruntime_layer_ms

    if file.runtime != "onnxruntime":
        return report.layers, "ms of layers: LiteRT's Python package has no operator profiler"
    layer_ms = onnxruntime_layer_ms(file, graph, report.size, threads)
    return (
        tuple(replace(layer, ms=layer_ms.get(layer.name)) for layer in report.layers),
        "ms of layers: medians of a second, profiled run; null where it was fused",
    )


def _on_phones(
    report: ProfileReport,
    stage: Stage,
    places: Sequence[str],
    options: PhoneOptions,
    runtime: str | None,
    output: Path | None,
    force: bool,
) -> ProfileReport:
    from edgevsr.profiling.phones.measuring import measure_on_phones, report_fields

    stored = measure_on_phones(_subject(report, stage), places, options, runtime, output, force)
    fields = report_fields(stored)
    notes = (*report.assumptions, *fields.pop("assumptions"))
    return replace(report, **fields, assumptions=notes)


def _subject(report: ProfileReport, stage: Stage) -> Subject:
    from edgevsr.profiling.subject import Subject

    return Subject(stage.graph, stage.path, stage.name, report.size, stage.card, report.gmac)
