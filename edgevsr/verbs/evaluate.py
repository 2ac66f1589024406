"""`edgevsr evaluate`: PSNR-Y and SSIM-Y of any stage over images and videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.clip_scores import NO_FLOW, ClipMeans
from edgevsr.data.clips import is_video
from edgevsr.data.degrade import DEGRADATIONS, Degradation
from edgevsr.errors import SpecError
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
from edgevsr.motion import has_flow
from edgevsr.nets.references import open_clip_model, refuse_for_references
from edgevsr.progress import progress
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source


@dataclass(frozen=True)
class EvaluateResult:
    """The scores of a network over a test set, and how it was run.

    `t_consistency_note` says why clips have no temporal consistency, where they have none.
    """

    source: str
    scale: int
    lr_y: LrY
    runtime: str
    how_resized: str | None
    evaluation: Evaluation
    degradation: Degradation = "bi"

    @property
    def t_consistency_note(self) -> str | None:
        """Why the clips have no temporal consistency, or None."""
        clips = self.evaluation.clips
        return NO_FLOW if clips and not has_flow() else None

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
                    "psnr_rgb_db": finite_or_none(image.psnr_rgb_db),
                    "ssim_rgb": image.ssim_rgb,
                }
                for image in scores.images
            ],
            "psnr_y_db": scores.psnr_y_db,
            "ssim_y": scores.ssim_y,
            "bicubic_psnr_y_db": scores.bicubic_psnr_y_db,
            "psnr_rgb_db": scores.psnr_rgb_db,
            "ssim_rgb": scores.ssim_rgb,
            "infinite": scores.infinite,
            "degradation": self.degradation,
            "clips": [clip.to_json() for clip in scores.clips],
            "clips_mean": ClipMeans(scores.clips).to_json() if scores.clips else None,
            "t_consistency_note": self.t_consistency_note,
        }


def evaluate(
    source: str | Path,
    *,
    data: str | Path,
    lr_y: LrY = "8bit",
    runtime: str | None = None,
    threads: int | None = None,
    degradation: Degradation = "bi",
    reset_on_cut: bool = False,
    csv: str | Path | None = None,
    weights: str | Path | None = None,
    force: bool = False,
) -> EvaluateResult:
    """Score SOURCE on every image and clip of `data`, which is HR; `csv` writes a table.

    Clips are videos and folders of numbered frames (see `edgevsr.data.listing`). `degradation` is
    "bi", MATLAB's bicubic, or "bd", Gaussian blur and decimation. With `reset_on_cut` a recurrent
    network starts anew at every scene cut. SOURCE may be a reference of the literature, run with
    its published `weights`.

    Raises:
        SpecError: an option is not known.
        SourceError: SOURCE cannot be opened or its weights are damaged.
        DataError: there is no image, or one cannot be read or is too small.
        OutputError: `csv` exists already (give `force`) or cannot be written.
    """
    if degradation not in DEGRADATIONS:
        raise SpecError(f"--degradation {degradation}: expected one of {', '.join(DEGRADATIONS)}")
    table = None if csv is None else Path(csv)
    if table is not None:
        check_output(table, force)
    folder = Path(data)
    files = list_picture_files(folder)
    reference = open_clip_model(source, weights, threads)
    if reference is not None:
        refuse_for_references(source, {"--runtime": runtime, "--reset-on-cut": reset_on_cut})
    model = reference or SrModel.open(
        open_source(source).runnable, runtime=runtime, threads=threads
    )
    total = None if any(is_video(path) for path in files) else len(files)
    pictures = read_pictures(folder, model.scale, files, degradation)
    if reference is not None:
        pictures = reference.ahead(pictures, lambda one: one.lr, lambda one: one.starts_clip)
    with progress("evaluate", total) as bar:
        evaluation = evaluate_model(
            model,
            pictures,
            lr_y,
            lambda score: bar.advance(1, f"{score.name} {score.psnr_y_db:.2f} dB"),
            reset_on_cut=reset_on_cut,
        )
    if table is not None:
        write_bytes(table, scores_csv(evaluation).encode(), force)
    return EvaluateResult(
        str(source), model.scale, lr_y, model.runtime, model.how_resized, evaluation, degradation
    )
