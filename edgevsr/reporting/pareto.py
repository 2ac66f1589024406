"""Quality against latency: one plot a scale and frame size, budgets drawn in, kinds kept apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgevsr.reporting.markup import Html, join, tag
from edgevsr.reporting.numbers import (
    decibels,
    frames_per_second,
    milliseconds,
    significant,
    thread_count,
)
from edgevsr.reporting.results import Result, commonest_set, spread_text
from edgevsr.reporting.scales import Scale
from edgevsr.reporting.svg import Box, Labels, Plot, line, mark, path, responsive, words


@dataclass(frozen=True)
class Point:
    """A result with a latency and a quality on the plot's test set."""

    result: Result
    ms: float
    db: float

    @property
    def text(self) -> str:
        """What the mark says to a reader that sees no plot."""
        statistic = self.result.quoted[0] if self.result.quoted else ""
        how = "" if self.result.kind == "estimated" else f" {statistic}"
        if self.result.spread_ms:
            how += f" ({spread_text(self.result)})"
        return (
            f"{self.result.net} on {self.result.device}: {milliseconds(self.ms)}{how}, "
            f"{frames_per_second(self.ms)}, {decibels(self.db)} PSNR-Y, {self.result.kind}"
        )


def pareto_plots(results: Sequence[Result], budgets_fps: Sequence[float]) -> Html:
    """Return a plot for each scale and LR size that has a result with latency and quality."""
    groups: dict[tuple[int, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.ms and result.psnr_y_db and result.scale and result.size:
            groups[result.scale, result.size].append(result)
    plots = []
    for (scale, size), members in sorted(groups.items(), key=_by_group):
        test_set = commonest_set(members) or ""
        points = [
            Point(result, result.ms, result.psnr_y_db[test_set])
            for result in members
            if result.ms and test_set in result.psnr_y_db
        ]
        plots.append(_plot(f"×{scale}, LR frame {size}", test_set, points, budgets_fps))
    without = sum(1 for result in results if result.ms and not result.psnr_y_db)
    if without:
        plots.append(
            tag(
                "p",
                f"{without} timed result{'s' if without > 1 else ''} without a known quality: in "
                "the bars below, not in a plot.",
                class_="note",
            )
        )
    if not plots:
        plots.append(tag("p", "No result has both a latency and a quality.", class_="note"))
    return join(plots)


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in both latency and quality, fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.ms, -each.db)):
        if not best or point.db > best[-1].db:
            best.append(point)
    return best


def _by_group(item: tuple[tuple[int, str], list[Result]]) -> tuple[int, int]:
    (scale, size), _ = item
    return scale, int(size.split("x")[0])


def _plot(title: str, test_set: str, points: list[Point], budgets_fps: Sequence[float]) -> Html:
    def draw(width: float) -> tuple[float, Html]:
        plot = _frame(width, points, budgets_fps)
        return plot.height, join(
            plot.axes(
                "latency of a frame, ms (log)",
                f"PSNR-Y on {test_set}, dB",
                significant,
                lambda value: f"{value:.4g}",
            ),
            _budgets(plot, budgets_fps),
            _fronts(plot, points),
            _marks(plot, points),
        )

    return tag(
        "figure",
        tag("h3", title),
        responsive(f"{title}: quality against latency", draw),
        tag(
            "figcaption",
            "Up and to the left is better. A line joins the best networks of one device, known one "
            "way; nothing joins an estimate to a measurement.",
        ),
    )


def _frame(width: float, points: list[Point], budgets_fps: Sequence[float]) -> Plot:
    height = 440.0 if width > 500 else 400.0
    times = [point.ms for point in points] + [1e3 / fps for fps in budgets_fps]
    qualities = [point.db for point in points]
    low, high = min(qualities), max(qualities)
    pad = max(0.25 * (high - low), 0.1)
    return Plot(
        width,
        height,
        Scale(min(times) / 1.6, max(times) * 1.6, 48, width - 12, log=True),
        Scale(low - pad, high + pad, height - 46, 62),
    )


def _budgets(plot: Plot, budgets_fps: Sequence[float]) -> Html:
    """Return a line at each budget; a frame left of it is in time."""
    parts = []
    right = [float("-inf")] * 3  # of each row of names
    for fps in sorted(budgets_fps, reverse=True):
        x = plot.x.at(1e3 / fps)
        text = f"{fps:g} FPS"
        half = 3.9 * len(text)
        row = next((row for row, end in enumerate(right) if x - half > end), len(right) - 1)
        right[row] = x + half
        parts += [
            line(x, plot.y.end - 2, x, plot.y.start, "budget"),
            words(x, plot.y.end - 6 - 13 * row, text, "budget-name middle"),
        ]
    return join(parts)


def _fronts(plot: Plot, points: list[Point]) -> Html:
    groups: dict[tuple[str, str | None], list[Point]] = defaultdict(list)
    for point in points:
        groups[point.result.kind, point.result.device].append(point)
    lines = []
    for (kind, _), members in groups.items():
        best = front(members)
        if len(best) > 1:
            corners = [(plot.x.at(point.ms), plot.y.at(point.db)) for point in best]
            lines.append(path(corners, f"front {kind}", steps=True))
    return join(lines)


def _marks(plot: Plot, points: list[Point]) -> Html:
    points = sorted(points, key=lambda point: point.ms)
    labels = Labels(Box(plot.x.start, plot.y.end, plot.x.end, plot.y.start))
    places = [(plot.x.at(point.ms), plot.y.at(point.db)) for point in points]
    for point, (x, y) in zip(points, places, strict=True):
        left, right = (plot.x.at(end) for end in point.result.spread_ms or (point.ms, point.ms))
        labels.take(Box(min(left, x - 9), y - 9, max(right, x + 9), y + 9))
    telling = _telling([point.result for point in points])
    named: list[Html | None] = []
    marks: list[Html | None] = []
    for point, (x, y) in zip(points, places, strict=True):
        result = point.result
        lines = [_short(result.net), *filter(None, [_short(telling(result), 26)])]
        label = labels.place(x, y, lines)
        named.append(tag("g", label, class_=f"label {result.kind}") if label else None)
        marks.append(_whisker(plot, result, y))
        marks.append(mark(result.kind, x, y, point.text))
    return join(named, marks)


def _whisker(plot: Plot, result: Result, y: float) -> Html | None:
    if result.spread_ms is None:
        return None
    left, right = (plot.x.at(end) for end in result.spread_ms)
    ends = join(line(x, y - 4, x, y + 4, "spread") for x in (left, right))
    return tag("g", line(left, y, right, y, "spread"), ends, class_=f"spread {result.kind}")


def _telling(results: Sequence[Result]) -> Callable[[Result], str]:
    """Return what tells results of one network apart: their device, else how it was run."""
    if len({result.device for result in results}) > 1:
        return lambda result: str(result.device)
    varying = [
        name
        for name in ("runtime", "delegate", "threads")
        if len({result.conditions.get(name) for result in results}) > 1
    ]

    def text(result: Result) -> str:
        return ", ".join(
            thread_count(value) if name == "threads" else value
            for name in varying
            if (value := result.conditions.get(name))
        )

    return text


def _short(text: str, most: int = 20) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
