"""What a person reads of `edgevsr list references`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType

from edgevsr.tables import notes, table

Values = Mapping[str, Any]

_PARTS = ("propagation", "alignment", "aggregation", "upsampling")


def references_text(entries: Sequence[Values]) -> RenderableType:
    """Return what the systems cost, what they are made of, and what was published of them."""
    references = [entry for entry in entries if entry["kind"] == "reference"]
    device, share = references[0]["device"], references[0]["utilisation"]
    cost = table(
        ("name", "weights", "GMAC", "FPS at 100 %", "FPS", "published ms", "no NPU runs"),
        (
            (
                entry["name"],
                f"{entry['params']:,}",
                f"{entry['gmac']:.2f}",
                _fps(entry["fps_at_peak"]),
                _fps(entry["fps"]),
                entry["published_runtime"] and f"{entry['published_runtime']['ms']:.0f}",
                entry["beyond_npus"] or None,
            )
            for entry in entries
        ),
        f"320x180 to 1280x720 on {device}",
    )
    made = table(
        ("name", *_PARTS),
        ((entry["name"], *(entry["components"][part] for part in _PARTS)) for entry in references),
    )
    published = table(
        ("published", "set", "LR", "channel", "PSNR dB", "SSIM", "read at"),
        (
            (entry["name"], score["test_set"], score["degradation"], score["channel"],
             f"{score['psnr_db']:.2f}", score["ssim"], score["source"])
            for entry in references
            for score in entry["published"]
        ),
    )  # fmt: skip
    terms = [
        f"FPS: MACs alone, at {share:.0%} of the peak as {references[0]['utilisation_of']} reach "
        "it by the cost model; shipped networks by their own estimates",
        "MACs of convolutions and matrix products, a deconvolution's per LR pixel; a window's all "
        "count for its one frame",
        "published ms: a frame on a graphics card; "
        + "; ".join(f"{source}: {', '.join(names)}" for source, names in _readings(references)),
    ]
    return Group(cost, made, published, notes(terms))


def _readings(references: Sequence[Values]) -> list[tuple[str, list[str]]]:
    sources: dict[str, list[str]] = {}
    for entry in references:
        if runtime := entry["published_runtime"]:
            sources.setdefault(runtime["source"], []).append(entry["name"])
    return list(sources.items())


def _fps(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
