"""The zoo page's picture of how the shipped networks learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from pathlib import Path

#: (steps, held-out PSNR-Y in dB) in order.
Curve = Sequence[tuple[int, float]]

#: Lines', told apart by hue and lightness.
_COLOURS = ("#0f766e", "#b45309", "#1d4ed8", "#be185d", "#4d7c0f", "#6d28d9", "#b91c1c", "#0e7490")


def draw(path: Path, found: Mapping[str, Curve], scale_of: Mapping[str, int]) -> None:
    """Draw the curves by network: a panel for each scale, each line named at its end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patheffects, pyplot
    from matplotlib.ticker import LogLocator, NullLocator

    halo = [patheffects.withStroke(linewidth=3, foreground="white")]
    scales = sorted({scale_of[name] for name in found})
    figure, axes = pyplot.subplots(
        1, len(scales), figsize=(6.2 * len(scales), 6), layout="constrained", squeeze=False
    )
    for axis, scale in zip(axes[0], scales, strict=True):
        names = [name for name in found if scale_of[name] == scale]
        colours = dict(zip(names, cycle(_COLOURS), strict=False))
        for name in names:
            axis.plot(*zip(*found[name], strict=True), color=colours[name], lw=1.6)
            axis.scatter(*found[name][-1], color=colours[name], s=14)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}")
        axis.set(xlabel="thousand steps", ylabel=f"held out ×{scale}, PSNR-Y dB")
        axis.grid(alpha=0.3)
        first = min(found[name][0][0] for name in names)
        last = max(found[name][-1][0] for name in names)
        axis.set_xlim(first / 1.2, last * max(4.0, last / first) ** 0.36)  # room for names
        low, high = axis.get_ylim()
        heights = apart([found[name][-1][1] for name in names], 0.032 * (high - low))
        for name, height in zip(names, heights, strict=True):
            steps, psnr_y_db = found[name][-1]
            axis.annotate(
                name, (steps, psnr_y_db), (steps * 1.08, height), color=colours[name],
                fontsize=8.5, va="center", path_effects=halo,
                arrowprops={"arrowstyle": "-", "lw": 0.8, "color": colours[name]},
            )  # fmt: skip
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Return the values, those that are closer than `gap` to a lower one lifted."""
    lifted = list(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    for below, above in pairwise(order):
        lifted[above] = max(lifted[above], lifted[below] + gap)
    return lifted
