"""Device profiles: what is known of an NPU, one TOML a device, a source beside every number."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from edgevsr.errors import BudgetError, nearest
from edgevsr.files import read_at_most
from edgevsr.profiling.calibration_record import CalibrationRecord, parse_record

Mark = Literal["published", "derived", "measured", "claimed", "assumed"]
MARKS: tuple[Mark, ...] = Mark.__args__  # type: ignore[attr-defined]

_MAX_BYTES = 64 << 10
_TEXTS = ("title", "notes", "unpublished")
_VELA = ("accelerator", "system", "memory")


@dataclass(frozen=True)
class _Field:
    unit: str
    low: float
    high: float
    whole: bool = False


#: Every number a profile may state, with the range outside which its unit must be wrong.
_FIELDS: dict[str, _Field] = {
    "peak_int8_tops": _Field("10^12 operations/s, two a MAC", 1e-4, 2e3),
    "peak_float_tops": _Field("10^12 operations/s, two a MAC", 1e-4, 2e3),
    "dram_gb_s": _Field("10^9 bytes/s", 1e-3, 1e4),
    "sram_bytes": _Field("bytes", 1024, 1 << 32, whole=True),
    "arena_bytes": _Field("bytes", 1024, 1 << 32, whole=True),
    "elementwise_gops": _Field("10^9 output elements/s", 1e-4, 1e6),
    "launch_ms": _Field("ms", 0, 1e4),
    "resident_bytes": _Field("bytes", 0, 1 << 32, whole=True),
    "ratio_low": _Field("times this estimate", 0.1, 100),
    "ratio_high": _Field("times this estimate", 0.1, 100),
    "in_channel_multiple": _Field("channels", 1, 1024, whole=True),
    "out_channel_multiple": _Field("channels", 1, 1024, whole=True),
}
_FLAGS = ("deconvolution_per_hr_pixel", "winograd")


@dataclass(frozen=True)
class Fact:
    """A number (or yes/no) with where it comes from and how far it can be trusted."""

    value: float
    source: str
    mark: Mark

    def to_json(self) -> dict[str, Any]:
        """Return the fact as it stands in the profile."""
        return {"value": self.value, "source": self.source, "mark": self.mark}


@dataclass(frozen=True)
class Device:
    """A device profile. What no source states is absent from `facts`, not guessed.

    `dram_gb_s` is the bandwidth of the memory that holds what does not fit on the chip,
    `resident_bytes` is what an element-wise layer finds of any tensor on the chip, `launch_ms`
    what a frame costs before its first layer, `ratio_low` and `ratio_high` how many times this
    estimate another estimator or a measurement gave. `unpublished` says what no vendor states,
    `calibration` how well fitted constants predict; `arena_bytes` is what a system without DRAM has
    for activations. `vela` names the accelerator, the system and the memory mode under which Arm's
    compiler knows the device.
    """

    name: str
    title: str
    facts: Mapping[str, Fact]
    notes: str = ""
    vela: Mapping[str, str] | None = None
    unpublished: str = ""
    calibration: CalibrationRecord | None = None

    def value(self, key: str) -> float | None:
        """Return a number of the profile, or None where the profile does not state it."""
        fact = self.facts.get(key)
        return None if fact is None else fact.value

    def range_of(self, latency_ms: float) -> tuple[float | None, float | None, str]:
        """Return how far to trust an estimated latency: from, to (ms) and, in words, why."""
        if self.calibration is not None:
            return *self.calibration.range_of(latency_ms), self.calibration.in_words
        low, high = self.facts.get("ratio_low"), self.facts.get("ratio_high")
        if low is not None and high is not None:
            why = f"{low.value:g} to {high.value:g} times this estimate ({high.source})"
            return latency_ms * low.value, latency_ms * high.value, why
        return None, None, "not known: no measurement stands behind this profile"

    def to_json(self) -> dict[str, Any]:
        """Return the profile as JSON, with every fact's source and mark."""
        return {
            "name": self.name,
            "title": self.title,
            "facts": {key: fact.to_json() for key, fact in self.facts.items()},
            "notes": self.notes,
            "vela": None if self.vela is None else dict(self.vela),
            "unpublished": self.unpublished or None,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }


def device_names() -> list[str]:
    """Return the names of all shipped profiles, sorted."""
    folder = resources.files("edgevsr.devices")
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_device(name: str) -> Device:
    """Return the shipped profile of this name, or the one in a .toml file of your own.

    Raises:
        BudgetError: no such profile (the nearest name is given), or it is malformed; the error
            names the key.
    """
    if name.endswith(".toml"):
        path = Path(name)
        data = read_at_most(path, _MAX_BYTES, "this device profile", BudgetError)
        return parse_device(data, path.stem, origin=name)
    if name not in device_names():
        raise BudgetError(
            f"device {name[:80]!r} is not known{nearest(name, device_names())}; "
            "run: edgevsr list devices"
        )
    data = (resources.files("edgevsr.devices") / f"{name}.toml").read_bytes()
    return parse_device(data, name, origin=f"{name}.toml")


