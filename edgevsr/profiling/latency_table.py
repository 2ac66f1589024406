"""Reads measured latencies: a CSV of files and milliseconds, or a folder of measurements."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgevsr.errors import DataError, nearest
from edgevsr.files import read_at_most
from edgevsr.profiling.measured import read_measured

MAX_BYTES, MAX_ROWS = 4 << 20, 10_000
#: Milliseconds outside which a frame's latency must be in another unit.
LOW_MS, HIGH_MS = 1e-3, 6e4
_REQUIRED = ("model", "file")
_UNIT = "_ms"


@dataclass(frozen=True)
class LatencyRow:
    """A measured file: its path below the models' folder, its network's name and milliseconds."""

    file: str
    network: str
    latency_ms: float


@dataclass(frozen=True)
class LatencyTable:
    """Measured files of one device, and the digest of where they were read.

    `column` is the CSV's column, or how the measurements' latency was chosen.
    """

    column: str
    rows: tuple[LatencyRow, ...]
    sha256: str


def read_table(path: Path, column: str | None, device: str) -> LatencyTable:
    """Return the latencies in a .csv, or in a folder of measurements (.json).

    A CSV has the columns `model` (the same name at every scale), `file` and at least one of
    milliseconds ending in `_ms`; empty cells are left out. Without `column` the only such column
    is taken, or the one made of the words of the device's name.

    Raises:
        DataError: it cannot be read, lacks a column, or holds a latency that cannot be right; the
            line is named.
    """
    if path.is_dir():
        return _read_measurements(path)
    data = _read(path)
    rows, columns = _parse(data, path)
    chosen = _column(columns, column, device, path)
    found = tuple(
        LatencyRow(_inside(row["file"], path, line), _name(row["model"], path, line), ms)
        for line, row in rows
        if (ms := _milliseconds(row[chosen], chosen, path, line)) is not None
    )
    if len({row.file for row in found}) < len(found):
        raise DataError(f"{path}: a file stands there twice; keep one latency a file")
    return LatencyTable(chosen, found, hashlib.sha256(data).hexdigest())


def _read(path: Path) -> bytes:
    data = read_at_most(path, MAX_BYTES, "these latencies", DataError)
    if len(data) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not a table of latencies")
    return data


def _parse(data: bytes, path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = []
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}: line {reader.line_num}: expected {len(columns)} values, as in line 1"
                )
            rows.append((reader.line_num, {key: value.strip() for key, value in row.items()}))
            if len(rows) > MAX_ROWS:
                raise DataError(f"{path}: more than {MAX_ROWS} lines; is it a table of latencies?")
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file ({str(error)[:100]})") from error
    for name in _REQUIRED:
        if name not in columns:
            raise DataError(
                f"{path}: no column {name!r}{nearest(name, columns)}; expected "
                f"{', '.join(_REQUIRED)} and one of milliseconds ending in {_UNIT}"
            )
    return rows, columns


def _column(columns: list[str], asked: str | None, device: str, path: Path) -> str:
    timed = [name for name in columns if name.endswith(_UNIT)]
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{path}: no column {asked!r}{nearest(asked, columns)}")
        if asked not in timed:
            raise DataError(f"{path}: column {asked!r}: give milliseconds, in a name with {_UNIT}")
        return asked
    if not timed:
        raise DataError(f"{path}: no column of milliseconds (a name that ends in {_UNIT})")
    alike = [name for name in timed if _words(name.removesuffix(_UNIT)) == _words(device)]
    if len(timed) > 1 and len(alike) != 1:
        raise DataError(f"{path}: which latency? add --column {' or '.join(timed)}")
    return timed[0] if len(timed) == 1 else alike[0]


def _words(text: str) -> list[str]:
    return sorted(re.findall(r"[a-z]+|\d+", text.lower()))


def _milliseconds(text: str, column: str, path: Path, line: int) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise DataError(
            f"{path}: line {line}: {column}: expected positive milliseconds, got {text[:40]!r}"
        )
    if not LOW_MS <= value <= HIGH_MS:
        raise DataError(
            f"{path}: line {line}: {column}: {value:g} cannot be milliseconds a frame (expected "
            f"{LOW_MS:g} to {HIGH_MS:g}); is it in another unit?"
        )
    return value


def _inside(text: str, path: Path, line: int) -> str:
    """Return a file's path, which may not lead out of the models' folder."""
    file = PurePosixPath(text)
    if not text or "\0" in text or file.is_absolute() or ".." in file.parts:
        raise DataError(
            f"{path}: line {line}: file: expected a path below the models' folder, got "
            f"{text[:60]!r}"
        )
    return text


def _name(text: str, path: Path, line: int) -> str:
    if not text:
        raise DataError(f"{path}: line {line}: model: is empty; name the network")
    return text


def _read_measurements(folder: Path) -> LatencyTable:
    """Return the median latencies of the measurements in a folder, all of one device."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DataError(f"{folder}: no measurements there (*.json)")
    found = [(path, read_measured(path)) for path in paths]
    devices = {(each.device.name, each.runtime.name, each.runtime.delegate) for _, each in found}
    if len(devices) > 1:
        raise DataError(f"{folder}: measurements of {len(devices)} devices or runtimes; keep one")
    rows = []
    for path, each in found:
        if each.kind != "measured" or each.partial or each.typical_ms is None:
            continue
        name = _inside(each.file.name, path, 1)
        rows.append(LatencyRow(name, each.net or Path(name).stem, each.typical_ms))
    digest = hashlib.sha256(b"".join(_read(path) for path in paths)).hexdigest()
    return LatencyTable("latency_ms.p50", tuple(rows), digest)
