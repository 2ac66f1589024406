"""The pieces that every section of the page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edgevsr.reporting.markup import Child, Html, join, tag
from edgevsr.reporting.results import KINDS, Kind
from edgevsr.reporting.svg import shape


def icon(kind: Kind) -> Html:
    """Return the shape of a kind, small enough for a line of text."""
    return tag(
        "svg",
        shape(kind, 9, 9),
        class_=f"icon {kind}",
        view_box="0 0 18 18",
        aria_hidden="true",
    )


def badge(kind: Kind) -> Html:
    """Return the kind's shape, colour and name, which stand beside every figure."""
    return tag("span", icon(kind), kind, class_=f"badge {kind}", title=KINDS[kind])


def section(name: str, title: str, *children: Child) -> Html:
    """Return a section that the page's contents link to."""
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def table(
    label: str, columns: Sequence[str], rows: Iterable[Sequence[Child]], numeric: Sequence[int] = ()
) -> Html:
    """Return a table that scrolls by itself where it is too wide; `numeric` columns align right."""
    head = tag(
        "tr",
        (
            tag("th", name, scope="col", class_="num" if index in numeric else None)
            for index, name in enumerate(columns)
        ),
    )
    body = [
        tag(
            "tr",
            (
                tag("th", cell, scope="row")
                if index == 0
                else tag("td", cell, class_="num" if index in numeric else None)
                for index, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=label,
    )


def facts(values: Mapping[str, Child]) -> Html:
    """Return names and values, those without a value left out."""
    return tag(
        "dl",
        (
            join(tag("dt", name), tag("dd", value))
            for name, value in values.items()
            if value is not None and value != ""
        ),
    )


def listed(lines: Iterable[Child], class_: str | None = None) -> Html:
    """Return a plain list, or nothing for no lines."""
    items = [tag("li", line) for line in lines]
    return tag("ul", items, class_=class_) if items else Html("")


def folded(summary: Child, *children: Child, opened: bool = False) -> Html:
    """Return content that opens under its summary."""
    return tag("details", tag("summary", summary), *children, open=opened)
