"""Device profiles: what is known of an NPU, one TOML a device, a source beside every number."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from edgevsr.errors import BudgetError, nearest

Mark = Literal["published", "derived", "measured", "claimed", "assumed"]
MARKS: tuple[Mark, ...] = Mark.__args__  # type: ignore[attr-defined]

_MAX_BYTES = 64 << 10
_TEXTS = ("title", "notes")


@dataclass(frozen=True)
class _Field:
    unit: str
    low: float
    high: float
    whole: bool = False


#: Every number a profile may state, with the range outside which its unit must be wrong.
_FIELDS: dict[str, _Field] = {
    "peak_int8_tops": _Field("10^12 operations/s, two a MAC", 1e-4, 1e4),
    "peak_float_tops": _Field("10^12 operations/s, two a MAC", 1e-4, 1e4),
    "dram_gb_s": _Field("10^9 bytes/s", 1e-3, 1e4),
    "sram_bytes": _Field("bytes", 1024, 1 << 32, whole=True),
    "elementwise_gops": _Field("10^9 output elements/s", 1e-4, 1e6),
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

    `dram_gb_s` is the bandwidth of the memory that holds what does not fit on the chip.
    """

    name: str
    title: str
    facts: Mapping[str, Fact]
    notes: str = ""

    def value(self, key: str) -> float | None:
        """Return a number of the profile, or None where the profile does not state it."""
        fact = self.facts.get(key)
        return None if fact is None else fact.value

    def to_json(self) -> dict[str, Any]:
        """Return the profile as JSON, with every fact's source and mark."""
        return {
            "name": self.name,
            "title": self.title,
            "facts": {key: fact.to_json() for key, fact in self.facts.items()},
            "notes": self.notes,
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
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise BudgetError(f"{name}: cannot read this device profile ({reason})") from error
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
            a value out of range; the key is named.
    """
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
    facts = dict(_facts(table, origin))
    if not {"peak_int8_tops", "peak_float_tops"} & facts.keys():
        raise BudgetError(
            f"{origin}: peak_int8_tops: is missing; a profile needs it (or peak_float_tops) with "
            "value, source and mark"
        )
    return Device(name, texts["title"], facts, texts.get("notes", ""))


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
