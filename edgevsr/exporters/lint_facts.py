"""What a target's TOML file tells the linter: which operators run fast, and what the rest cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from edgevsr.errors import SpecError, nearest

Severity = Literal["error", "warning"]

#: Every rule of the linter, with how bad a finding is where the target says nothing else.
RULES: Mapping[str, Severity] = {
    "operator": "warning",
    "custom-operator": "error",
    "float-file": "error",
    "float-island": "warning",
    "converted-end": "warning",
    "transpose": "warning",
    "prelu-per-channel": "warning",
    "state-passed-through": "warning",
    "output-consumed": "warning",
    "state-untied": "error",
    "state-unpaired": "error",
    "dynamic-shape": "warning",
    "rank": "warning",
}

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}|\*")
_KEYS = {"where", "elsewhere", "source", "int8", "float", "max_rank", "severity", "why", "fix"}


@dataclass(frozen=True)
class LintFacts:
    """The fast path of a target, by the operators' names in its files.

    `where` names it, `elsewhere` says what happens to an operator that is not on it, and `source`
    where the lists come from; a list of "*" means every standard operator. `why` and `fix` are by
    operator. `max_rank` is 0 where any will do.
    """

    where: str
    elsewhere: str
    source: str
    int8: frozenset[str]
    float: frozenset[str]
    max_rank: int
    severity: Mapping[str, Severity]
    why: Mapping[str, str]
    fix: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the facts as the target's file states them."""
        lists = {"int8": sorted(self.int8), "float": sorted(self.float)}
        return {**vars(self), **lists, "severity": dict(self.severity)}


def parse_lint(table: Mapping[str, Any] | None, where: str) -> LintFacts | None:
    """Return the facts in a [lint] table, or None where the target has none.

    Raises:
        SpecError: a key is missing, unknown or of the wrong kind; the key is named.
    """
    if table is None:
        return None

    def fail(key: str, text: str) -> SpecError:
        return SpecError(f"{where}: key 'lint.{key}': {text}")

    for key in table:
        if key not in _KEYS:
            raise fail(key, f"is not a key of the schema{nearest(key, _KEYS)}")
    texts = {}
    for key in ("where", "elsewhere", "source"):
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise fail(key, "expected a text")
        texts[key] = str(table[key])
    names = {}
    for key in ("int8", "float"):
        values = table.get(key)
        if not isinstance(values, list) or not all(map(_is_operator, values)):
            raise fail(key, "expected a list of operators")
        names[key] = frozenset(values)
    rank = table.get("max_rank", 0)
    if type(rank) is not int or not 0 <= rank <= 8:
        raise fail("max_rank", f"expected 0 to 8, got {rank!r}")
    severity, why, fix = _tables(table, fail)
    return LintFacts(
        where=texts["where"],
        elsewhere=texts["elsewhere"],
        source=texts["source"],
        int8=names["int8"],
        float=names["float"],
        max_rank=rank,
        severity=cast("Mapping[str, Severity]", {**RULES, **severity}),
        why=why,
        fix=fix,
    )


def _tables(
    table: Mapping[str, Any], fail: Callable[[str, str], SpecError]
) -> Iterator[Mapping[str, str]]:
    """Yield severity by rule, and why and fix by operator."""
    for key in ("severity", "why", "fix"):
        found = table.get(key, {})
        if not isinstance(found, Mapping):
            raise fail(key, f"expected a table, got {found!r}")
        for name, value in found.items():
            if key == "severity" and (name not in RULES or value not in ("error", "warning")):
                raise fail(f"{key}.{name}", f"expected a rule and error or warning, got {value!r}")
            if key != "severity" and not (_is_operator(name) and isinstance(value, str)):
                raise fail(f"{key}.{name}", "expected an operator and a text")
        yield found


def _is_operator(value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))
