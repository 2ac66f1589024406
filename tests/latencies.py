"""Measured latencies for the tests: real files, and times that a known device would take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgevsr.exporters.card import artifact_bytes
from edgevsr.exporters.targets import load_target
from edgevsr.profiling.cost_graph import cost_graph
from edgevsr.profiling.devices import Device, Fact
from edgevsr.profiling.roofline import estimate
from tests.graphs import fsrcnn_graph, quantized, sesr_graph

SIZE = (640, 360)
NETS = {
    "narrow": lambda scale: sesr_graph(4, 8, scale, activation="relu"),
    "middle": lambda scale: sesr_graph(3, 16, scale, activation="relu"),
    "wide": lambda scale: sesr_graph(2, 32, scale, activation="relu"),
    "rgb": lambda scale: sesr_graph(2, 24, scale, 3, activation="relu"),
    "deep": lambda scale: sesr_graph(9, 12, scale, activation="relu"),
    "deconvolution": lambda scale: fsrcnn_graph(24, 8, 2, scale, activation="relu"),
}
#: A device whose every constant is among those that a calibration tries.
TRUTH = {
    "peak_int8_tops": 4.0,
    "elementwise_gops": 3.0,
    "launch_ms": 1.5,
    "in_channel_multiple": 16,
    "out_channel_multiple": 8,
    "resident_bytes": 512 << 10,
}


def known_device() -> Device:
    """Return the device that the latencies are of; memory never holds it up."""
    facts = {key: Fact(value, "test", "measured") for key, value in TRUTH.items()}
    facts["dram_gb_s"] = Fact(1e4, "test", "measured")
    return Device("truth", "Truth", facts)


def write_files(folder: Path, scales: Iterable[int] = (2, 4)) -> list[tuple[str, str, float]]:
    """Write int8 .tflite files and return (network, file, ms) of each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, make in NETS.items():
        for scale in scales:
            path = folder / f"{name}-x{scale}.tflite"
            graph = quantized(make(scale))
            path.write_bytes(artifact_bytes(graph, load_target("tflite"), SIZE, "uint8"))
            ms = estimate(cost_graph(path), SIZE, known_device()).latency_ms
            rows.append((name, path.name, ms))
    return rows


def write_table(folder: Path, scales: Iterable[int] = (2, 4)) -> Path:
    """Write the files and the CSV of their latencies; return the CSV."""
    rows = write_files(folder, scales)
    table = folder / "latencies.csv"
    lines = [f"{network},{file},{ms!r}" for network, file, ms in rows]
    table.write_text("\n".join(["model,file,phone_ms", *lines, ""]))
    return table
