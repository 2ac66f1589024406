"""The zoo page's picture of how the shipped networks learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (steps, held-out PSNR-Y in dB) in order.
Curve = Sequence[tuple[int, float]]

#: Lines', told apart by hue and lightness.
_COLOURS = ("#0f766e", "#b45309", "#1d4ed8", "#be185d", "#4d7c0f", "#6d28d9", "#b91c1c", "#0e7490")
#: Training does not gain or lose this much between two validations; other pictures do.
_JUMP_DB = 1.0


def draw(path: Path, found: Mapping[str, Curve], scale_of: Mapping[str, int]) -> None:
    """Draw the curves by network: a panel for each scale, each line named at its end.

    What was held out changed where a curve jumps; what follows has a panel of its own below, and
    where it jumps back, the first one again.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parts = {name: pieces(curve) for name, curve in found.items()}
    rows = min(2, max(len(part) for part in parts.values()))
    scales = sorted({scale_of[name] for name in found})
    figure, axes = pyplot.subplots(
        rows, len(scales), figsize=(6.2 * len(scales), 1.5 + 4.5 * rows), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for row, line in enumerate(axes):
        for axis, scale in zip(line, scales, strict=True):
            names = [name for name in found if scale_of[name] == scale]
            colours = dict(zip(names, cycle(_COLOURS), strict=False))
            curves = {name: parts[name][row::2] for name in names if len(parts[name]) > row}
            label = "held out" if row == 0 else "held out of lossless pictures"
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


def pieces(curve: Curve) -> list[list[tuple[int, float]]]:
    """Return a curve cut where it jumps: other pictures were held out from there on."""
    found = [[curve[0]]]
    for before, after in pairwise(curve):
        if abs(after[1] - before[1]) > _JUMP_DB:
            found.append([])
        found[-1].append(after)
    return found


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Return the values, those that are closer than `gap` to a lower one lifted."""
    lifted = list(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    for below, above in pairwise(order):
        lifted[above] = max(lifted[above], lifted[below] + gap)
    return lifted
