"""From a finished run to a shipped network: the files of `edgevsr/zoo/` and their cards.

    python -m edgevsr.shipping RUN --sets FOLDER [--wide] [--calib FRAMES]
    python -m edgevsr.shipping NAME --int8 --sets FOLDER [--calib FRAMES]

Collapses and quantizes the run on the shipped frames or on FRAMES, reads each test set once, and
writes NAME.onnx, NAME-w8a8.onnx and, with --wide, NAME-wide.safetensors, each with NAME.json. With
--int8 the shipped float network NAME is quantized anew, and its NAME-w8a8 files alone are written.
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

from edgevsr import card_scores
from edgevsr.aims import told_of
from edgevsr.cli import guarded
from edgevsr.collapsing import CollapsedNet, collapse_checkpoint
from edgevsr.errors import DataError, SourceError
from edgevsr.evaluation import Picture, read_pictures
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.files import CHECKPOINT, write_bytes, write_json
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.ir import Graph
from edgevsr.graph.quantize_int import RANGES_KEY
from edgevsr.graph.streaming import is_recurrent
from edgevsr.nets.checkpoint import load_net, save_net
from edgevsr.nets.registry import net_spec
from edgevsr.quantization.calibration import load_calibration, load_for
from edgevsr.quantization.learned import quantize_learned
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.quantization.ranges import RANGES, Ranges
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
#: What a card has for calibration and ranges where training settled them.
_TRAINED = "trained"

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
    calib = calib or _calibration(trained.graph)
    if config.qat:
        int8 = quantize_learned(trained.graph)
    else:
        frames = load_for(trained.graph, calib)
        int8 = quantize_graph(trained.graph, frames, Scheme(ranges=ranges))
    pictures = _pictures(sets, config.spec.scale)
    scores = card_scores.measure(collapsed.graph, int8, pictures)
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
            **_figures(scores, columns, collapsed.graph),
        }
        if form != "w8a8":
            card |= told_of(name, {each: row["float"] for each, row in card["psnr_y_db"].items()})
        else:
            card["calibration"] = _TRAINED if config.qat else calib.name
            card["ranges"] = _TRAINED if config.qat else ranges
        if recurrent and form == "w8a8":
            card["drift"] = card_scores.drift(collapsed.graph, int8, pictures)
        write_json(folder / f"{form_name}.json", card, force=True)
    write_bytes(folder / f"{name}.onnx", onnx_bytes(collapsed.graph), force=True)
    write_bytes(folder / f"{name}-w8a8.onnx", onnx_bytes(int8), force=True)
    return list(forms.values())


def quantize_shipped(
    name: str,
    sets: Sequence[Path],
    folder: Path = ZOO,
    calib: Path | None = None,
    ranges: Ranges = "mse",
) -> str:
    """Write the int8 form of a shipped float network anew and return its name.

    Its card keeps what it says of training.

    Raises:
        SourceError: there is no such pair of files, or the network was trained for int8.
        DataError: a test set holds no picture.
    """
    source, card_path = folder / f"{name}.onnx", folder / f"{name}-w8a8.json"
    if not source.is_file() or not card_path.is_file():
        raise SourceError(f"{name}: expected {source} and {card_path}; ship its run first")
    graph, card = graph_from_onnx(source), json.loads(card_path.read_text("utf-8"))
    if card["calibration"] == _TRAINED:
        raise SourceError(f"{name}: was trained for int8; ship that run again")
    recurrent, calib = is_recurrent(graph), calib or _calibration(graph)
    int8 = quantize_graph(graph, load_for(graph, calib), Scheme(ranges=ranges))
    pictures = _pictures(sets, graph.scale)
    scores = card_scores.measure(graph, int8, pictures)
    card |= {"calibration": calib.name, "ranges": ranges}
    card |= _figures(scores, ("int8",), graph)
    if recurrent:
        card["drift"] = card_scores.drift(graph, int8, pictures)
    write_json(card_path, card, force=True)
    write_bytes(folder / f"{name}-w8a8.onnx", onnx_bytes(int8), force=True)
    return f"{name}-w8a8"


def _figures(scores: card_scores.Scores, columns: Sequence[str], graph: Graph) -> dict[str, Any]:
    """Return what a card says of its form's quality."""
    recurrent = is_recurrent(graph)
    found: dict[str, Any] = {
        "psnr_y_db": card_scores.table(scores, columns, recurrent, "psnr_y_db", 3),
        "ssim_y": card_scores.table(scores, columns, recurrent, "ssim_y", 4),
    }
    return found | ({"clips": card_scores.clips(scores, columns)} if recurrent else {})


def _calibration(graph: Graph) -> Path:
    return sample_clip() if is_recurrent(graph) else calibration_frames()


def _pictures(sets: Sequence[Path], scale: int) -> dict[str, list[Picture]]:
    return {card_scores.set_name(each): list(read_pictures(each, scale)) for each in sets}


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgevsr.shipping", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="or NAME with --int8")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, metavar="FOLDER")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--wide", action="store_true", help="ship the wide network too")
    form.add_argument("--int8", action="store_true", help="a shipped network's int8 form alone")
    parser.add_argument("--calib", type=Path, metavar="FRAMES", help="LR frames or clips")
    parser.add_argument("--ranges", choices=RANGES, default="mse", help="of activations")
    arguments = parser.parse_args(argv)

    def act() -> int:
        missing = [str(path) for path in arguments.sets if not path.is_dir()]
        if missing:
            raise DataError(f"{', '.join(missing)}: no such test set")
        how = ZOO, arguments.calib, arguments.ranges
        if arguments.int8:
            print(quantize_shipped(arguments.run.name, arguments.sets, *how))
        else:
            print("\n".join(ship(arguments.run, arguments.sets, arguments.wide, *how)))
        return 0

    return guarded(act)


if __name__ == "__main__":
    sys.exit(main())
