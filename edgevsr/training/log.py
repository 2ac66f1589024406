"""The run's log: a CSV that survives interruption, and its picture."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from edgevsr.files import atomic_path

COLUMNS = ("step", "seconds", "learning_rate", "loss", "val_psnr_y_db")


@dataclass(frozen=True)
class Row:
    """One line of the log; `loss` is the mean since the line before, on images in [0, 1]."""

    step: int
    seconds: float
    learning_rate: float
    loss: float
    val_psnr_y_db: float


class TrainLog:
    """`log.csv` in the run folder; rows beyond the resumed step are dropped."""

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        self.rows = [row for row in _read(path) if row.step <= last_step]
        self._write()

    def append(self, row: Row) -> None:
        """Add a row; the file is replaced whole."""
        self.rows.append(row)
        self._write()

    def plot(self, path: Path, title: str) -> None:
        """Draw loss and validation PSNR over the steps as a PNG."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
        steps = [row.step for row in self.rows]
        left.plot(steps, [row.loss for row in self.rows], color="#b5502f")
        left.set(xlabel="step", ylabel="images in [0, 1]", yscale="log", title="training loss")
        right.plot(steps, [row.val_psnr_y_db for row in self.rows], color="#2f6db5")
        right.set(xlabel="step", ylabel="PSNR-Y, dB", title="held-out pictures, averaged weights")
        for axes in (left, right):
            axes.grid(alpha=0.3, which="both")
        figure.suptitle(title)
        with atomic_path(path, force=True) as temporary:
            figure.savefig(temporary, dpi=110)
        pyplot.close(figure)

    def _write(self) -> None:
        with (
            atomic_path(self.path, force=True) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([getattr(row, name) for name in COLUMNS] for row in self.rows)


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            Row(int(line["step"]), *(float(line[name]) for name in COLUMNS[1:]))
            for line in csv.DictReader(file)
        ]
