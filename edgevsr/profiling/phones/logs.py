"""Reads what the benchmark programs print, old and new, whole and cut short.

`benchmark_model` is LiteRT's (TensorFlow Lite's before), `onnxruntime_perf_test` onnxruntime's.
Times come out in milliseconds and sizes in bytes, whatever the program's own units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgevsr.errors import DataError
from edgevsr.profiling.measured import Latency, LayerTime
from edgevsr.profiling.phones.text import clean

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_MB = 1 << 20
MAX_LAYERS = 10_000


@dataclass(frozen=True)
class BenchmarkLog:
    """What one benchmark run said of itself; what it did not say is None.

    `complete` tells a log that ends as the program ends it from one that was cut short.
    """

    runs: int = 0
    latency_ms: Latency = field(default_factory=Latency)
    init_ms: float | None = None
    first_ms: float | None = None
    memory_bytes: int | None = None
    version: str | None = None
    complete: bool = False


def parse_benchmark_model(text: str) -> BenchmarkLog:
    """Return what a log of `benchmark_model` says.

    The first `count=` line is the warm-up, the second the timed runs. `Timings (microseconds)` is
    the sum of the operator profile, not the latency, and is passed over.

    Raises:
        DataError: a number that cannot be: negative, infinite, or a least above the most.
    """
    lines = _whole_lines(text)
    text = "\n".join(lines)
    counts = [_count_fields(line) for line in lines if re.search(r"\bcount=\d", line)]
    timed = counts[1] if len(counts) > 1 else {}
    closing = _closing_figures(text)

    def figure(key: str) -> float | None:
        milliseconds = _ms(timed.get(key, timed.get("same")), 1e-3)
        return closing.get(f"Inference ({key})") if milliseconds is None else milliseconds

    latency = Latency(
        p50=figure("median"),
        p90=figure("p90"),
        p95=figure("p95"),
        mean=figure("avg"),
        min=figure("min"),
        max=figure("max"),
        std=_ms(timed.get("std"), 1e-3) if timed else closing.get("Inference (std)"),
    )
    _check(latency)
    return BenchmarkLog(
        runs=int(timed.get("count", closing.get("runs", 0))) if latency.mean is not None else 0,
        latency_ms=latency,
        init_ms=closing.get("Init"),
        first_ms=closing.get("First inference"),
        memory_bytes=_memory(text),
        version=_version(text),
        complete=latency.mean is not None and "Inference (avg)" in closing,
    )


def parse_perf_test(text: str) -> BenchmarkLog:
    """Return what a log of `onnxruntime_perf_test` says.

    Raises:
        DataError: a number that cannot be: negative, infinite, or a least above the most.
    """
    text = "\n".join(_whole_lines(text))

    def find(pattern: str, to_ms: float = 1.0) -> float | None:
        found = re.search(rf"^\s*{pattern}\s*{_NUMBER}", text, re.MULTILINE)
        return None if found is None else _ms(float(found[1]), to_ms)

    def percentile(name: str) -> float | None:
        return find(rf"{name} Latency(?::| is)", 1e3)

    latency = Latency(
        p50=percentile("P50"),
        p90=percentile("P90"),
        p95=percentile("P95"),
        mean=find("Average (?:inference )?time cost:"),
        min=percentile("Min"),
        max=percentile("Max"),
    )
    _check(latency)
    memory = find("Peak working set size:")
    return BenchmarkLog(
        runs=int(find("(?:Total inference requests|Total iterations|Runs):") or 0),
        latency_ms=latency,
        init_ms=find("Session creation time cost:", 1e3),
        first_ms=find("First inference time cost:"),
        memory_bytes=None if memory is None else int(memory),
        version=_version(text),
        complete=latency.mean is not None and percentile("P999") is not None,
    )


def parse_op_profile(text: str) -> tuple[LayerTime, ...]:
    """Return the mean time of each operator in the CSV of `benchmark_model`'s profiler, in order.

    The file holds several tables, of the initialisation and of the runs, in order and by time:
    the last one in run order is read. An operator without a name gets its place in the list.

    Raises:
        DataError: a table whose columns are not those of the profiler, or a time that cannot be.
    """
    tables = list(_op_tables(text))
    in_order = [rows for title, rows in tables if "run order" in title.lower()]
    if not tables:
        raise DataError("no table of 'node type, …, avg_ms, …, name' in the operator profile")
    layers: list[LayerTime] = []
    for row in (in_order or [tables[0][1]])[-1][:MAX_LAYERS]:
        op, milliseconds = clean(row["node type"]), _ms(_float(row["avg_ms"]))
        name = re.sub(r"^\[(.*)\](?::\d+)?$", r"\1", clean(row["name"]))
        if milliseconds is None or not op:
            raise DataError(f"the operator profile has a row without a type: {clean(str(row))}")
        layers.append(LayerTime(name or f"{op}-{len(layers)}", op, milliseconds))
    return tuple(layers)


def _op_tables(text: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield title and rows of each table of operators; summaries by type have other columns."""
    title, columns = "", list[str]()
    rows: list[dict[str, str]] = []
    for line in [*_whole_lines(text), ""]:
        # Only the name, which comes last, may hold commas.
        cells = [cell.strip() for cell in line.split(",", len(columns) - 1)]
        if columns and len(cells) == len(columns):
            rows.append(dict(zip(columns, cells, strict=True)))
            continue
        if rows:
            yield title, rows
        columns, rows = [], []
        if line.startswith("==="):
            title = line
        elif cells[0] == "node type" and cells[-1] == "name" and "avg_ms" in cells:
            columns = cells


