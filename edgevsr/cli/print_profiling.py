"""What a person reads of the verbs that say what a network costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType

from edgevsr.tables import bytes_text, facts, gate, notes, table, verdict

Values = Mapping[str, Any]

_MOST_LAYERS = 20
_NAME_LENGTH = 40


def lint_text(values: Values) -> RenderableType:
    alike: dict[tuple[str | None, ...], list[str]] = {}
    for each in values["findings"]:
        key = tuple(each[name] for name in ("severity", "rule", "operator", "why", "fix"))
        alike.setdefault(key, []).append(_short_name(each["tensor"] or ""))
    rows = [
        (severity, rule, operator, _first_of(tensors), why, fix)
        for (severity, rule, operator, why, fix), tensors in alike.items()
    ]
    count = f"errors: {values['errors']}, warnings: {values['warnings']}"
    parts: list[RenderableType] = []
    if rows:
        parts.append(table(("", "rule", "operator", "tensor", "why", "fix"), rows))
    ops = ", ".join(f"{number} {name}" for name, number in values["operators"].items())
    parts += [
        facts(
            {
                "file": f"{values['file']}, {values['precision']}",
                "target": values["target"],
                "operators": ops,
            }
        ),
        notes([f"fast path by {values['source']}"]),
        verdict(not values["errors"], count, count),
    ]
    return Group(*parts)


def _short_name(tensor: str) -> str:
    """Return what a person needs of a name that a converter strung together."""
    name = tensor.partition(";")[0]
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _first_of(tensors: list[str]) -> str:
    return tensors[0] + (f" and {len(tensors) - 1} more" if len(tensors) > 1 else "")


def profile_text(values: Values) -> RenderableType:
    typical = "mean" if any(_only_mean(each) for each in values["measured"]) else "p50"
    latency = [(typical, "latency_ms"), ("p90", "latency_ms_p90"), ("min", "latency_ms_min")]
    times = [f"{name} {values[key]:.2f}" for name, key in latency if values[key] is not None]
    where = [
        values["device"],
        values["runtime"],
        values["threads"] and f"{values['threads']} threads",
    ]
    layers = [
        (layer["name"], layer["op"], f"{layer['gmac']:.4f}", layer["bytes"], layer["ms"])
        for layer in values["layers"]
    ]
    parts: list[RenderableType] = [
        table(("layer", "op", "GMAC", "bytes", "ms"), layers),
        facts(
            {
                "network": f"{values['source']}, LR {values['size']}, ×{values['scale']}",
                "figures": ", ".join([values["kind"], *(str(word) for word in where if word)]),
                "estimator": values["estimator"],
                "weights": f"{values['params']:,}",
                "GMAC": f"{values['gmac']:.3f} of the graph as it is; "
                f"{values['gmac_per_hr_pixel']:.3f} with deconvolutions counted per HR pixel",
                "file": bytes_text(values["file_bytes"]),
                "peak activations": bytes_text(values["peak_activation_bytes"]),
                "DRAM a frame": bytes_text(values["dram_bytes"]),
                "SRAM a frame": bytes_text(values["sram_traffic_bytes"]),
                "arena in SRAM": bytes_text(values["arena_bytes"]),
                "cycles": values["cycles"] and f"{values['cycles']:,}",
                "latency ms": ", ".join(times) or None,
                "between ms": values["latency_ms_low"]
                and f"{values['latency_ms_low']:.2f} and {values['latency_ms_high']:.2f}",
                "FPS": values["fps"],
                "utilisation": values["utilisation"] and f"{values['utilisation']:.1%}",
                "bound by": values["bound_by"],
            }
        ),
        notes(values["assumptions"]),
        *(verdict(False, "", line) for line in values["obstacles"]),
        *_measured_text(values),
        *gate(values["met"], "{:g} FPS", values["target_fps"]),
    ]
    return Group(*parts)


def calibrate_text(values: Values) -> RenderableType:
    files = [
        (
            f"{file['network']} ×{file['scale']}",
            file["measured_ms"],
            file["fitted_ms"],
            file["left_out_ms"],
            f"{file['left_out_ms'] / file['measured_ms'] - 1:+.1%}",
        )
        for file in values["files"]
    ]
    across = [
        f"fitted on ×{seen}, asked for ×{asked}: {error:.1%}"
        for seen, _, asked in (key.partition("->") for key in values["cross_scale_mape"])
        for error in [values["cross_scale_mape"][f"{seen}->{asked}"]]
    ]
    return Group(
        table(("network", "measured ms", "fitted ms", "left out ms", "error"), files),
        facts(
            {
                "left out, mean": f"{values['mape']:.1%} (9 of 10 within {values['p90_ape']:.1%}, "
                f"worst {values['max_ape']:.1%})",
                "rank correlation": f"{values['spearman']:.3f} (Spearman, left out)",
                "across scales": "; ".join(across) or None,
                **{key: f"{value:g}" for key, value in values["constants"].items()},
                "column": values["column"],
                "written": values["output"],
            }
        ),
    )


def _between(entry: Values) -> str | None:
    low, high = entry["fps_low"], entry["fps_high"]
    return None if low is None else f"{low:.1f} to {high:.1f}"


def _designs(values: Values) -> list[RenderableType]:
    members = [
        (
            member["net"],
            member["params"],
            f"{member['gmac']:.2f}",
            f"{member['fps']:.1f}",
            _between(member),
            member["next_fps"] and f"{member['next_fps']:.1f}",
        )
        for member in values["families"]
    ]
    parts: list[RenderableType] = []
    if members:
        heads = ("deepest that fits", "weights", "GMAC", "FPS", "between", "one deeper")
        parts.append(table(heads, members))
    for design in values["designs"]:
        known = [
            f"{near['psnr_y_db']:.2f} dB of {near['net']} ({side})"
            for side, near in (("fewer weights", design["below"]), ("more", design["above"]))
            if near is not None
        ]
        expected = ", ".join(known) or "no shipped network of its family tells"
        parts.append(facts({"to train": design["command"], "expect about": expected}))
    return parts


def _only_mean(measured: Values) -> bool:
    return measured["latency_ms"]["p50"] is None and measured["latency_ms"]["mean"] is not None


def _measured_text(values: Values) -> list[RenderableType]:
    """Return a row a device that measured, and what went wrong there."""
    if not values["outputs"]:
        return []
    rows = []
    for measured, output in zip(values["measured"], values["outputs"], strict=True):
        device, times = measured["device"], measured["latency_ms"]
        celsius = [each["celsius"] for each in measured["temperatures_c"]]
        cells = (device["name"], device["android"], times["mean"], measured["init_ms"])
        warm = f"{min(celsius):.0f} to {max(celsius):.0f}" if celsius else None
        rows.append((*cells, warm, measured["throttled"], measured["partial"], output))
    columns = ("device", "Android", "mean ms", "init ms", "°C", "throttled", "partial", "file")
    faults = [fault for each in values["measured"] for fault in each["faults"]]
    return [table(columns, rows), notes(faults)]


def fit_text(values: Values) -> RenderableType:
    parts: list[RenderableType] = []
    for recurrent in (False, True):
        rows = [
            (fit["net"], f"{fit['fps']:.1f}", _between(fit), fit["psnr_y_db"])
            for fit in values["fits"]
            if fit["recurrent"] is recurrent
        ]
        if rows:
            title = "recurrent" if recurrent else "single-image"
            parts.append(table((title, "FPS", "between", "PSNR-Y dB"), rows))
    if values["misses"]:
        misses = [
            (miss["net"] + (" (nearest)" if miss["net"] == values["nearest_miss"] else ""),
             miss["fps"] and f"{miss['fps']:.1f}", _between(miss), miss["reason"])
            for miss in values["misses"]
        ]  # fmt: skip
        parts.append(table(("does not fit", "FPS", "between", "why"), misses))
    parts += _designs(values)
    parts.append(notes(values["assumptions"]))
    if not values["fits"]:
        parts.append(verdict(False, "", "no shipped network fits this budget"))
    return Group(*parts)


def compare_text(values: Values) -> RenderableType:
    a, b, latency = values["a"], values["b"], values["latency"]
    rows = [
        (_titled(each), _figure(each["a"]), _figure(each["b"]), _times(each))
        for each in (latency, *values["ratios"])
    ]
    layers = [
        (each["name"], _figure(each["a"]), _figure(each["b"]), _times(each))
        for each in values["layers"][:_MOST_LAYERS]
    ]
    change = values["slowdown_percent"]
    spread = {True: "; inside A's own spread, min to p90", False: "", None: ""}
    lines = [
        f"B takes {abs(change):.1f} % {'longer' if change > 0 else 'less'} than A by "
        f"{latency['name']}{spread[values['within_spread']]}",
        *(f"{each['file']} is partial" for each in (a, b) if each["partial"]),
    ]
    if not values["same_kind"]:
        lines.insert(0, f"A is {a['kind']} and B is {b['kind']}: no like with like")
    parts: list[RenderableType] = [
        facts({"A": _which(a), "B": _which(b)}),
        table(("", "A", "B", "B / A"), rows),
    ]
    if layers:
        parts.append(table(("layer, ms", "A", "B", "B / A"), layers))
    if values["conditions"]:
        differing = [(each["name"], each["a"], each["b"]) for each in values["conditions"]]
        parts.append(table(("differs besides", "A", "B"), differing))
    parts.append(notes(lines))
    parts += gate(values["met"], "at most {:g} % slower", values["max_slowdown_percent"])
    return Group(*parts)


def _which(result: Values) -> str:
    place = f" on {result['device']}" if result["device"] else ""
    return f"{result['network']}{place}, {result['kind']} ({result['file']})"


def _titled(ratio: Values) -> str:
    name = ratio["name"].removesuffix("_bytes").removesuffix("_ms").replace("_", " ")
    return f"{name}, {ratio['unit']}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _times(ratio: Values) -> str | None:
    return None if ratio["ratio"] is None else f"{ratio['ratio']:.3f}x"


def report_text(values: Values) -> RenderableType:
    kinds = ", ".join(f"{count} {kind}" for kind, count in values["kinds"].items())
    compared = [
        f"{each['int8']} against {each['float']}: "
        + ("equal" if each["psnr_db"] is None else f"{each['psnr_db']:.2f} dB")
        for each in values["int8_against_float"]
    ]
    return Group(
        facts(
            {
                "written": f"{values['output']} ({bytes_text(values['bytes'])})",
                "results": kinds or "none",
                "networks": ", ".join(values["networks"]) or "none",
                "budgets": ", ".join(f"{fps:g} FPS" for fps in values["budgets_fps"]),
            }
        ),
        notes(compared),
    )
