"""Tells what each input is: a result, a network, or a folder of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgevsr.errors import DataError
from edgevsr.profiling.phones.collected import is_collected, read_collected
from edgevsr.reporting.networks import Network, judged, open_network, shipped_networks
from edgevsr.reporting.reading import from_measured, read_results
from edgevsr.reporting.results import Result

_MOST_FILES = 2000


def read_inputs(inputs: Sequence[str | Path]) -> tuple[list[Result], list[Network]]:
    """Return the results and networks of all inputs, in their order, each result judged by its
    network's card where its own file states no quality.

    An input is a result (.json), a folder of results or of what the phone scripts collected, or a
    SOURCE.

    Raises:
        DataError: a file that is no result, or a folder without one.
        SourceError: a network that cannot be opened.
    """
    results: list[Result] = []
    networks: list[Network] = []
    for each in inputs:
        path = Path(each)
        if path.is_dir():
            results += _read_folder(path)
        elif path.suffix.lower() == ".json":
            results += read_results(path)
        else:
            networks.append(open_network(each))
    if not results and not networks:
        raise DataError("nothing to report on; give results, artifacts or shipped names")
    networks += shipped_networks(results, networks)
    return judged(results, networks), networks


def _read_folder(folder: Path) -> Iterator[Result]:
    """Yield the results below a folder: its .json files, and what the phone scripts collected."""
    files = sorted(folder.glob("*.json"))[:_MOST_FILES]
    collected = read_collected(folder) if is_collected(folder) else []
    if not files and not collected:
        raise DataError(
            f"{folder}: holds no result; expected .json files of edgevsr profile, or what "
            "profiles/adb/collect brought"
        )
    for path in files:
        yield from read_results(path)
    yield from (from_measured(measured, str(folder)) for measured in collected)
