"""The verb `report`: one page that shows what networks cost and how that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgevsr import __version__
from edgevsr.files import check_output, write_bytes
from edgevsr.progress import progress
from edgevsr.reporting.crops import Comparison, compare_on_sample, pairs
from edgevsr.reporting.inputs import read_inputs
from edgevsr.reporting.networks import Network
from edgevsr.reporting.page import Contents, render_page
from edgevsr.reporting.results import Result
from edgevsr.spec import check_fps

BUDGETS_FPS = (24.0, 30.0, 60.0)
_MOST_COMPARISONS = 6


@dataclass(frozen=True)
class ReportResult:
    """The page that was written, and what is on it; `kinds` counts results by kind."""

    output: Path
    bytes: int
    results: int
    kinds: dict[str, int]
    networks: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    budgets_fps: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "output": str(self.output),
            "bytes": self.bytes,
            "results": self.results,
            "kinds": self.kinds,
            "networks": list(self.networks),
            "int8_against_float": [
                {
                    "int8": each.int8_name,
                    "float": each.float_name,
                    "psnr_db": each.psnr_db,
                    "changed": each.changed,
                    "max_codes": each.max_codes,
                }
                for each in self.comparisons
            ],
            "budgets_fps": list(self.budgets_fps),
        }


def report(
    inputs: Sequence[str | Path],
    *,
    output: str | Path = "report.html",
    fps: Sequence[float] | None = None,
    crops: bool = True,
    force: bool = False,
) -> ReportResult:
    """Write one self-contained page about results and networks.

    `inputs` are results (`edgevsr profile --json`, profiles/measured/*.json), folders of them, and
    SOURCEs. `fps` are the budgets drawn in, by default 24, 30 and 60 and what the results asked
    for. `crops` runs each int8 network beside its float form on a shipped frame.

    Raises:
        DataError: an input that is no result.
        SourceError: a network that cannot be opened.
        SpecError: a frame rate that does not exist.
        OutputError: the page exists already (give `force`) or cannot be written.
    """
    path = Path(output)
    check_output(path, force)
    results, networks = read_inputs(inputs)
    budgets = _budgets(fps, results)
    comparisons = tuple(_compare(networks)) if crops else ()
    page = render_page(
        Contents(
            results,
            networks,
            comparisons,
            budgets,
            _tools(results, networks),
            datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    ).encode()
    write_bytes(path, page, force)
    return ReportResult(
        path,
        len(page),
        len(results),
        dict(Counter(result.kind for result in results)),
        tuple(network.name for network in networks),
        comparisons,
        budgets,
    )


def _budgets(fps: Sequence[float] | None, results: Sequence[Result]) -> tuple[float, ...]:
    for value in fps or ():
        check_fps(value)
    if fps:
        return tuple(sorted(set(fps)))
    asked = {result.target_fps for result in results if result.target_fps}
    return tuple(sorted({*BUDGETS_FPS, *asked}))


def _compare(networks: Sequence[Network]) -> list[Comparison]:
    found = list(pairs(networks))[:_MOST_COMPARISONS]
    comparisons = []
    with progress("int8 beside float", len(found)) as bar:
        for float_net, int8_net in found:
            comparisons.append(compare_on_sample(float_net, int8_net))
            bar.advance(1, int8_net.name)
    return comparisons


def _tools(results: Sequence[Result], networks: Sequence[Network]) -> dict[str, dict[str, str]]:
    """Return the versions by which each input was made, this page first."""
    rows = {"this page": {"edgevsr": __version__}}
    rows |= {network.name: dict(network.tools) for network in networks if network.tools}
    rows |= {result.origin: dict(result.tools) for result in results if result.tools}
    return rows
