"""The sections about time: every latency against the budgets, the layers of each result."""

from __future__ import annotations

from collections.abc import Sequence

from edgevsr.reporting.markup import Child, Html, join, tag
from edgevsr.reporting.numbers import (
    byte_count,
    decibels,
    frames_per_second,
    milliseconds,
    significant,
    thread_count,
)
from edgevsr.reporting.parts import badge, folded, listed, table
from edgevsr.reporting.results import LayerCost, Result, spread_text
from edgevsr.reporting.roofline_chart import roofline

_MOST_LAYERS = 80


def latency_bars(results: Sequence[Result], budgets_fps: Sequence[float]) -> Html:
    """Return every latency as a bar, fastest first, with the budgets.

    Results of one scale and LR frame share a linear scale.
    """
    groups: dict[tuple[int, str], list[Result]] = {}
    for result in sorted(results, key=lambda each: each.ms or 0):
        if result.ms:
            groups.setdefault((result.scale or 0, result.size or ""), []).append(result)
    if not groups:
        return tag("p", "No result has a time.", class_="note")
    return join(
        join(tag("h3", frame_of(scale, size)), _bars(members, budgets_fps))
        for (scale, size), members in sorted(groups.items())
    )


def frame_of(scale: int, size: str) -> str:
    """Return scale and LR frame as a heading, unknown ones said so."""
    return f"{f'×{scale}' if scale else 'unknown scale'}, LR frame {size or 'unknown'}"


def _bars(timed: Sequence[Result], budgets_fps: Sequence[float]) -> Html:
    longest = max(max(result.ms or 0, (result.spread_ms or (0, 0))[1]) for result in timed)
    limits = [1e3 / fps for fps in budgets_fps]
    full = max(longest, min(limits, default=0)) * 1.02
    shown = [(fps, 1e3 / fps / full) for fps in sorted(budgets_fps, reverse=True)]
    marks = [
        tag("i", class_="limit", style=f"--at:{at:.4f}", title=f"{fps:g} FPS")
        for fps, at in shown
        if at <= 1
    ]
    key = ", ".join(f"{significant(1e3 / fps)} ms ({fps:g} FPS)" for fps, at in shown if at <= 1)
    return join(
        tag(
            "p",
            f"Upright lines: {key}. A whisker spans a measurement from its least to its p90, an "
            "estimate over where the truth is expected.",
            class_="note",
        )
        if key
        else None,
        tag("ol", (_bar(result, full, marks) for result in timed), class_="bars"),
    )


def _bar(result: Result, full: float, marks: list[Html]) -> Html:
    spread = result.spread_ms
    whisker = None
    if spread is not None:
        at, to = (end / full for end in spread)
        whisker = tag("i", class_="whisker", style=f"--at:{at:.4f};--to:{to:.4f}")
    statistic = result.quoted[0] if result.quoted and result.kind != "estimated" else ""
    return tag(
        "li",
        tag(
            "p",
            badge(result.kind),
            " ",
            tag("b", result.net),
            tag("span", f" on {where(result)}", class_="soft"),
            _flags(result),
        ),
        tag(
            "div",
            tag("i", class_="bar", style=f"--to:{(result.ms or 0) / full:.4f}"),
            whisker,
            marks,
            class_="track",
            aria_hidden="true",
        ),
        tag(
            "p",
            tag("b", milliseconds(result.ms)),
            f" {statistic}",
            tag("span", f" ({spread_text(result)})", class_="soft") if spread else None,
            tag("span", f" · {frames_per_second(result.ms)}", class_="soft"),
            class_="figureline",
        ),
        class_=result.kind,
    )


def where(result: Result) -> str:
    """Return the device, frame, runtime and threads of a result in one line."""
    conditions = result.conditions
    threads = conditions.get("threads")
    parts = [
        result.device or "no device",
        conditions.get("LR frame"),
        conditions.get("runtime") or conditions.get("estimator"),
        conditions.get("delegate"),
        thread_count(threads) if threads else None,
    ]
    return ", ".join(part for part in parts if part)


