"""The README's table of shipped networks, from their cards.

python -m tests.readme_table    writes it into README.md
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edgevsr

README = Path(__file__).resolve().parent.parent / "README.md"
_PLACE = re.compile(r"(<!-- results: [^\n]*-->\n)(.*?)(<!-- /results -->)", re.DOTALL)
_SETS = ("Set5", "Set14", "B100")
_COLUMNS = ("float", "8bit", "int8")


def results_table() -> str:
    """Return the table in Markdown, a row for each network that ships in a narrow form."""
    from edgevsr.sources import list_zoo

    gmac = {entry["name"]: entry["gmac"] for entry in edgevsr.list("zoo").to_json()["zoo"]}
    rows = [
        ["network", "weights", "GMAC", *_SETS],
        [":--", "--:", "--:", *(":-:" for _ in _SETS)],
    ]
    for entry in list_zoo():
        if entry.form == "narrow":
            quality = _with_int8(entry.name, dict(entry.card["psnr_y_db"]))
            cells = [" / ".join(_db(quality[name].get(c)) for c in _COLUMNS) for name in _SETS]
            weights = f"{entry.card['params']:,}"
            rows.append([f"`{entry.name}`", weights, f"{gmac[entry.name]:.3f}", *cells])
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{lines}\n\nEach cell: float / 8-bit / int8.\n"


def _with_int8(name: str, quality: dict[str, Any]) -> dict[str, Any]:
    """Return the PSNRs of a narrow network with the int8 column of its quantized form."""
    from edgevsr.zoo import read_card, zoo_names

    quantized = f"{name}-w8a8"
    if quantized in zoo_names():
        for set_name, row in read_card(quantized)["psnr_y_db"].items():
            quality[set_name] = {**quality.get(set_name, {}), "int8": row["int8"]}
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
