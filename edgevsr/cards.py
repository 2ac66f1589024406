"""The JSON cards that lie beside networks, whoever wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

#: The test sets whose figures are quoted first, in this order.
QUOTED_SETS = ("Set14", "Set5", "B100", "Vid4")
_MAX_BYTES = 4 << 20


def card_beside(path: Path) -> dict[str, Any] | None:
    """Return the JSON card of this very file, or None where there is none that can be read."""
    card = path.with_suffix(".json")
    try:
        if card.stat().st_size > _MAX_BYTES:
            return None
        value = json.loads(card.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    # net.onnx and net.tflite share the name net.json: a card says which of them it is of.
    if not isinstance(value, dict) or value.get("file", path.name) != path.name:
        return None
    return value


def quality_of(card: Mapping[str, Any] | None, quantized: bool) -> dict[str, float]:
    """Return PSNR-Y in dB by test set as a card states it for this form of the network.

    A float network is taken on the luma that a decoder delivers, where the card has that.
    """
    sets = (card or {}).get("psnr_y_db")
    found: dict[str, float] = {}
    for name, row in sets.items() if isinstance(sets, Mapping) else ():
        for form in ("int8",) if quantized else ("8bit", "float"):
            value = row.get(form) if isinstance(row, Mapping) else row
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if 0 < value < 200:
                found[str(name)] = float(value)
                break
    return found


def quoted_first(sets: Iterable[str]) -> list[str]:
    """Return names of test sets in the order in which their figures are quoted."""
    order = {name: place for place, name in enumerate(QUOTED_SETS)}
    return sorted(sets, key=lambda name: (order.get(name, len(order)), name))
