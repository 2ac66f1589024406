"""The zoo page's picture of quality against what it costs, ours beside what peers published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_PEERS, _OURS = "#8a8a8e", "#0f766e"
#: Where a name may stand beside its point, the best first: offset in points, and alignment.
_PLACES = (
    ((6, -3), "left"), ((-6, -3), "right"), ((0, 6), "center"), ((0, -12), "center"),
    ((5, 5), "left"), ((-5, 5), "right"), ((5, -11), "left"), ((-5, -11), "right"),
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A network in the picture; `ms` is None where nobody has measured it."""

    name: str
    scale: int
    gmac: float
    psnr_y_db: float
    ms: float | None
    int8_psnr_y_db: float | None = None


def draw(path: Path, ours: Sequence[Point], peers: Sequence[Point]) -> None:
    """Draw the points: a row for each scale, over GMAC and over milliseconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8.5), layout="constrained")
    for row, scale in zip(axes, (2, 4), strict=True):
        for axis, key, label in zip(
            row, ("gmac", "ms"), ("GMAC for 1280×720", "ms at 640×360, Dimensity 8100, NNAPI"),
            strict=True,
        ):  # fmt: skip
            _scatter(axis, key, [p for p in peers if p.scale == scale], _PEERS, "published")
            who = "edgevsr, float; int8 below"
            _scatter(axis, key, [p for p in ours if p.scale == scale], _OURS, who)
            axis.set(xlabel=label, ylabel=f"Set14 ×{scale}, PSNR-Y dB")
    axes[0][0].legend(loc="lower right", fontsize=8)
    figure.draw_without_rendering()  # names need to know where points are
    for row, scale in zip(axes, (2, 4), strict=True):
        for axis, key in zip(row, ("gmac", "ms"), strict=True):
            chosen = [p for p in (*ours, *peers) if p.scale == scale and getattr(p, key)]
            colours = [_OURS if p in ours else _PEERS for p in chosen]
            name_points(axis, [(p.name, getattr(p, key), heights(p)) for p in chosen], colours)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def heights(point: Point) -> tuple[float, ...]:
    """Return the PSNR-Y of a point's ends in dB: float, and int8 where it is known."""
    return (point.psnr_y_db, *([] if point.int8_psnr_y_db is None else [point.int8_psnr_y_db]))


def _scatter(axis: Axes, key: str, points: Sequence[Point], colour: str, who: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    chosen = [p for p in points if getattr(p, key) is not None]
    x = [getattr(p, key) for p in chosen]
    axis.scatter(x, [p.psnr_y_db for p in chosen], color=colour, label=who, zorder=3)
    for point, at in zip(chosen, x, strict=True):
        if point.int8_psnr_y_db is not None:
            axis.plot((at, at), heights(point), color=colour, lw=1)
            axis.scatter(at, point.int8_psnr_y_db, color="white", edgecolor=colour, zorder=3)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator([1, 2, 3, 5, 10, 20, 40]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(alpha=0.3)
    axis.margins(x=0.2, y=0.08)


def name_points(
    axis: Axes, points: Sequence[tuple[str, float, tuple[float, ...]]], colours: Sequence[str]
) -> list[Bbox]:
    """Write each point's name where it covers least: no other name or point, if that can be.

    Points are (name, x, heights); returns where the names stand, in pixels.
    """
    from matplotlib.transforms import Bbox

    taken: list[Bbox] = []
    for _, x, ends in points:
        places = [axis.transData.transform((x, y)) for y in ends]
        lower, upper = places[-1], places[0]
        taken.append(Bbox([[lower[0] - 6, lower[1] - 6], [upper[0] + 6, upper[1] + 6]]))
    named: list[Bbox] = []
    for (name, x, ends), colour in zip(points, colours, strict=True):
        tried: list[tuple[float, Any, Bbox]] = []
        for y in dict.fromkeys((ends[-1], ends[0])):
            for shift, side in _PLACES:
                text = axis.annotate(
                    name, (x, y), shift, textcoords="offset points", fontsize=7.5, color=colour,
                    ha=side,
                )  # fmt: skip
                box = text.get_window_extent()
                covered = sum(_shared(box, other) for other in (*taken, *named))
                tried.append((covered + _outside(box, axis.bbox), text, box))
        best = min(tried, key=lambda each: each[0])
        for each in tried:
            if each is not best:
                each[1].remove()
        named.append(best[2])
    return named


def _shared(one: Bbox, other: Bbox) -> float:
    """Return the area that two boxes share, in square pixels."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(width, 0) * max(height, 0))


def _outside(box: Bbox, frame: Bbox) -> float:
    """Return the area of a box that is outside of a frame, in square pixels."""
    return float(box.width * box.height) - _shared(box, frame)
