"""A measurement on this host as the object that phones and browsers give too."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from edgevsr import __version__
from edgevsr.files import sha256_of
from edgevsr.profiling.host import HostFile, Timing
from edgevsr.profiling.measured import (
    Latency,
    LayerTime,
    Measured,
    MeasuredDevice,
    MeasuredFile,
    MeasuredRuntime,
)
from edgevsr.profiling.subject import Subject

_PACKAGES = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}


def host_measured(
    file: MeasuredFile,
    timing: Timing,
    runtime: str,
    threads: int,
    *,
    subject: Subject,
    layers: tuple[LayerTime, ...] = (),
) -> Measured:
    """Return what was measured on this machine."""
    package = _PACKAGES[runtime]
    return Measured(
        kind="measured",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        file=file,
        device=host_device(),
        runtime=MeasuredRuntime(runtime, version(package), "cpu", threads),
        runs=timing.runs,
        latency_ms=Latency(
            p50=timing.p50_ms,
            p90=timing.p90_ms,
            p95=timing.p95_ms,
            mean=timing.mean_ms,
            min=timing.min_ms,
            max=timing.max_ms,
            std=timing.std_ms,
        ),
        layers=layers,
        tools={"edgevsr": __version__, package: version(package), "os": platform.system()},
        **vars(subject.facts),
    )


def host_device() -> MeasuredDevice:
    """Return what this machine is, as far as it says."""
    model = _first(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.processor()
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    model = " ".join(model.split())[:200]
    return MeasuredDevice(
        name=re.sub(r"[^a-z0-9]+", "-", f"host {model}".lower()).strip("-")[:80],
        model=model or None,
        abi=platform.machine() or None,
        cores=os.cpu_count(),
        governor=_first(governor, r"([\w-]+)"),
    )


def _first(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text("utf-8", "replace"))
    except OSError:
        return None
    return found[1] if found else None


def measured_file(file: HostFile, name: str) -> MeasuredFile:
    """Return what names the file that ran; one made for the run goes by the network's name."""
    if isinstance(file.data, Path):
        return MeasuredFile(file.data.name, sha256_of(file.data), file.data.stat().st_size)
    digest = hashlib.sha256(file.data).hexdigest()
    return MeasuredFile(name + file.suffix, digest, len(file.data))
