"""From a finished run to a shipped network: the files of `edgevsr/zoo/` and their cards.

    python -m edgevsr.shipping RUN --sets FOLDER [--wide] [--calib FRAMES]

Collapses and quantizes the run on the shipped frames or on FRAMES, reads each test set once, and
writes NAME.onnx, NAME-w8a8.onnx and, with --wide, NAME-wide.safetensors, each with NAME.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgevsr.aims import told_of
from edgevsr.cli import guarded
from edgevsr.clip_scores import ClipMeans
from edgevsr.collapsing import CollapsedNet, collapse_checkpoint
from edgevsr.drift import measure_drift
from edgevsr.errors import DataError, SourceError
from edgevsr.evaluation import Evaluation, LrY, Picture, evaluate_model, read_pictures
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.files import CHECKPOINT, write_bytes, write_json
from edgevsr.graph.ir import Graph
from edgevsr.graph.quantize_int import RANGES_KEY
from edgevsr.graph.streaming import is_recurrent
from edgevsr.nets.checkpoint import load_net, save_net
from edgevsr.nets.registry import net_spec
from edgevsr.quantization.calibration import load_calibration, load_for
from edgevsr.quantization.learned import quantize_learned
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.quantization.ranges import RANGES, Ranges
from edgevsr.runtime.model import SrModel
from edgevsr.spec import NetSpec
from edgevsr.training.config import TrainConfig
from edgevsr.training.resuming import CONFIG
from edgevsr.zoo import calibration_frames, sample_clip

ZOO = Path(__file__).parent / "zoo"
_OPTIONS = (
    "steps", "batch", "patch", "frames", "window", "lr", "loss", "degradation", "shrink",
    "shrink_jpeg", "teacher", "teacher_weight", "feature_weight", "form", "seed", "precision",
    "schedule", "burn_in", "every",
)  # fmt: skip
_FLAGS = ("qat", "compiled")
_TRAINING_DATA = ZOO / "training_data.json"
_CURVE_POINTS = 40

#: A run's folder, config and log.
_Run = tuple[Path, TrainConfig, list[dict[str, str]]]


def ship(
    run: Path,
    sets: Sequence[Path],
    wide: bool,
    folder: Path = ZOO,
    calib: Path | None = None,
    ranges: Ranges = "mse",
) -> list[str]:
    """Write a finished run's networks and cards into `folder` and return their names.

    Of a run trained for int8 the int8 form ships, and beside it the float one of the run before it.
    `ranges` picks activations' ranges where training has not learned them.

    Raises:
        SourceError: the run is damaged or has not reached its last step.
        DataError: a test set holds no picture.
    """
    # Cards alone hold the curve: in the networks' own files it would only be weight to carry.
    config, training, curve = _training(run)
    basis = _basis(run, config)
    _, float_training, float_curve = _training(basis)
    net, info = load_net(basis / CHECKPOINT)
    name = f"{config.spec.name}-x{config.spec.scale}"
    checkpoint = folder / f"{name}-wide.safetensors"
    learned = {RANGES_KEY: info[RANGES_KEY]} if RANGES_KEY in info else {}
    save_net(checkpoint, net, config.spec, {"training": float_training, **learned})
    collapsed = _collapse(checkpoint, keep=wide)
    trained = collapsed if basis == run else collapse_checkpoint(run / CHECKPOINT)
    recurrent = is_recurrent(collapsed.graph)
    calib = calib or (sample_clip() if recurrent else calibration_frames())
    if config.qat:
        int8 = quantize_learned(trained.graph)
    else:
        frames = load_for(trained.graph, calib)
        int8 = quantize_graph(trained.graph, frames, Scheme(ranges=ranges))
    pictures = {_set_name(each): list(read_pictures(each, config.spec.scale)) for each in sets}
    scores = _scores(collapsed.graph, int8, pictures)
    forms = {"narrow": name, "w8a8": f"{name}-w8a8"} | ({"wide": f"{name}-wide"} if wide else {})
    for form, form_name in forms.items():
        columns = ("int8",) if form == "w8a8" else ("float", "8bit")
        params = collapsed.params_wide if form == "wide" else collapsed.params_narrow
        told = {**float_training, "curve": float_curve}
        if form == "w8a8":
            told = {**training, "curve": curve}
        card = {
            "name": form_name,
            "form": form,
            "params": params,
            **_common(config, collapsed, told),
            "psnr_y_db": _table(scores, columns, recurrent, "psnr_y_db", 3),
            "ssim_y": _table(scores, columns, recurrent, "ssim_y", 4),
        }
        if form != "w8a8":
            card |= told_of(name, {each: row["float"] for each, row in card["psnr_y_db"].items()})
        else:
            card["calibration"] = "trained" if config.qat else calib.name
            card["ranges"] = "trained" if config.qat else ranges
        if recurrent:
            card["clips"] = _clips(scores, columns)
        if recurrent and form == "w8a8":
            card["drift"] = _drift(collapsed.graph, int8, pictures)
        write_json(folder / f"{form_name}.json", card, force=True)
    write_bytes(folder / f"{name}.onnx", onnx_bytes(collapsed.graph), force=True)
    write_bytes(folder / f"{name}-w8a8.onnx", onnx_bytes(int8), force=True)
    return list(forms.values())


def _basis(run: Path, config: TrainConfig) -> Path:
    """Return the run whose float form ships: where one was trained for int8, that before it."""
    before = Path(config.init) if config.init else run
    return before if config.qat and before.is_dir() else run


def _collapse(checkpoint: Path, *, keep: bool) -> CollapsedNet:
    """Return the narrow form of a checkpoint, which is removed unless it is to be kept."""
    try:
        return collapse_checkpoint(
            checkpoint, lambda channels: load_calibration(calibration_frames(), channels, limit=4)
        )
    finally:
        if not keep:
            checkpoint.unlink()


def _training(run: Path) -> tuple[TrainConfig, dict[str, Any], list[list[float]]]:
    """Return the run's config, what a card says of its training, and its learning curve.

    The runs it started from are counted too.
    """
    chain = _chain(run)
    config, last = chain[-1][1], chain[-1][2][-1]
    shipped = _shipped_card(chain[0][1].init)
    before: Mapping[str, Any] = shipped.get("training", {})
    commands = [before["command"]] if before else []
    commands += [_command(folder, its_config) for folder, its_config, _ in chain]
    seconds = sum(float(rows[-1]["seconds"]) for *_, rows in chain)
    known = json.loads(_TRAINING_DATA.read_text("utf-8"))
    data = known["stills"] + (known["clips"] if config.frames > 1 else [])
    if int(last["step"]) != config.steps:
        raise SourceError(f"{run}: is at step {last['step']} of {config.steps}; finish it first")
    training = {
        "command": " && ".join(commands),
        "data": data,
        "licences": sorted({row["licence"] for row in data}),
        "steps": before.get("steps", 0) + sum(its_config.steps for _, its_config, _ in chain),
        "seed": config.seed,
        "hours": round(before.get("hours", 0.0) + seconds / 3600, 2),
        "machine": f"{platform.machine()} CPU, one thread",
        "held_out_psnr_y_db": round(float(last["val_psnr_y_db"]), 3),
        "date": datetime.now(UTC).date().isoformat(),
        **(config.taught_by() or {}),
    }
    return config, training, _curve(chain, shipped)


def _chain(run: Path) -> list[_Run]:
    """Return a run and those it was started from, in order.

    Raises:
        SourceError: a folder is not a run.
    """
    try:
        config = TrainConfig.from_json(json.loads((run / CONFIG).read_text("utf-8")))
        with (run / "log.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError("its log is empty")
    except (OSError, ValueError) as error:
        raise SourceError(f"{run}: is not a run folder of edgevsr train ({error})") from error
    before = _chain(Path(config.init)) if config.init and Path(config.init).is_dir() else []
    return [*before, (run, config, rows)]


def _curve(chain: Sequence[_Run], shipped: Mapping[str, Any]) -> list[list[float]]:
    """Return [steps, held-out PSNR-Y in dB] over all stages, thinned evenly between its ends.

    `shipped` is the card of the network that they began from. Stages of another network or scale
    count as steps and have no points; where a card has no curve, its part is missing.
    """
    spec, before = chain[-1][1].spec, shipped.get("training", {})
    points: list[list[float]] = []
    if (shipped.get("net"), shipped.get("scale")) == (spec.name, spec.scale):
        points += before.get("curve", [])
    done: int = before.get("steps", 0)
    for _, config, rows in chain:
        values = [(done + int(row["step"]), float(row["val_psnr_y_db"])) for row in rows]
        if (config.spec.name, config.spec.scale) == (spec.name, spec.scale):
            points += [[step, round(value, 3)] for step, value in values if math.isfinite(value)]
        done += config.steps
    last = min(len(points), _CURVE_POINTS) - 1
    return [points[round(i * (len(points) - 1) / max(last, 1))] for i in range(last + 1)]


def _shipped_card(checkpoint: str | None) -> dict[str, Any]:
    """Return the card of a shipped checkpoint, if a run began there."""
    if checkpoint is None:
        return {}
    card: dict[str, Any] = json.loads(Path(checkpoint).with_suffix(".json").read_text("utf-8"))
    return card


def _command(run: Path, config: TrainConfig) -> str:
    """Return the command that trains this again; options at their defaults are left out."""
    spec = config.spec
    words = ["edgevsr", "train", spec.name, "--scale", str(spec.scale)]
    words += ["--data", *(Path(path).name for path in config.data), "--out", run.name]
    if spec.activation != net_spec(spec.name, spec.scale).activation:
        words += ["--activation", spec.activation]
    if spec.expansion != NetSpec.expansion:
        words += ["--expansion", str(spec.expansion)]
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    said = {"steps", "seed", *(["frames"] if "num_state" in spec.options else [])}
    if "aligned" in spec.options:
        said.add("burn_in")
    for option in _OPTIONS:
        value = getattr(config, option)
        if value != defaults[option] or option in said:
            values = value if isinstance(value, tuple) else [value]
            words += [f"--{option.replace('_', '-')}", *map(str, values)]
    words += [f"--{flag}" for flag in _FLAGS if getattr(config, flag)]
    if config.init:
        words += ["--init", Path(config.init).name]
    return shlex.join(words)


def _common(
    config: TrainConfig, collapsed: CollapsedNet, training: dict[str, Any]
) -> dict[str, Any]:
    spec = config.spec
    return {
        "net": spec.name,
        "scale": spec.scale,
        "colour": spec.colour,
        "activation": spec.activation,
        "recurrent": "num_state" in spec.options,
        "max_abs_err": collapsed.max_abs_err,
        "training": training,
    }


def _set_name(folder: Path) -> str:
    return folder.name.removesuffix("_jpg")


def _scores(
    graph: Graph, int8: Graph, sets: Mapping[str, list[Picture]]
) -> dict[str, dict[str, Evaluation]]:
    """Return, for each test set, the scores of "float", "8bit" and "int8"."""
    forms: tuple[tuple[str, SrModel, LrY], ...] = (
        ("float", SrModel.open(graph), "float"),
        ("8bit", SrModel.open(graph), "8bit"),
        ("int8", SrModel.open(int8), "8bit"),
    )
    scores: dict[str, dict[str, Evaluation]] = {}
    for name, pictures in sets.items():
        scores[name] = {form: evaluate_model(model, pictures, y) for form, model, y in forms}
        figures = {form: f"{score.psnr_y_db:.3f}" for form, score in scores[name].items()}
        print(name, figures, file=sys.stderr)
    return scores


def _table(
    scores: dict[str, dict[str, Evaluation]],
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


def _clips(
    scores: dict[str, dict[str, Evaluation]], columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
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


def _drift(graph: Graph, int8: Graph, sets: Mapping[str, list[Picture]]) -> dict[str, Any]:
    """Return what int8 loses over a thousand frames of the last clip of the sets."""
    name, pictures = list(sets.items())[-1]
    last = pictures[-1].clip
    if last is None:
        raise DataError(f"{name}: holds no clip; a recurrent network is measured on clips")
    clip = [picture for picture in pictures if picture.clip == last]
    return measure_drift(SrModel.open(graph), SrModel.open(int8), clip).to_json()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgevsr.shipping", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--wide", action="store_true", help="ship the wide network too")
    parser.add_argument("--calib", type=Path, metavar="FRAMES", help="LR frames or clips")
    parser.add_argument("--ranges", choices=RANGES, default="mse", help="of activations")
    arguments = parser.parse_args(argv)

    def act() -> int:
        missing = [str(path) for path in arguments.sets if not path.is_dir()]
        if missing:
            raise DataError(f"{', '.join(missing)}: no such test set")
        given = (arguments.run, arguments.sets, arguments.wide, ZOO)
        print("\n".join(ship(*given, arguments.calib, arguments.ranges)))
        return 0

    return guarded(act)


if __name__ == "__main__":
    sys.exit(main())