def _flags(result: Result) -> Html:
    throttled = result.measured is not None and result.measured.throttled
    return join(
        tag("span", "partial", class_="flag") if result.partial else None,
        tag("span", "throttled", class_="flag") if throttled else None,
        tag("span", "cannot run as it is", class_="flag") if result.hindered else None,
    )


def all_results(results: Sequence[Result]) -> Html:
    """Return every result with all of its figures."""
    sets = list(dict.fromkeys(name for result in results for name in result.psnr_y_db))[:6]
    columns = (
        "network", "kind", "on", "p50 ms", "p90 ms", "mean ms", "min ms", "FPS", "GMAC", "file",
        *(f"{name} dB" for name in sets), "from",
    )  # fmt: skip

    def row(result: Result) -> list[Child]:
        times = (result.latency_ms.get(name) for name in ("p50", "p90", "mean", "min"))
        return [
            result.net,
            badge(result.kind),
            where(result),
            *("–" if ms is None else significant(ms, 4) for ms in times),
            "–" if not result.ms else significant(1e3 / result.ms),
            "–" if result.gmac is None else significant(result.gmac, 4),
            byte_count(result.costs.get("file_bytes")),
            *(decibels(result.psnr_y_db.get(name)).removesuffix(" dB") for name in sets),
            result.origin,
        ]

    last = len(columns) - 1
    return table("All results", columns, map(row, results), numeric=range(3, last))


def layer_sections(results: Sequence[Result], precision: dict[str, str]) -> Html:
    """Return time by layer, and the roofline where MACs and bytes are known, a result at a time.

    `precision` maps a network's name to int8 or float.
    """
    parts: list[Html] = []
    for result in results:
        timed = [layer for layer in result.layers if layer.ms is not None]
        if not timed:
            continue
        parts.append(
            folded(
                join(badge(result.kind), " ", tag("b", result.net), f" on {where(result)}"),
                roofline(result, precision.get(result.net)),
                _layer_table(result, timed),
                listed(result.notes, "notes") if result.kind == "measured" else None,
                opened=not parts,
            )
        )
    if not parts:
        return tag("p", "No result has times of its layers.", class_="note")
    return join(parts)


def _layer_table(result: Result, timed: list[LayerCost]) -> Html:
    total = sum(layer.ms or 0 for layer in timed)
    longest = max(layer.ms or 0 for layer in timed) or 1.0
    shown = timed
    if len(timed) > _MOST_LAYERS:
        least = sorted((layer.ms or 0 for layer in timed), reverse=True)[_MOST_LAYERS - 1]
        shown = [layer for layer in timed if (layer.ms or 0) >= least][:_MOST_LAYERS]
    counted = any(layer.gmac is not None for layer in timed)
    columns = ["layer", "ms", "share", "time", "operator", *(["GMAC", "moved"] if counted else [])]

    def row(layer: LayerCost) -> list[Child]:
        ms = layer.ms or 0
        bar = tag("i", class_=f"bar {result.kind}", style=f"--to:{ms / longest:.4f}")
        cells: list[Child] = [
            layer.name,
            significant(ms),
            f"{ms / total:.1%}" if total else "–",
            tag("div", bar, class_="track small", aria_hidden="true"),
            layer.op,
        ]
        if counted:
            cells += [significant(layer.gmac or 0), byte_count(layer.bytes)]
        return cells

    left_out = len(timed) - len(shown)
    return join(
        table(
            f"Time by layer of {result.net}", columns, map(row, shown),
            numeric=(1, 2, 5, 6),
        ),
        tag("p", f"{left_out} faster layers are left out.", class_="note") if left_out else None,
        tag(
            "p",
            f"Together {milliseconds(total)}; a frame takes {milliseconds(result.ms)}.",
            class_="note",
        ),
    )  # fmt: skip
