"""Numbers as the page writes them, always with their unit."""

from __future__ import annotations


def significant(value: float, digits: int = 3) -> str:
    """Return a number to so many significant digits, without an exponent."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e" in text else text


def milliseconds(value: float | None) -> str:
    """Return a time in ms, or a dash."""
    return "–" if value is None else f"{significant(value)} ms"


def frames_per_second(ms: float | None) -> str:
    """Return the rate that a latency allows, or a dash."""
    return "–" if not ms else f"{significant(1e3 / ms)} FPS"


def decibels(value: float | None) -> str:
    """Return a PSNR in dB, or a dash."""
    return "–" if value is None else f"{value:.2f} dB"


def byte_count(value: float | None) -> str:
    """Return a number of bytes in decimal units, or a dash."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{significant(value)} {unit}"
        value /= 1000
    return f"{significant(value)} GB"


def thread_count(text: str) -> str:
    """Return how many threads, as a person says it."""
    return f"{text} thread{'' if text == '1' else 's'}"
