"""HTML and SVG that cannot be broken by what is put into it: text is escaped, only tags are not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

#: Characters that would hide or reorder what stands around them: controls, bidirectional
#: overrides, halves of pairs.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_MAX_TEXT = 500


class Html(str):
    """Markup that is finished; any other string is text and is escaped where it is used."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def plain(value: object) -> str:
    """Return a value as visible text of bounded length, not yet escaped."""
    text = _visible(value)
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def join(*children: Child) -> Html:
    """Return the children one after another: markup as it is, text escaped, None left out."""
    return Html("".join(_render(child) for child in children))


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """Return an element; `class_` is class, `view_box` is viewBox, `aria_label` is aria-label.

    An attribute that is None or False is left out, one that is True stands without a value.
    """
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in ("meta", "img", "input", "br", "col"):
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def _visible(value: object) -> str:
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _attribute(key: str) -> str:
    return "viewBox" if key == "view_box" else key.rstrip("_").replace("_", "-")


def _value(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _visible(value)


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int | float):
        return escape(plain(child))
    return "".join(_render(each) for each in child)
