"""The network that a measurement is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.cards import quality_of
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
        net = (self.card or {}).get("net")
        return SubjectFacts(
            size=f"{self.size[0]}x{self.size[1]}",
            net=net if isinstance(net, str) else None,
            scale=self.graph.scale,
            psnr_y_db=quality_of(self.card, self.graph.quantized) or None,
            gmac=self.gmac,
        )
