"""Memory over the layers: the activations alive while each one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgevsr.profiling.counts import Counts
from edgevsr.reporting.markup import Html, join, tag
from edgevsr.reporting.numbers import byte_count
from edgevsr.reporting.parts import badge
from edgevsr.reporting.scales import Scale
from edgevsr.reporting.svg import Plot, line, responsive, words

_LEAST_SHOWN = 0.04  # of the peak: an SRAM below it would lie on the axis


def memory_chart(
    name: str, counts: Counts, sram: Mapping[str, float], others: Sequence[Counts] = ()
) -> Html:
    """Return the bytes of activations alive at each layer; `sram` is bytes by device, drawn in.

    `others` are the counts at other frame sizes, of which only the peak is told.
    """
    live = counts.live_bytes
    peak_at = max(range(len(live)), key=live.__getitem__)
    top = max([live[peak_at], *(size for size in sram.values() if size <= 2 * live[peak_at])])
    drawn: dict[float, list[str]] = {}
    for device, size in sram.items():
        if _LEAST_SHOWN * top <= size <= top:
            drawn.setdefault(size, []).append(device)

    def draw(width: float) -> tuple[float, Html]:
        height = 300.0
        plot = Plot(
            width,
            height,
            Scale(0.5, len(live) + 0.5, 64, width - 12),
            Scale(0, top * 1.15, height - 46, 26),
        )
        return height, join(
            plot.axes(
                "layer, in execution order",
                "activations alive",
                lambda value: f"{value:g}" if value == int(value) else "",
                byte_count,
            ),
            (_bar(plot, counts, index, index == peak_at) for index in range(len(live))),
            (_limit(plot, ", ".join(devices), size) for size, devices in drawn.items()),
        )

    return tag(
        "figure",
        tag("h3", badge("static"), f" {name}, LR frame {_size(counts)}"),
        responsive(f"Memory over the layers of {name}", draw),
        _caption(counts, peak_at, sram, others),
    )


def _caption(
    counts: Counts, peak_at: int, sram: Mapping[str, float], others: Sequence[Counts]
) -> Html:
    return tag(
        "figcaption",
        f"Most at layer {peak_at + 1}, {counts.layers[peak_at].node.name}: "
        f"{byte_count(counts.live_bytes[peak_at])}. Counted, not measured: a tensor lives from its "
        "producer to its last reader; weights and scratch are left out. ",
        (
            f"At {_size(each)} the most is {byte_count(each.peak_activation_bytes)}. "
            for each in others
        ),
        "SRAM: " if sram else None,
        ", ".join(f"{device} {byte_count(size)}" for device, size in sram.items()),
        "." if sram else None,
    )


def _size(counts: Counts) -> str:
    width, height = counts.size
    return f"{width}x{height}"


def _bar(plot: Plot, counts: Counts, index: int, peak: bool) -> Html:
    node, size = counts.layers[index].node, counts.live_bytes[index]
    left, right = plot.x.at(index + 0.5), plot.x.at(index + 1.5)
    gap = min(2.0, 0.2 * (right - left))
    text = f"layer {index + 1}, {node.name} ({node.op}): {byte_count(size)} alive, static"
    return tag(
        "g",
        tag("title", text),
        tag(
            "rect",
            x=left + gap / 2,
            y=plot.y.at(size),
            width=right - left - gap,
            height=plot.y.start - plot.y.at(size),
            class_="shape",
        ),
        class_=f"mark bar static{' peak' if peak else ''}",
        tabindex=0,
        role="img",
        aria_label=text,
    )


def _limit(plot: Plot, device: str, size: float) -> Html:
    y = plot.y.at(size)
    return join(
        line(plot.x.start, y, plot.x.end, y, "budget"),
        words(plot.x.end - 4, y - 5, f"SRAM of {device}: {byte_count(size)}", "budget-name end"),
    )
