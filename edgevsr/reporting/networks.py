"""The networks behind the results: their layers, their memory, their quality by the card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.cards import quality_of
from edgevsr.errors import SpecError
from edgevsr.files import sha256_of
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import Counts, count_graph
from edgevsr.reporting.results import Result, with_quality
from edgevsr.sources import open_source
from edgevsr.spec import DEFAULT_SIZE, parse_size
from edgevsr.zoo import zoo_names


@dataclass(frozen=True)
class Network:
    """A network that the page knows whole; `psnr_y_db` is dB by test set, in its own form."""

    name: str
    path: Path
    sha256: str
    graph: Graph
    psnr_y_db: Mapping[str, float]
    tools: Mapping[str, str]

    @property
    def precision(self) -> str:
        """ "int8" or "float"."""
        return "int8" if self.graph.quantized else "float"

    def counts(self, size: str | None) -> Counts:
        """Return what a frame costs at WIDTHxHEIGHT, by default the file's own, else 640x360.

        Raises:
            SpecError: the network cannot have this size.
        """
        frame = parse_size(size) if size else self.graph.size or DEFAULT_SIZE
        return count_graph(self.graph, frame)


def open_network(source: str | Path) -> Network:
    """Return the network that a SOURCE is.

    Raises:
        SourceError: it cannot be opened.
        ExportError: it has operators that this toolkit does not know.
    """
    stage = open_source(source)
    graph = stage.graph
    return Network(
        name=stage.name,
        path=stage.path,
        sha256=sha256_of(stage.path),
        graph=graph,
        psnr_y_db=quality_of(stage.card, graph.quantized),
        tools=_texts((stage.card or {}).get("tools")),
    )


def shipped_networks(results: Iterable[Result], given: Iterable[Network]) -> list[Network]:
    """Return the shipped networks that results name and that were not given.

    A name counts only where the number of weights agrees: a file of one's own may be called as a
    shipped one.
    """
    known = {network.name for network in given}
    found: dict[str, Network] = {}
    for result in results:
        name = result.net
        if name in known or name in found or name not in zoo_names() or result.params is None:
            continue
        network = open_network(name)
        if network.graph.params == result.params:
            found[name] = network
    return list(found.values())


def network_of(result: Result, networks: Iterable[Network]) -> Network | None:
    """Return the network that a result is of: the same bytes, else the same name and weights."""
    digest = result.measured.file.sha256 if result.measured else None
    for network in networks:
        same_file = digest is not None and digest == network.sha256
        if same_file or (result.net == network.name and result.params == network.graph.params):
            return network
    return None


def judged(results: Iterable[Result], networks: Iterable[Network]) -> list[Result]:
    """Return the results, each with its network's quality where its own file states none."""
    networks = list(networks)
    return [
        with_quality(result, network.psnr_y_db) if network else result
        for result, network in ((result, network_of(result, networks)) for result in results)
    ]


def counts_at(network: Network, size: str | None) -> Counts | None:
    """Return the network's counts at a size, or None where it cannot have it."""
    try:
        return network.counts(size)
    except SpecError:
        return None


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): str(text) for name, text in value.items() if isinstance(text, str)}
