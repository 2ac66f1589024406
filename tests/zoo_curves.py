"""The zoo page's picture of how the shipped networks learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (steps, held-out PSNR-Y in dB) in order.
Curve = Sequence[tuple[int, float]]
#: Of each stage of training its last step, and whether it sees lossless pictures alone.
Stages = Sequence[tuple[int, bool]]

#: Lines', told apart by hue and lightness.
_COLOURS = ("#0f766e", "#b45309", "#1d4ed8", "#be185d", "#4d7c0f", "#6d28d9", "#b91c1c", "#0e7490")


def draw(
    path: Path,
    found: Mapping[str, Curve],
    scale_of: Mapping[str, int],
    stages_of: Mapping[str, Stages],
) -> None:
    """Draw the curves by network: a panel for each scale, each line named at its end.

    Where a stage sees lossless pictures alone, others were held out, in a panel of their own below.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = {name: pieces(curve, stages_of[name]) for name, curve in found.items()}
    kinds = sorted({lossless for each in parts.values() for lossless, _ in each})
    scales = sorted({scale_of[name] for name in found})
    figure, axes = pyplot.subplots(
        len(kinds), len(scales), figsize=(6.2 * len(scales), 1.5 + 4.5 * len(kinds)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for lossless, line in zip(kinds, axes, strict=True):
        for axis, scale in zip(line, scales, strict=True):
            names = [name for name in found if scale_of[name] == scale]
            colours = dict(zip(names, cycle(_COLOURS), strict=False))
            chosen = {name: [c for kind, c in parts[name] if kind == lossless] for name in names}
            curves = {name: each for name, each in chosen.items() if each}
            label = "held out of lossless pictures" if lossless else "held out"
            axis.set(xlabel="thousand steps", ylabel=f"{label} ×{scale}, PSNR-Y dB")
            axis.set_visible(bool(curves))
            if curves:
                _lines(axis, curves, colours)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _lines(axis: Axes, curves: Mapping[str, Sequence[Curve]], colours: Mapping[str, str]) -> None:
    from matplotlib import patheffects
    from matplotlib.ticker import LogLocator, NullLocator

    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    for name, parts in curves.items():
        for part in parts:
            axis.plot(*zip(*part, strict=True), color=colours[name], lw=1.6)
        axis.scatter(*parts[-1][-1], color=colours[name], s=14)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}")
    axis.grid(alpha=0.3)
    first = min(parts[0][0][0] for parts in curves.values())
    last = max(parts[-1][-1][0] for parts in curves.values())
    axis.set_xlim(first / 1.2, last * max(4.0, last / first) ** 0.36)  # room for names
    low, high = axis.get_ylim()
    ends = [parts[-1][-1] for parts in curves.values()]
    heights = apart([psnr_y_db for _, psnr_y_db in ends], 0.032 * (high - low))
    for name, height, (steps, psnr_y_db) in zip(curves, heights, ends, strict=True):
        axis.annotate(
            name, (steps, psnr_y_db), (steps * 1.08, height), color=colours[name],
            fontsize=8.5, va="center", path_effects=halo,
            arrowprops={"arrowstyle": "-", "lw": 0.8, "color": colours[name]},
        )  # fmt: skip


def pieces(curve: Curve, stages: Stages) -> list[tuple[bool, Curve]]:
    """Return a curve cut where its stages begin and end to see lossless pictures alone."""

    def kind(point: tuple[int, float]) -> bool:
        return next((lossless for end, lossless in stages if point[0] <= end), False)

    return [(lossless, list(points)) for lossless, points in groupby(curve, kind)]


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Return the values, those that are closer than `gap` to a lower one lifted."""
    lifted = list(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    for below, above in pairwise(order):
        lifted[above] = max(lifted[above], lifted[below] + gap)
    return lifted
