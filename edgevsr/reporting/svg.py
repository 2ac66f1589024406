"""Charts drawn once for a wide page and once for a phone's: axes, grid, marks and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgevsr.reporting.markup import Html, join, tag
from edgevsr.reporting.results import Kind
from edgevsr.reporting.scales import Scale

WIDE, NARROW = 900, 340
#: Below this width a chart is drawn with fewer ticks and shorter labels.
_ROOMY = 600

_CHARACTER, _LINE = 6.6, 14.0
_RADIUS = 6.0


@dataclass(frozen=True)
class Plot:
    """The frame of a chart: its size in pixels and both axes."""

    width: float
    height: float
    x: Scale
    y: Scale

    @property
    def roomy(self) -> bool:
        """Whether this is the drawing for a wide page."""
        return self.width >= _ROOMY

    def axes(
        self,
        x_title: str,
        y_title: str,
        x_text: Callable[[float], str],
        y_text: Callable[[float], str],
    ) -> Html:
        """Return grid, tick labels and titles; the y axis has its title above it."""
        bottom, left = self.y.start, self.x.start
        parts = []
        for value in self.y.ticks(6 if self.roomy else 5):
            y = self.y.at(value)
            parts += [
                line(left, y, self.x.end, y, "grid"),
                words(left - 6, y + 4, y_text(value), "tick end"),
            ]
        for value in self.x.ticks(9 if self.roomy else 5):
            x = self.x.at(value)
            parts += [
                line(x, self.y.end, x, bottom, "grid"),
                words(x, bottom + 17, x_text(value), "tick middle"),
            ]
        parts.append(line(left, bottom, self.x.end, bottom, "axis"))
        parts.append(words((left + self.x.end) / 2, bottom + 36, x_title, "title middle"))
        parts.append(words(4, 13, y_title, "title"))
        return join(parts)


def responsive(
    label: str, draw: Callable[[float], tuple[float, Html]], *, marks: bool = True
) -> Html:
    """Return a chart that suits both a wide page and a phone; `draw` gives height and content.

    Under one with marks stands a line that says which mark is pointed at.
    """
    drawings = []
    for width, name in ((WIDE, "wide"), (NARROW, "narrow")):
        height, content = draw(width)
        drawings.append(
            tag(
                "svg",
                content,
                class_=f"chart {name}",
                view_box=f"0 0 {width} {height:g}",
                role="group",
                aria_label=label,
            )
        )
    readout = tag("p", "", class_="readout", aria_live="polite") if marks else None
    return tag("div", drawings, readout, class_="figure")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    """Return a straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def words(x: float, y: float, text: str, class_: str) -> Html:
    """Return one line of text; class middle or end sets its anchor."""
    return tag("text", text, x=x, y=y, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, *, steps: bool = False) -> Html:
    """Return a line through the points, or a staircase that goes across before it goes up."""
    written = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for x, y in points[1:]:
        written.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
    return tag("path", d="".join(written), class_=class_)


def mark(kind: Kind, x: float, y: float, text: str) -> Html:
    """Return the mark of a kind, which a keyboard reaches and a screen reader reads.

    Measured is a filled disc, estimated a hollow diamond, emulated a square, static a triangle.
    """
    return tag(
        "g",
        tag("title", text),
        tag("circle", cx=x, cy=y, r=15, class_="target"),
        shape(kind, x, y),
        class_=f"mark {kind}",
        tabindex=0,
        role="img",
        aria_label=text,
    )


def shape(kind: Kind, x: float, y: float) -> Html:
    """Return the bare shape of a kind."""
    r = _RADIUS
    if kind == "measured":
        return tag("circle", cx=x, cy=y, r=r, class_="shape")
    corners = {
        "estimated": ((0, -r - 1.5), (r + 1.5, 0), (0, r + 1.5), (-r - 1.5, 0)),
        "emulated": ((-r, -r), (r, -r), (r, r), (-r, r)),
        "static": ((0, -r), (r, r - 1), (-r, r - 1)),
    }[kind]
    written = "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners)
    return tag("path", d=f"M{written}Z", class_="shape")


@dataclass(frozen=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Labels:
    """Places labels beside marks where nothing is yet; one that fits nowhere is left out."""

    def __init__(self, inside: Box, taken: Sequence[Box] = ()) -> None:
        self._inside = inside
        self._taken = list(taken)

    def take(self, box: Box) -> None:
        """Keep a mark's place free of labels."""
        self._taken.append(box)

    def place(self, x: float, y: float, lines: Sequence[str]) -> Html | None:
        """Return the label of a mark at (x, y), or None where there is no room for it."""
        width = max(len(text) for text in lines) * _CHARACTER
        height = len(lines) * _LINE
        gap = 11.0
        for left, top, anchor in (
            (x + gap, y - height / 2, "start"),
            (x - gap - width, y - height / 2, "end"),
            (x - width / 2, y - gap - height, "middle"),
            (x - width / 2, y + gap, "middle"),
            (x + gap, y - gap - height, "start"),
            (x + gap, y + gap, "start"),
            (x - gap - width, y - gap - height, "end"),
            (x - gap - width, y + gap, "end"),
        ):
            if self._claim(Box(left, top, left + width, top + height)):
                at = {"start": left, "end": left + width, "middle": left + width / 2}[anchor]
                return _label(at, top, lines, anchor)
        for distance in (34.0, 64.0, 94.0):
            for top, end in ((y - distance - height, y - distance), (y + distance, y + distance)):
                if self._claim(Box(x - width / 2, top, x + width / 2, top + height)):
                    start = y - 8 if end < y else y + 8
                    leader = line(x, start, x, end, "leader")
                    return join(leader, _label(x, top, lines, "middle"))
        return None

    def _claim(self, box: Box) -> bool:
        """Take a place if it is inside and free."""
        inside = (
            box.left >= self._inside.left
            and box.right <= self._inside.right
            and box.top >= self._inside.top
            and box.bottom <= self._inside.bottom
        )
        if not inside or any(box.meets(other) for other in self._taken):
            return False
        self._taken.append(box)
        return True


def _label(x: float, top: float, lines: Sequence[str], anchor: str) -> Html:
    return join(
        words(x, top + _LINE * (row + 0.8), text, f"name {anchor} row{min(row, 1)}")
        for row, text in enumerate(lines)
    )
