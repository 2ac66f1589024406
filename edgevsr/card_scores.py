"""What cards say that networks score: PSNR-Y and SSIM-Y by set, clip by clip, over a long run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevsr.clip_scores import ClipMeans
from edgevsr.drift import measure_drift
from edgevsr.errors import DataError
from edgevsr.evaluation import Evaluation, LrY, Picture, evaluate_model
from edgevsr.graph.ir import Graph
from edgevsr.runtime.model import SrModel

#: The scores of each form, by test set.
Scores = dict[str, dict[str, Evaluation]]


def set_name(folder: Path) -> str:
    """Return what a test set is called after its folder."""
    return folder.name.removesuffix("_jpg")


def measure(graph: Graph, int8: Graph, sets: Mapping[str, list[Picture]]) -> Scores:
    """Return, for each test set, the scores of "float", "8bit" and "int8"."""
    forms: tuple[tuple[str, SrModel, LrY], ...] = (
        ("float", SrModel.open(graph), "float"),
        ("8bit", SrModel.open(graph), "8bit"),
        ("int8", SrModel.open(int8), "8bit"),
    )
    scores: Scores = {}
    for name, pictures in sets.items():
        scores[name] = {form: evaluate_model(model, pictures, y) for form, model, y in forms}
        figures = {form: f"{score.psnr_y_db:.3f}" for form, score in scores[name].items()}
        print(name, figures, file=sys.stderr)
    return scores


def table(
    scores: Scores,
    columns: Sequence[str],
    over_clips: bool,
    figure: str,
    digits: int,
) -> dict[str, dict[str, float]]:
    """Return {set: {column: mean}}, over pictures or over clips."""

    def mean(score: Evaluation) -> float:
        clips = ClipMeans(score.clips).to_json() if over_clips else {}
        return round(float(clips[figure] if over_clips else getattr(score, figure)), digits)

    return {name: {form: mean(forms[form]) for form in columns} for name, forms in scores.items()}


def clips(scores: Scores, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {set: {clip: {column: figures}}}."""
    return {
        name: {
            clip.name: {
                form: {
                    key: value if value is None else round(value, 4)
                    for key, value in forms[form].clips[number].figures().items()
                }
                for form in columns
            }
            for number, clip in enumerate(forms[columns[0]].clips)
        }
        for name, forms in scores.items()
    }


def drift(graph: Graph, int8: Graph, sets: Mapping[str, list[Picture]]) -> dict[str, Any]:
    """Return what int8 loses over a thousand frames of the last clip of the sets."""
    name, pictures = list(sets.items())[-1]
    last = pictures[-1].clip
    if last is None:
        raise DataError(f"{name}: holds no clip; a recurrent network is measured on clips")
    clip = [picture for picture in pictures if picture.clip == last]
    return measure_drift(SrModel.open(graph), SrModel.open(int8), clip).to_json()
