"""Reads what `profiles/adb/collect` brought back from a bench machine without Python."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from pathlib import Path

from edgevsr import __version__
from edgevsr.errors import DataError, EdgeVsrError
from edgevsr.files import sha256_of
from edgevsr.graph.ir import Graph
from edgevsr.profiling.decoding import wrong
from edgevsr.profiling.measured import (
    LayerTime,
    Measured,
    MeasuredFile,
    MeasuredRuntime,
    Temperature,
    measured_from,
)
from edgevsr.profiling.phones.facts import Heat, facts_from, heat_from
from edgevsr.profiling.phones.logs import BenchmarkLog, parse_op_profile
from edgevsr.profiling.phones.text import clean
from edgevsr.profiling.phones.tools import tool_named
from edgevsr.profiling.subject import Subject, SubjectFacts

FORMAT = "edgevsr-collected/1"
INDEX = "collected.txt"
_MAX_BYTES = 4 << 20
_MAX_FOLDERS = 1000


def is_collected(folder: Path) -> bool:
    """Whether a folder is what `collect` made, or holds such folders."""
    return (folder / INDEX).is_file() or any(folder.glob(f"*/{INDEX}"))


def read_collected(folder: Path) -> list[Measured]:
    """Return the measurements in a collected folder, or in the folders just below it, by name.

    What did not come back, or came back cut short, makes a measurement partial.

    Raises:
        DataError: nothing collected there, or its index is not what `collect` writes.
    """
    if (folder / INDEX).is_file():
        return [_read_one(folder)]
    found = sorted(path.parent for path in folder.glob(f"*/{INDEX}"))[:_MAX_FOLDERS]
    if not found:
        raise DataError(f"{folder}: no {INDEX} in it; give a folder that profiles/adb/collect made")
    return [_read_one(each) for each in found]


def _read_one(folder: Path) -> Measured:
    origin = str(folder / INDEX)
    said, faults = _index(folder / INDEX)
    program = said.get("program", "")
    tool = tool_named(program)
    log, layers = BenchmarkLog(), tuple[LayerTime, ...]()
    try:
        log = tool.parse(_text(folder / "benchmark.log"))
        if not log.complete:
            faults.append("the benchmark's log is cut short")
    except DataError as error:
        faults.append(clean(str(error)))
    partial = bool(faults)
    if (folder / "ops.csv").is_file():
        try:
            layers = parse_op_profile(_text(folder / "ops.csv"))
        except DataError as error:
            faults.append(clean(f"no operator times: {error}"))
    before, after = (_heat(folder / f"heat-{when}.txt") for when in ("before", "after"))
    threads = said.get("threads", "")
    measured = Measured(
        kind="measured",
        date=_date(said.get("date", ""), origin),
        file=_file(said, origin),
        device=facts_from(said, said.get("serial_hash")).device,
        runtime=MeasuredRuntime(
            tool.runtime,
            log.version,
            said.get("delegate"),
            int(threads) if threads.isdecimal() and 0 < len(threads) < 4 else None,
        ),
        runs=log.runs,
        latency_ms=log.latency_ms,
        init_ms=log.init_ms,
        first_ms=log.first_ms,
        memory_bytes=log.memory_bytes,
        layers=layers,
        temperatures_c=(*_temperatures(before, 0.0), *_temperatures(after, _seconds(said))),
        throttled=_throttled(before, after),
        partial=partial,
        faults=tuple(faults),
        tools={
            "edgevsr": __version__,
            "adb": said.get("adb", "unknown"),
            tool.name: f"sha256 {said.get('program_sha256', 'unknown')[:12]}",
        },
        **vars(_subject(folder, said)),
    )
    return _checked(measured, origin)


def _index(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the `key=value` lines and the faults among them."""
    said: dict[str, str] = {}
    faults: list[str] = []
    for line in _text(path).splitlines():
        key, _, value = line.partition("=")
        if key == "fault":
            faults.append(clean(value))
        elif key == "governors":
            said[key] = "\n".join(value.split()[:64])
        else:
            said[key] = clean(value)
    if said.get("format") != FORMAT:
        raise wrong(str(path), "format", FORMAT, said.get("format"))
    return said, faults


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path}: did not come back ({error.strerror})") from error


def _date(text: str, origin: str) -> str:
    with contextlib.suppress(ValueError):
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    raise wrong(origin, "date", "ISO 8601 with a time zone", text)


def _file(said: dict[str, str], origin: str) -> MeasuredFile:
    size = said.get("bytes", "")
    if not size.isdecimal() or len(size) > 12:
        raise wrong(origin, "bytes", "the model's size", size)
    return MeasuredFile(said.get("file", "unknown"), said.get("sha256"), int(size))


def _heat(path: Path) -> Heat:
    with contextlib.suppress(DataError):
        text = _text(path)
        return heat_from(text, text)
    return Heat({}, None)


def _seconds(said: dict[str, str]) -> float:
    """Return how long the run took, by the bench machine's clock."""
    began, ended = (said.get(key, "") for key in ("began", "ended"))
    if all(re.fullmatch(r"\d{1,11}", each, re.ASCII) for each in (began, ended)):
        return float(max(0, int(ended) - int(began)))
    return 0.0


def _temperatures(heat: Heat, seconds: float) -> list[Temperature]:
    return [Temperature(seconds, zone, celsius) for zone, celsius in heat.celsius.items()]


def _throttled(before: Heat, after: Heat) -> bool | None:
    if before.status is None or after.status is None:
        return None
    return after.status > before.status


def _subject(folder: Path, said: dict[str, str]) -> SubjectFacts:
    """Return what the model beside the log tells of itself, where it is the one that ran."""
    for name in ("model.tflite", "model.onnx"):
        path = folder / name
        if path.is_file() and sha256_of(path) == said.get("sha256"):
            with contextlib.suppress(EdgeVsrError):
                graph = _graph(path)
                if graph.size is not None:
                    return _facts(graph, path)
    return SubjectFacts()


def _graph(path: Path) -> Graph:
    if path.suffix == ".tflite":
        from edgevsr.graph.from_tflite import graph_from_tflite

        return graph_from_tflite(path)
    from edgevsr.graph.from_onnx import graph_from_onnx

    return graph_from_onnx(path)


def _facts(graph: Graph, path: Path) -> SubjectFacts:
    from edgevsr.profiling.counts import count_graph

    assert graph.size is not None
    gmac = count_graph(graph, graph.size).gmac
    return Subject(graph, path, path.stem, graph.size, None, gmac).facts


def _checked(measured: Measured, origin: str) -> Measured:
    """Hold what was collected to the same rules as every measurement from elsewhere."""
    return measured_from(measured.to_json(), origin=origin)
