"""`edgevsr evaluate`: PSNR-Y and SSIM-Y of any stage over images and videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.data.clips import is_video
from edgevsr.evaluation import (
    Evaluation,
    LrY,
    evaluate_model,
    finite_or_none,
    list_picture_files,
    read_pictures,
    scores_csv,
)
from edgevsr.files import check_output, write_bytes
from edgevsr.progress import progress
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source


@dataclass(frozen=True)
class EvaluateResult:
    """The scores of a network over a test set, and how it was run."""

    source: str
    scale: int
    lr_y: LrY
    runtime: str
    how_resized: str | None
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys; an infinite PSNR is null and in no mean."""
        scores = self.evaluation
        return {
            "source": self.source,
            "scale": self.scale,
            "lr_y": self.lr_y,
            "runtime": self.runtime,
            "how_resized": self.how_resized,
            "images": [
                {
                    "name": image.name,
                    "psnr_y_db": finite_or_none(image.psnr_y_db),
                    "ssim_y": image.ssim_y,
                    "bicubic_psnr_y_db": finite_or_none(image.bicubic_psnr_y_db),
                }
                for image in scores.images
            ],
            "psnr_y_db": scores.psnr_y_db,
            "ssim_y": scores.ssim_y,
            "bicubic_psnr_y_db": scores.bicubic_psnr_y_db,
            "infinite": scores.infinite,
        }


def evaluate(
    source: str | Path,
    *,
    data: str | Path,
    lr_y: LrY = "8bit",
    runtime: str | None = None,
    threads: int | None = None,
    csv: str | Path | None = None,
    force: bool = False,
) -> EvaluateResult:
    """Score SOURCE on every image and video frame of `data`, which is HR; `csv` writes a table.

    Raises:
        SourceError: SOURCE cannot be opened or its weights are damaged.
        DataError: there is no image, or one cannot be read or is too small.
        OutputError: `csv` exists already (give `force`) or cannot be written.
    """
    table = None if csv is None else Path(csv)
    if table is not None:
        check_output(table, force)
    folder = Path(data)
    files = list_picture_files(folder)
    stage = open_source(source)
    own_file = stage.kind in ("tflite", "onnx")
    model = SrModel.open(stage.path if own_file else stage.graph, runtime=runtime, threads=threads)
    total = None if any(is_video(path) for path in files) else len(files)
    with progress("evaluate", total) as bar:
        evaluation = evaluate_model(
            model,
            read_pictures(folder, model.scale, files),
            lr_y,
            lambda score: bar.advance(1, f"{score.name} {score.psnr_y_db:.2f} dB"),
        )
    if table is not None:
        write_bytes(table, scores_csv(evaluation).encode(), force)
    return EvaluateResult(
        str(source), model.scale, lr_y, model.runtime, model.how_resized, evaluation
    )
