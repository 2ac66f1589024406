"""One measurement as one JSON object: what ran, on what, how fast, and what went wrong.

The object is described by `edgevsr/profiling/measured.schema.json`; phones, this host and the
browser demo all give it. `Measured` and the schema are two writings of the same promise, and the
tests hold them to one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from edgevsr.errors import DataError
from edgevsr.files import read_at_most
from edgevsr.profiling.decoding import MAX_BYTES, decode, parse_json, short, wrong

SCHEMA = "edgevsr-measured/1"
Kind = Literal["measured", "emulated"]


@dataclass(frozen=True)
class MeasuredFile:
    """The file that ran. The digest is SHA-256 in lower-case hexadecimal."""

    name: str
    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class MeasuredDevice:
    """Where it ran; `name` is a slug, `serial_hash` tells two of one model apart."""

    name: str
    model: str | None = None
    soc: str | None = None
    android: str | None = None
    abi: str | None = None
    cores: int | None = None
    governor: str | None = None
    serial_hash: str | None = None


@dataclass(frozen=True)
class MeasuredRuntime:
    """What ran it; `delegate` is "cpu", "gpu", "nnapi" and so on."""

    name: str
    version: str | None = None
    delegate: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one frame over the runs; None where the tool does not say."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class LayerTime:
    """Mean milliseconds of one operator as the runtime's own profiler has it."""

    name: str
    op: str
    ms: float


@dataclass(frozen=True)
class Temperature:
    """A thermal zone's reading, seconds after the first run began; negative before it."""

    seconds: float
    zone: str
    celsius: float


@dataclass(frozen=True)
class Slice:
    """Mean milliseconds of a frame over one stretch of a sustained run."""

    seconds: float
    ms: float


@dataclass(frozen=True)
class Equality:
    """How an output compares, element by element, with another machine's."""

    against: str
    elements: int
    different: int
    max_abs_diff: float


@dataclass(frozen=True)
class Measured:
    """One file on one device: `kind` "emulated" has right bits and a wrong clock, so no times.

    `psnr_y_db` is dB by test set; `gmac` 10⁹ multiply-accumulates a frame of `size`, the LR
    frame's WIDTHxHEIGHT. `memory_bytes` is the most the tool saw. `partial` says that not all of
    what was asked came back; `faults` then says what went wrong, one line each.
    """

    kind: Kind
    date: str
    file: MeasuredFile
    device: MeasuredDevice
    runtime: MeasuredRuntime
    runs: int
    latency_ms: Latency
    size: str | None = None
    net: str | None = None
    scale: int | None = None
    psnr_y_db: Mapping[str, float] | None = None
    gmac: float | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    memory_bytes: int | None = None
    layers: tuple[LayerTime, ...] = ()
    temperatures_c: tuple[Temperature, ...] = ()
    sustained: tuple[Slice, ...] = ()
    throttled: bool | None = None
    partial: bool = False
    faults: tuple[str, ...] = ()
    equality: Equality | None = None
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def typical(self) -> tuple[str, float] | None:
        """Name and milliseconds of the figure to quote: the median, else the mean."""
        for name, value in (("p50", self.latency_ms.p50), ("mean", self.latency_ms.mean)):
            if value is not None:
                return name, value
        return None

    @property
    def typical_ms(self) -> float | None:
        """Milliseconds of one frame: the median, or the mean where the tool gives no median."""
        return None if self.typical is None else self.typical[1]

    @property
    def fps(self) -> float | None:
        """Frames a second at `typical_ms`, frames one after another."""
        return 1e3 / self.typical_ms if self.typical_ms else None

    def to_json(self) -> dict[str, Any]:
        """Return the object that `measured.schema.json` describes."""
        return {"schema": SCHEMA, **cast(dict[str, Any], _plain(self))}


def read_measured(path: Path) -> Measured:
    """Return the measurement in a file, which may come from anywhere.

    Raises:
        DataError: the file cannot be read, is not such a measurement, or holds a value that
            cannot be right; the key is named.
    """
    data = read_at_most(path, MAX_BYTES, "this measurement", DataError)
    return parse_measured(data, origin=str(path))


def parse_measured(data: bytes, *, origin: str) -> Measured:
    """Return the measurement in JSON bytes; `origin` is named in errors.

    Raises:
        DataError: as `read_measured`.
    """
    expected = "what edgevsr profile --on … -o FILE writes"
    return measured_from(parse_json(data, origin, expected), origin=origin)


def measured_from(value: object, *, origin: str) -> Measured:
    """Return the measurement that a JSON value is.

    Raises:
        DataError: as `read_measured`.
    """
    found = value.get("schema") if isinstance(value, dict) else None
    if found != SCHEMA:
        raise DataError(
            f'{origin}: expected "schema": "{SCHEMA}", got {short(found)}; '
            "measure again with: edgevsr profile FILE --on adb -o FILE.json"
        )
    measured = cast(Measured, decode(Measured, value, origin))
    _check(measured, origin)
    return measured


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _check(measured: Measured, origin: str) -> None:
    """Refuse what no single key shows to be wrong."""
    try:
        if datetime.fromisoformat(measured.date).tzinfo is None:
            raise ValueError
    except ValueError:
        raise wrong(origin, "date", "ISO 8601 with a time zone", measured.date) from None
    times = [*vars(measured.latency_ms).values(), measured.init_ms, measured.first_ms]
    times += [*measured.layers, *measured.sustained]
    if measured.kind == "emulated" and any(time is not None for time in times):
        raise DataError(
            f"{origin}: an emulated run has the right bits and a wrong clock: latency_ms, init_ms, "
            "first_ms, layers and sustained must be null or empty"
        )
