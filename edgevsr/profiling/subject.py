"""The network that a measurement is of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.graph.ir import Graph


@dataclass(frozen=True)
class SubjectFacts:
    """What a measurement says of its network; None is unknown."""

    size: str | None = None
    net: str | None = None
    scale: int | None = None
    psnr_y_db: Mapping[str, float] | None = None
    gmac: float | None = None


@dataclass(frozen=True)
class Subject:
    """A network as it was opened, the LR frame's (width, height), and the card beside it."""

    graph: Graph
    path: Path
    name: str
    size: tuple[int, int]
    card: Mapping[str, Any] | None
    gmac: float

    @property
    def facts(self) -> SubjectFacts:
        """What is known of the network."""
        card = self.card or {}
        net = card.get("net")
        return SubjectFacts(
            size=f"{self.size[0]}x{self.size[1]}",
            net=net if isinstance(net, str) else None,
            scale=self.graph.scale,
            psnr_y_db=_psnr_y_db(card, self.graph.quantized),
            gmac=self.gmac,
        )


def _psnr_y_db(card: Mapping[str, Any], quantized: bool) -> dict[str, float] | None:
    """Return the dB by test set that a card states for the network's own form, if it does."""
    table = card.get("psnr_y_db")
    found = {}
    for name, row in table.items() if isinstance(table, Mapping) else ():
        value = row.get("int8" if quantized else "8bit") if isinstance(row, Mapping) else row
        if isinstance(value, int | float) and math.isfinite(value):
            found[str(name)] = float(value)
    return found or None
