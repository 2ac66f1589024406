"""What the shipped networks of stills are held to, and what their cards say of it.

`edgevsr/zoo/aims.json` has the PSNR-Y in dB that each float network is to reach on each set, and
what was measured on the way there: the same short training on fewer pictures, and what a network
that stays below its aim would take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "zoo" / "aims.json"


def still_aims() -> dict[str, dict[str, float]]:
    """Return the PSNR-Y in dB that each float network is to reach, by set."""
    aims: dict[str, dict[str, float]] = _read()["psnr_y_db"]
    return aims


def missing_db(aim: Mapping[str, float], reached: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each aim is missed, in thousandths; 0 where it is reached."""
    return {name: max(0.0, round(value - reached[name], 3)) for name, value in aim.items()}


def told_of(name: str, reached: Mapping[str, float]) -> dict[str, Any]:
    """Return what a card says of its network's aim: nothing where there is none, or no measure.

    One that is missed says what fewer pictures cost, and what it would take.
    """
    file = _read()
    aim = file["psnr_y_db"].get(name)
    if aim is None or not aim.keys() <= reached.keys():
        return {}
    missed = missing_db(aim, reached)
    told = {"psnr_y_db": aim, "missed_by_db": missed}
    if any(missed.values()):
        told |= {key: file[key] for key in ("over_pictures", "would_take")}
    return {"aim": told}


def _read() -> dict[str, Any]:
    file: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return file
