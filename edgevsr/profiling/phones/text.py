"""Makes text that a phone sent fit to print, store and compare."""

from __future__ import annotations

import re

MAX_CHARACTERS = 200

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str | bytes, limit: int = MAX_CHARACTERS) -> str:
    """Return text on one line, without escape codes and control characters, cut to `limit`."""
    if isinstance(text, bytes):
        text = text[: 64 * limit].decode("utf-8", "replace")
    text = _ESCAPE.sub("", text[: 64 * limit])
    text = " ".join(_CONTROL.sub(" ", text).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def slug(*words: str | None) -> str:
    """Return words as a name fit for a file: lower case, digits and single dashes."""
    joined = "-".join(word for word in words if word).lower()
    return re.sub(r"[^a-z0-9]+", "-", joined).strip("-")[:80].strip("-") or "unknown"
