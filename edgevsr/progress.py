"""One progress bar for every verb: on stderr, and only where a person watches."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol


class Bar(Protocol):
    """What a verb tells its progress to."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more as done; `note` replaces the text at the bar's end."""


class _Silent:
    def advance(self, amount: float = 1, note: str = "") -> None:
        del amount, note


@contextlib.contextmanager
def progress(label: str, total: float | None, done: float = 0) -> Iterator[Bar]:
    """Show a bar with speed and ETA on stderr, or nothing when stderr is not a terminal.

    `total` is None when the amount of work is unknown; `done` is what an earlier run did.
    """
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task(label, total=total, completed=int(done), note="")

        class _Shown:
            def advance(self, amount: float = 1, note: str = "") -> None:
                if note:
                    bars.update(task, advance=amount, note=note)
                else:
                    bars.update(task, advance=amount)

        yield _Shown()
