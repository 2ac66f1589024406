"""From a network and a list of places to measurements in files: `profile --on adb`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import DeviceError, SpecError
from edgevsr.files import check_output, write_json
from edgevsr.profiling.host import host_file
from edgevsr.profiling.host_facts import measured_file
from edgevsr.profiling.measured import Measured, MeasuredFile
from edgevsr.profiling.phones.adb import Adb, find_adb
from edgevsr.profiling.phones.fleet import measure_phones
from edgevsr.profiling.phones.session import Request
from edgevsr.profiling.phones.text import slug
from edgevsr.profiling.phones.tools import Job, tool_for
from edgevsr.profiling.subject import Subject
from edgevsr.spec import Runtime

RESULTS = Path("profiles/measured")
DEFAULT_RUNS = 50


@dataclass(frozen=True)
class PhoneOptions:
    """The flags of a run on phones."""

    benchmark_binary: Path | None = None
    adb: Path | None = None
    delegate: str | None = None
    threads: int | None = None
    runs: int | None = None
    sustained_s: float | None = None

    @property
    def given(self) -> list[str]:
        """The flags given that only a phone has."""
        flags = {
            "--benchmark-binary": self.benchmark_binary,
            "--adb": self.adb,
            "--delegate": self.delegate,
            "--runs": self.runs,
            "--sustained": self.sustained_s,
        }
        return [flag for flag, value in flags.items() if value is not None]


@dataclass(frozen=True)
class Stored:
    """A measurement and the file that it was written to."""

    measured: Measured
    path: Path


def is_phone(place: str) -> bool:
    """Whether a place of `--on` is a phone: `adb`, `adb:SERIAL` or `adb:all`."""
    return place == "adb" or place.startswith("adb:")


def measure_on_phones(
    subject: Subject,
    places: Sequence[str],
    options: PhoneOptions,
    runtime: str | None = None,
    output: Path | None = None,
    force: bool = False,
) -> list[Stored]:
    """Measure on every phone of `places` at once, and write one file a phone.

    The file is `output`, with the phone's name added where there are several, or one of its own
    in `profiles/measured/`. It is written also for a run that failed or was interrupted.

    Raises:
        SpecError: a missing or impossible option.
        DeviceError: no client, no usable phone, or no phone gave any time.
        OutputError: an output exists, or cannot be written.
        KeyboardInterrupt: the run was interrupted; what came back has been written.
    """
    program = _checked_program(options)
    tool = tool_for(program)
    delegate = options.delegate or "cpu"
    tool.command(Job("model", 1, delegate=delegate))
    if runtime not in (None, tool.runtime):
        raise SpecError(f"--runtime {runtime}: {program.name} is {tool.name}, of {tool.runtime}")
    adb = Adb(find_adb(options.adb))
    serials = adb.choose(places)
    if output is not None and len(serials) == 1:
        check_output(output, force)
    with tempfile.TemporaryDirectory(prefix="edgevsr-phone-") as folder:
        model, file = _model_file(subject, tool.runtime, Path(folder))
        request = Request(
            model,
            program,
            tool,
            file,
            delegate=delegate,
            threads=options.threads,
            runs=options.runs or DEFAULT_RUNS,
            sustained_s=options.sustained_s,
            subject=subject.facts,
        )
        results = measure_phones(adb, serials, request)
    stored = [Stored(each, _path(each, output, len(results))) for each in results]
    for each in stored:
        write_json(each.path, each.measured.to_json(), force)
    if adb.stop.is_set():
        raise KeyboardInterrupt
    _require_a_time(stored)
    return stored


def _require_a_time(stored: Sequence[Stored]) -> None:
    if all(each.measured.typical_ms is None for each in stored):
        faults = "; ".join(each.measured.faults[-1] for each in stored if each.measured.faults)
        raise DeviceError(f"{faults or 'no time came back'} (kept: {stored[0].path})")


def report_fields(stored: Sequence[Stored]) -> dict[str, Any]:
    """Return what a profile report says of phones: the figures of the slowest, which binds."""
    timed = [each.measured for each in stored if each.measured.typical is not None]
    slowest = max(timed, key=lambda each: each.typical_ms or 0.0)
    name, milliseconds = slowest.typical or ("", 0.0)
    notes = [f"latency is the {'median' if name == 'p50' else 'mean'} that the program states"]
    if len(stored) > 1:
        notes.append(f"the figures are those of {slowest.device.name}, slowest of {len(stored)}")
    if slowest.layers:
        notes.append("times of operators, under the program's own names, are in the measurement")
    return {
        "kind": "measured",
        "device": slowest.device.name,
        "runtime": f"{slowest.runtime.name}, {slowest.runtime.delegate}",
        "threads": slowest.runtime.threads,
        "runs": slowest.runs,
        "latency_ms": milliseconds,
        "latency_ms_p90": slowest.latency_ms.p90,
        "latency_ms_min": slowest.latency_ms.min,
        "obstacles": tuple(
            each.measured.faults[-1]
            for each in stored
            if each.measured.typical is None and each.measured.faults
        ),
        "measured": tuple(each.measured for each in stored),
        "outputs": tuple(str(each.path) for each in stored),
        "assumptions": tuple(notes),
    }


def _checked_program(options: PhoneOptions) -> Path:
    """Return the benchmark program, where it is given and the other options are possible."""
    if options.benchmark_binary is None:
        raise SpecError(
            "--on adb: the phone needs a benchmark program; give --benchmark-binary PATH "
            "(LiteRT's benchmark_model or onnxruntime_perf_test, see the README)"
        )
    if options.runs is not None and not 1 <= options.runs <= 1_000_000:
        raise SpecError(f"--runs {options.runs}: expected 1 to 1000000 frames")
    seconds = options.sustained_s
    if seconds is not None and not 1 <= seconds <= 86400:
        raise SpecError(f"--sustained {seconds:g}: expected 1 to 86400 seconds")
    return options.benchmark_binary


def _model_file(subject: Subject, runtime: Runtime, folder: Path) -> tuple[Path, MeasuredFile]:
    """Return the file itself where the program runs it at this size, else the network emitted."""
    fits = subject.graph.size == subject.size
    found = host_file(subject.graph, subject.path if fits else Path(), subject.size, runtime)
    file = measured_file(found, slug(subject.name))
    local = folder / f"model{found.suffix}"
    local.write_bytes(found.data if isinstance(found.data, bytes) else found.data.read_bytes())
    return local, file


def _path(measured: Measured, output: Path | None, phones: int) -> Path:
    device = slug(measured.device.name, (measured.device.serial_hash or "")[:6])
    if output is not None:
        return output if phones == 1 else output.with_stem(f"{output.stem}-{device}")
    when = measured.date[:19].replace("-", "").replace(":", "")
    what = slug(Path(measured.file.name).stem, measured.runtime.delegate)
    return RESULTS / f"{device}-{what}-{when}.json"
