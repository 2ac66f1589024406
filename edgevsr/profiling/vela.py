"""Arm's Vela compiler on an int8 file for an Ethos-U: cycles, memory and what the CPU must run.

Vela runs as a program of its own: it takes files from anywhere, and a fault in it stays there.
"""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgevsr.errors import BudgetError, DeviceError, EdgeVsrError, missing_extra
from edgevsr.graph.tflite_file import read_model
from edgevsr.profiling.devices import Device

PACKAGE = "ethos-u-vela"

_TIMEOUT_SECONDS = 300.0
_MAX_CSV_BYTES = 16 << 20
_KIB = 1024
#: What Vela leaves in the compiled file for the NPU's part of the network.
_COMPILED = "custom ethos-u"
_OFF_CHIP = ("dram_total_bytes", "off_chip_flash_total_bytes")
_MEMORY_CYCLES = ("cycles_sram_access", "cycles_dram_access", "cycles_off_chip_flash_access")


@dataclass(frozen=True)
class CpuOperator:
    """An operator that Vela left to the CPU, and the tensor it makes."""

    operator: str
    tensor: str


@dataclass(frozen=True)
class VelaEstimate:
    """What Vela reckons one inference costs; its cycles leave the CPU's operators out.

    `arena_bytes` is what activations take in on-chip SRAM and `arena_limit_bytes` what the device
    profile gives them; `off_chip_bytes` and `sram_traffic_bytes` are read and written in one
    inference. `layer_cycles` is by the tensor that a layer makes.
    """

    estimator: str
    cycles: int
    clock_hz: float
    arena_bytes: int
    arena_limit_bytes: int | None
    off_chip_bytes: int
    sram_traffic_bytes: int
    macs: int
    bound_by: str
    cpu_operators: tuple[CpuOperator, ...]
    layer_cycles: Mapping[str, int]

    @property
    def latency_ms(self) -> float:
        """Milliseconds at the device's clock, without the CPU's operators."""
        return self.cycles / self.clock_hz * 1e3

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why the file does not run as reckoned, whatever the cycles say; empty when it does."""
        found = []
        if self.cpu_operators:
            listed = ", ".join(f"{each.operator} {each.tensor!r}" for each in self.cpu_operators)
            found.append(f"left to the CPU and in no time above: {listed}")
        if self.arena_limit_bytes is not None and self.arena_bytes > self.arena_limit_bytes:
            found.append(
                f"the arena takes {self.arena_bytes:,} bytes of SRAM, the device has "
                f"{self.arena_limit_bytes:,}"
            )
        return tuple(found)


def vela_version() -> str:
    """Return the version of Vela that is installed.

    Raises:
        EdgeVsrError: it is not; the extra that brings it is named.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise missing_extra(PACKAGE, "npu", "an estimate for Arm Ethos-U") from None


def target_of(device: Device) -> str:
    """Return the export target whose files run whole on this Ethos-U."""
    return "ethos-u85" if device.vela and "u85" in device.vela["accelerator"] else "ethos-u"


def compile_with_vela(data: bytes, device: Device) -> VelaEstimate:
    """Return what Vela says of a .tflite file on a device whose profile has a [vela] table.

    Raises:
        BudgetError: the profile has no [vela] table.
        DeviceError: Vela failed or ran longer than five minutes; its own words are given.
        EdgeVsrError: Vela is not installed.
    """
    if device.vela is None:
        raise BudgetError(f"{device.name}: its profile has no [vela] table; not an Arm Ethos-U")
    estimator = f"{PACKAGE} {vela_version()}"
    with tempfile.TemporaryDirectory(prefix="edgevsr-vela-") as name:
        folder = Path(name)
        (folder / "net.tflite").write_bytes(data)
        _run(folder, device.vela)
        summary = _rows(folder, "net_summary_*.csv")
        layers = _rows(folder, "net_per-layer.csv")
        compiled = _read(folder, "net_vela.tflite")
    if len(summary) != 1:
        raise DeviceError(f"{estimator}: its summary has {len(summary)} rows; expected one")
    return _estimate(estimator, device, summary[0], layers, compiled)


def _run(folder: Path, names: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "ethosu.vela", "net.tflite", "--output-dir", ".",
               "--config", "Arm/vela.ini", "--verbose-performance",
               "--accelerator-config", names["accelerator"],
               "--system-config", names["system"], "--memory-mode", names["memory"]]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(
            f"Vela took longer than {_TIMEOUT_SECONDS:g} s; try a smaller --size"
        ) from None
    if done.returncode:
        raise DeviceError(
            f"Vela failed (exit code {done.returncode}): {_last_words(done.stderr, done.stdout)}"
        )


