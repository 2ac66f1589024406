"""Tables for people: aligned, without colour when piped, wide enough for a log."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 160


def show(*parts: RenderableType) -> None:
    """Print rich renderables on stdout in one write."""
    terminal = sys.stdout.isatty()
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=terminal,
        width=None if terminal else _PIPED_WIDTH,
        highlight=False,
        soft_wrap=not terminal,
    )
    for part in parts:
        console.print(part)
    # Padding at the ends of lines is noise in a log and in a diff.
    print("\n".join(line.rstrip() for line in text.getvalue().rstrip().split("\n")))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
) -> Table:
    """Return a table; a column whose cells are all numbers (or missing) is set to the right."""
    cells = [[cell_text(value) for value in row] for row in rows]
    body = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        numeric = all(_is_number(row[index]) for row in cells)
        body.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        body.add_row(*(Text(cell) for cell in row))
    return body


def facts(rows: Mapping[str, object]) -> Table:
    """Return names and values as two columns, those without a value left out."""
    body = Table.grid(padding=(0, 2))
    body.add_column(style="dim")
    body.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            body.add_row(name, Text(cell_text(value)))
    return body


def bytes_text(count: int | None) -> str | None:
    """Return a number of bytes as a person reads it, with the exact count."""
    if count is None:
        return None
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.4g} {unit} ({count:,} B)"


def verdict(passed: bool, good: str, bad: str) -> Text:
    """Return the closing line of a gate."""
    return Text(good, style="green") if passed else Text(bad, style="bold red")


def gate(met: bool | None, bar: str, value: float | None) -> list[Text]:
    """Return the closing line of a gate, none without one; `bar` is formatted with its value."""
    if met is None:
        return []
    text = bar.format(value)
    return [verdict(met, f"met: {text}", f"MISSED: {text}")]


def cell_text(value: object) -> str:
    """Return a value as a table shows it; what is missing is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    if isinstance(value, list | tuple):
        return ", ".join(cell_text(item) for item in value)
    return str(value)


def _is_number(cell: str) -> bool:
    return cell == "–" or cell.replace(",", "").lstrip("-").replace(".", "", 1)[:1].isdigit()


def notes(lines: Sequence[str]) -> RenderableType:
    """Return what the figures rest on, one line each."""
    return Group(*(Text(f"· {line}", style="dim") for line in lines))