def _whole_lines(text: str) -> list[str]:
    """Return the lines that came whole: a number at the end of a log cut short is another one."""
    return text[: text.rfind("\n") + 1].splitlines()


def _count_fields(line: str) -> dict[str, float]:
    """Return the pairs of a `count=` line in µs; one value for all its runs is "same" as well."""
    pairs = {key: float(value) for key, value in re.findall(rf"\b(\w+)={_NUMBER}", line)}
    if "curr" in pairs and (pairs.get("count") == 1 or "(all same)" in line):
        pairs["same"] = pairs["curr"]
    return pairs


def _closing_figures(text: str) -> dict[str, float]:
    """Return the closing figures in milliseconds: of `Inference timings in us`, or of LiteRT 2."""
    found: dict[str, float] = {}
    if match := re.search(r"Inference timings in us: ?(.*)", text):
        pairs = re.findall(rf"([A-Z][\w ]*?(?: \(avg\))?): {_NUMBER}", match[1])
        found |= {name: _ms(float(value), 1e-3) or 0.0 for name, value in pairs}
    results = text.partition("BENCHMARK RESULTS")[2]
    names = {"Model initialization": "Init", "Warmup (first)": "First inference"}
    for name, value in re.findall(rf"\b([A-Z]\w+ ?[\w()]+): +{_NUMBER}(?: ms|\s*$)", results, re.M):
        found[names.get(name, name)] = _ms(float(value)) or 0.0
    if match := re.search(r"Inference \(avg\):.*?\((\d{1,9}) runs\)", results):
        found["runs"] = float(match[1])
    return found


def _memory(text: str) -> int | None:
    """Return the most memory that the program took, in bytes."""
    for pattern in (
        r"Memory footprint delta from the start of the tool \(MB\):.*?overall=",
        r"Peak memory footprint \(MB\): (?:.*?overall=)?",
        r"Peak memory: +",
        r"Overall footprint: +",
    ):
        found = re.search(pattern + _NUMBER, text)
        if found and 0 <= float(found[1]) < 1e9:
            return int(float(found[1]) * _MB)
    return None


def _version(text: str) -> str | None:
    found = re.search(
        r"(?:TF ?Lite|TensorFlow Lite|LiteRT|onnxruntime)(?: runtime)? version:? v?([\w.+-]{1,40})",
        text,
        re.IGNORECASE,
    )
    return None if found is None else found[1]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"expected a number of milliseconds, got {clean(text)!r}") from None


def _ms(value: float | None, to_ms: float = 1.0) -> float | None:
    if value is None:
        return None
    if not 0 <= value * to_ms < 1e12:
        raise DataError(f"the benchmark says {value:g}, which cannot be a time")
    return round(value * to_ms, 9)


def _check(latency: Latency) -> None:
    low, high = latency.min, latency.max
    if low is not None and high is not None and low > high:
        raise DataError(f"the benchmark's least time, {low:g} ms, is above its most, {high:g} ms")
