"""The README's table of shipped networks, from their cards.

python -m tests.readme_table    writes it into README.md
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgevsr
from edgevsr.sources import ZooEntry, list_zoo
from edgevsr.zoo import read_card, zoo_names

README = Path(__file__).resolve().parent.parent / "README.md"
_PLACE = re.compile(r"(<!-- results: [^\n]*-->\n)(.*?)(<!-- /results -->)", re.DOTALL)
_SETS = ("Set5", "Set14", "B100")
_CLIPS = ("city", "walk", "Vid4")
_COLUMNS = ("float", "8bit", "int8")


def results_table() -> str:
    """Return the tables in Markdown: a row for each network that ships in a narrow form."""
    narrow = [entry for entry in list_zoo() if entry.form == "narrow"]
    images = _table([entry for entry in narrow if not entry.recurrent], _SETS, _of_sets)
    clips = _table([entry for entry in narrow if entry.recurrent], _CLIPS, _of_clips)
    parts = [images, *([clips] if any(entry.recurrent for entry in narrow) else [])]
    return "\n\n".join(parts) + "\n\nEach cell: float / 8-bit / int8.\n"


def _table(
    entries: list[ZooEntry],
    names: tuple[str, ...],
    quality_of: Callable[[str], dict[str, dict[str, float]]],
) -> str:
    gmac = {entry["name"]: entry["gmac"] for entry in edgevsr.list("zoo").to_json()["zoo"]}
    rows = [
        ["network", "weights", "GMAC", *names],
        [":--", "--:", "--:", *(":-:" for _ in names)],
    ]
    for entry in entries:
        quality = quality_of(entry.name)
        cells = [" / ".join(_db(quality[name].get(c)) for c in _COLUMNS) for name in names]
        rows.append(
            [f"`{entry.name}`", f"{entry.card['params']:,}", f"{gmac[entry.name]:.3f}", *cells]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cards(name: str) -> list[dict[str, Any]]:
    """Return the cards of a narrow network and of its quantized form, where that ships."""
    names = (name, f"{name}-w8a8")
    return [read_card(each) for each in names if each in zoo_names()]


def _of_sets(name: str) -> dict[str, dict[str, float]]:
    """Return {test set: {column: dB}}."""
    quality: dict[str, dict[str, float]] = {}
    for card in _cards(name):
        for test_set, row in card["psnr_y_db"].items():
            quality[test_set] = {**quality.get(test_set, {}), **row}
    return quality


def _of_clips(name: str) -> dict[str, dict[str, float]]:
    """Return {Vid4's clip: {column: dB}}, and the mean over them as Vid4."""
    quality = {"Vid4": _of_sets(name)["Vid4"]}
    for card in _cards(name):
        for clip, row in card["clips"]["Vid4"].items():
            own = {column: figures["psnr_y_db"] for column, figures in row.items()}
            quality[clip] = {**quality.get(clip, {}), **own}
    return quality


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def table_in(text: str) -> str:
    """Return the table that a README holds."""
    match = _PLACE.search(text)
    assert match, "README.md has lost its results markers"
    return match[2]


if __name__ == "__main__":
    before = README.read_text("utf-8")
    README.write_text(_PLACE.sub(lambda m: m[1] + results_table() + m[3], before), "utf-8")
