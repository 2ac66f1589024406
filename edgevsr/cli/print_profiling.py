"""What a person reads of the verbs that say what a network costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType

from edgevsr.tables import bytes_text, facts, notes, table, verdict

Values = Mapping[str, Any]


def profile_text(values: Values) -> RenderableType:
    latency = [("p50", "latency_ms"), ("p90", "latency_ms_p90"), ("min", "latency_ms_min")]
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
                "weights": f"{values['params']:,}",
                "GMAC": f"{values['gmac']:.3f} of the graph as it is; "
                f"{values['gmac_per_hr_pixel']:.3f} with deconvolutions counted per HR pixel",
                "file": bytes_text(values["file_bytes"]),
                "peak activations": bytes_text(values["peak_activation_bytes"]),
                "DRAM a frame": bytes_text(values["dram_bytes"]),
                "latency ms": ", ".join(times) or None,
                "FPS": values["fps"],
                "utilisation": values["utilisation"] and f"{values['utilisation']:.1%}",
                "bound by": values["bound_by"],
            }
        ),
        notes(values["assumptions"]),
    ]
    if values["met"] is not None:
        target = f"{values['target_fps']:g} FPS"
        parts.append(verdict(values["met"], f"met: {target}", f"MISSED: {target}"))
    return Group(*parts)


def fit_text(values: Values) -> RenderableType:
    parts: list[RenderableType] = []
    for recurrent in (False, True):
        rows = [
            (fit["net"], f"{fit['fps']:.1f}", fit["psnr_y_db"])
            for fit in values["fits"]
            if fit["recurrent"] is recurrent
        ]
        if rows:
            title = "recurrent" if recurrent else "single-image"
            parts.append(table((title, "FPS", "PSNR-Y dB"), rows))
    if values["misses"]:
        misses = [(miss["net"], miss["reason"]) for miss in values["misses"]]
        parts.append(table(("does not fit", "why"), misses))
    parts.append(notes(values["assumptions"]))
    if not values["fits"]:
        parts.append(verdict(False, "", "no shipped network fits this budget"))
    return Group(*parts)
