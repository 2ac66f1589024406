"""Decodes JSON from elsewhere into frozen dataclasses, by their type hints and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from edgevsr.errors import DataError

MAX_BYTES = 16 << 20
MAX_ITEMS = 100_000
MAX_TEXT = 500

#: Every number is finite and from 0 to 10¹⁵ but those of these names.
_RANGES = {
    "celsius": (-273.15, 1000.0),
    "seconds": (-1e9, 1e9),
    "scale": (1.0, 16.0),
    "cores": (1.0, 4096.0),
    "threads": (1.0, 4096.0),
    "psnr_y_db": (-100.0, 200.0),
}
_PATTERNS = {
    "size": r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}",
    "sha256": r"[0-9a-f]{64}",
    "serial_hash": r"[0-9a-f]{8,64}",
}
_NOT_ONE_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_hints = cache(typing.get_type_hints)


def parse_json(data: bytes, origin: str, expected: str) -> Any:
    """Return the value in JSON bytes; `origin` and what was `expected` there are named in errors.

    Raises:
        DataError: larger than `MAX_BYTES`, or not JSON.
    """
    if len(data) > MAX_BYTES:
        raise DataError(f"{origin}: larger than {MAX_BYTES >> 20} MiB; expected {expected}")
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{origin}: not JSON ({reason}); expected {expected}") from error


def decode(hint: type, value: Any, origin: str) -> Any:
    """Return JSON as a frozen dataclass; `origin` is named in errors.

    A field with a default may be missing, keys that the dataclass lacks are passed over, every
    number is in range and every text is one line.

    Raises:
        DataError: a value that the field's type does not allow; the key is named.
    """
    return _Decoder(origin).object(hint, value, "")


def wrong(origin: str, key: str, expected: str, value: Any) -> DataError:
    """Return the error of a value that cannot be."""
    return DataError(f"{origin}: {key or 'the file'}: expected {expected}, got {short(value)}")


def short(value: Any) -> str:
    """Return a value as an error shows it: printable and of one short line."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclasses.dataclass(frozen=True)
class _Decoder:
    """`where` is the whole path of a value, `name` the field whose rules it follows."""

    origin: str

    def value(self, hint: Any, value: Any, where: str, name: str) -> Any:
        arguments = typing.get_args(hint)
        match typing.get_origin(hint):
            case types.UnionType:
                return None if value is None else self.value(arguments[0], value, where, name)
            case typing.Literal:
                if not isinstance(value, str) or value not in arguments:
                    raise wrong(self.origin, where, " or ".join(arguments), value)
                return value
            case kind if kind is tuple:
                return self._list(arguments[0], value, where, name)
            case kind if kind is Mapping:
                return self._mapping(arguments[1], value, where, name)
        if dataclasses.is_dataclass(hint):
            return self.object(hint, value, where)
        if hint is str:
            return self._text(value, where, name)
        if hint is bool:
            if not isinstance(value, bool):
                raise wrong(self.origin, where, "true or false", value)
            return value
        return self._number(hint, value, where, name)

    def object(self, hint: Any, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise wrong(self.origin, where, "an object", value)
        found = {}
        for each in dataclasses.fields(hint):
            inner = f"{where}.{each.name}" if where else each.name
            if each.name in value:
                kind = _hints(hint)[each.name]
                found[each.name] = self.value(kind, value[each.name], inner, each.name)
            elif each.default is each.default_factory is dataclasses.MISSING:
                raise DataError(f"{self.origin}: {inner}: is missing; it cannot do without")
        return hint(**found)

    def _list(self, hint: Any, value: Any, where: str, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise wrong(self.origin, where, f"a list of at most {MAX_ITEMS}", value)
        return tuple(
            self.value(hint, item, f"{where}[{index}]", name) for index, item in enumerate(value)
        )

    def _mapping(self, hint: Any, value: Any, where: str, name: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > MAX_ITEMS:
            raise wrong(self.origin, where, "an object", value)
        return {
            self._text(key, where, ""): self.value(hint, item, f"{where}.{key[:40]}", name)
            for key, item in value.items()
        }

    def _text(self, value: Any, where: str, name: str) -> str:
        pattern = _PATTERNS.get(name)
        if pattern is not None and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise wrong(self.origin, where, f"text of the form {pattern}", value)
        if not isinstance(value, str) or len(value) > MAX_TEXT or _NOT_ONE_LINE.search(value):
            raise wrong(self.origin, where, f"one line of at most {MAX_TEXT} characters", value)
        return value

    def _number(self, hint: type, value: Any, where: str, name: str) -> float:
        whole = hint is int
        low, high = _RANGES.get(name, (0.0, 1e15))
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise wrong(self.origin, where, f"{kind} from {low:g} to {high:g}", value)
        return value