def _last_words(*streams: bytes) -> str:
    """Return the last line that says something, cut to a length that fits one."""
    lines = [
        line.strip()
        for stream in reversed(streams)
        for line in stream.decode("utf-8", "replace").splitlines()
        if line.strip().isprintable() and any(map(str.isalnum, line))
    ]
    return lines[-1][:300] if lines else "it gave no reason"


def _read(folder: Path, pattern: str) -> bytes:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DeviceError(f"Vela wrote {len(found)} files like {pattern}; expected one")
    return found[0].read_bytes()


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    data = _read(folder, pattern)
    if len(data) > _MAX_CSV_BYTES:
        raise DeviceError(f"Vela wrote a table of {len(data)} bytes; expected a small one")
    return list(csv.DictReader(data.decode("utf-8", "replace").splitlines()))


def _estimate(
    estimator: str,
    device: Device,
    summary: Mapping[str, str],
    layers: list[dict[str, str]],
    compiled: bytes,
) -> VelaEstimate:
    def number(row: Mapping[str, str], key: str) -> float:
        try:
            value = float(row[key])
        except (KeyError, TypeError, ValueError):
            value = math.nan
        if not 0 <= value < math.inf:
            raise DeviceError(f"{estimator}: its table gives {row.get(key)!r} for {key!r}")
        return value

    cycles: dict[str, int] = {}
    for row in layers:
        name = row.get("Name") or ""
        cycles[name] = cycles.get(name, 0) + int(number(row, "Op Cycles"))
    total = int(number(summary, "cycles_total"))
    if not total:
        raise DeviceError(
            f"{estimator}: nothing of the network runs on the NPU; see: edgevsr lint FILE "
            f"--target {target_of(device)}"
        )
    memory = max(number(summary, key) for key in _MEMORY_CYCLES)
    limit = device.value("arena_bytes") or device.value("sram_bytes")
    return VelaEstimate(
        estimator=estimator,
        cycles=total,
        clock_hz=number(summary, "core_clock"),
        arena_bytes=round(number(summary, "sram_memory_used") * _KIB),
        arena_limit_bytes=None if limit is None else int(limit),
        off_chip_bytes=int(sum(number(summary, key) for key in _OFF_CHIP)),
        sram_traffic_bytes=int(number(summary, "sram_total_bytes")),
        macs=int(number(summary, "nn_macs")),
        bound_by="memory" if memory > number(summary, "cycles_npu") else "compute",
        cpu_operators=_on_cpu(compiled, estimator),
        layer_cycles=cycles,
    )


def _on_cpu(compiled: bytes, estimator: str) -> tuple[CpuOperator, ...]:
    """Return the operators of the compiled file that are not the NPU's."""
    try:
        model = read_model(compiled, "the file that Vela wrote")
    except EdgeVsrError as error:
        raise DeviceError(f"{estimator}: {error}") from error
    return tuple(
        CpuOperator(
            operator.name, model.tensors[operator.outputs[0]].name if operator.outputs else ""
        )
        for operator in model.operators
        if operator.name != _COMPILED
    )


def cycles_of(found: VelaEstimate, outputs: Sequence[str]) -> tuple[list[int | None], int]:
    """Return the cycles of the layers that make these tensors, and those of none of them.

    What lowering added counts for the layer whose tensor its own is named after; a layer that Vela
    fused into another has None.
    """
    cycles: dict[str, int | None] = dict.fromkeys(outputs)
    rest = 0
    for tensor, spent in found.layer_cycles.items():
        owners = [output for output in outputs if tensor.startswith(output)]
        owner = tensor if tensor in cycles else max(owners, key=len, default=None)
        if owner is None:
            rest += spent
        else:
            cycles[owner] = (cycles[owner] or 0) + spent
    return [cycles[output] for output in outputs], rest


def assumptions(found: VelaEstimate, device: Device, rest: int) -> tuple[str, ...]:
    """Return what an estimate of Vela's rests on, in words."""
    assert device.vela is not None
    lines = [
        f"{found.estimator} for {device.vela['accelerator']}, {device.vela['system']}, "
        f"{device.vela['memory']}, at {found.clock_hz / 1e6:g} MHz",
        "dram_bytes: what Vela moves off the chip; bytes of layers: whole tensors, wherever kept",
    ]
    if found.cpu_operators:
        lines.append(
            "Vela's cycles leave out the operators on the CPU, so latency is a lower bound"
        )
    for key in ("arena_bytes", "sram_bytes"):
        fact = device.facts.get(key)
        if fact is not None and fact.mark in ("assumed", "claimed"):
            lines.append(f"{fact.mark}: {key} = {fact.value:,.0f} ({fact.source})")
    if rest:
        lines.append(f"{rest / found.clock_hz * 1e3:.3g} ms are of operators that Vela made itself")
    return tuple(lines)