def parse_device(data: bytes, name: str, *, origin: str) -> Device:
    """Return the device that a profile's TOML bytes describe.

    Raises:
        BudgetError: not TOML (line and column given), an unknown key, a key that is missing, or
            a value out of range; the key is named, and its line where it has one.
    """
    try:
        return _parse(data, name, origin)
    except BudgetError as error:
        raise BudgetError(_with_line(str(error), data, origin)) from error


def _with_line(message: str, data: bytes, origin: str) -> str:
    """Return the message with the line of the profile that its key stands in."""
    named = re.match(r"'?([\w-]+)'?(?:\.'?([\w-]+))?", message.removeprefix(f"{origin}: "))
    key, part = named.groups() if named else (None, None)
    table, found = "", None
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        start = re.match(r"""\s*(?:\[\s*["']?([\w-]+)|["']?([\w-]+)["']?\s*=)""", line)
        if start is None:
            continue
        table = start[1] or table
        if start[1] == key or (not table and start[2] == key):
            found = number
        if part is not None and table == key and start[2] == part:
            found = number
    if found is None:
        return message
    return message.replace(f"{origin}: ", f"{origin}: line {found}: ", 1)


def _parse(data: bytes, name: str, origin: str) -> Device:
    if len(data) > _MAX_BYTES:
        raise BudgetError(f"{origin}: larger than {_MAX_BYTES >> 10} KiB, so not a device profile")
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BudgetError(f"{origin}: not valid TOML: {_one_line(error)}") from error
    texts = {key: table.pop(key) for key in _TEXTS if key in table}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise BudgetError(f"{origin}: {key}: expected text, got {_short(value)}")
    if "title" not in texts:
        raise BudgetError(f"{origin}: title: is missing; give the device's full name")
    vela = _vela(table.pop("vela", None), origin)
    calibration = parse_record(table.pop("calibration", None), origin)
    facts = dict(_facts(table, origin))
    unpublished = texts.get("unpublished", "")
    if not {"peak_int8_tops", "peak_float_tops"} & facts.keys() and not unpublished:
        raise BudgetError(
            f"{origin}: peak_int8_tops: is missing; a profile needs it (or peak_float_tops) with "
            "value, source and mark, or the key `unpublished` that says who publishes none"
        )
    return Device(
        name, texts["title"], facts, texts.get("notes", ""), vela, unpublished, calibration
    )


def _vela(entry: Any, origin: str) -> dict[str, str] | None:
    """Return the names in a profile's [vela] table, which go to a command line."""
    if entry is None:
        return None
    if not isinstance(entry, dict) or set(entry) != set(_VELA):
        raise BudgetError(
            f"{origin}: vela: expected a table of {', '.join(_VELA)}, got {_short(entry)}"
        )
    for key, value in entry.items():
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]{0,63}", value):
            raise BudgetError(f"{origin}: vela.{key}: expected a name, got {_short(value)}")
    return dict(entry)


def _facts(table: dict[str, Any], origin: str) -> Iterator[tuple[str, Fact]]:
    for key, entry in table.items():
        if key not in _FIELDS and key not in _FLAGS:
            known = [*_FIELDS, *_FLAGS, *_TEXTS]
            raise BudgetError(
                f"{origin}: {_short(key)}: is not a key of a device profile{nearest(key, known)}"
            )
        if not isinstance(entry, dict) or set(entry) != {"value", "source", "mark"}:
            raise BudgetError(
                f"{origin}: {key}: expected a table of value, source and mark, got {_short(entry)}"
            )
        source, mark = entry["source"], entry["mark"]
        if not isinstance(source, str) or not source.strip():
            raise BudgetError(f"{origin}: {key}.source: expected where the number comes from")
        if mark not in MARKS:
            raise BudgetError(
                f"{origin}: {key}.mark: expected one of {', '.join(MARKS)}, got {_short(mark)}"
            )
        yield key, Fact(_value(key, entry["value"], origin), source, cast(Mark, mark))


def _value(key: str, value: Any, origin: str) -> float:
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise BudgetError(f"{origin}: {key}.value: expected true or false, got {_short(value)}")
        return value
    field = _FIELDS[key]
    kinds = int if field.whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        kind = "a whole number" if field.whole else "a number"
        raise BudgetError(
            f"{origin}: {key}.value: expected {kind} of {field.unit}, got {_short(value)}"
        )
    if not field.low <= value <= field.high:
        raise BudgetError(
            f"{origin}: {key}.value: {_short(value)} cannot be right in {field.unit} "
            f"(expected {field.low:g} to {field.high:g})"
        )
    return cast(float, value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
