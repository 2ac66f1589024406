"""A shipped network's training, written down: `edgevsr/zoo/recipes/NAME.toml`, and what follows it.

    python -m edgevsr.recipes NAME… --data FOLDER --runs FOLDER [--threads N]

trains the stages of each recipe in turn, each from the one before it. A stage that is done is left
alone and one that was interrupted goes on where it stopped, so the same command is given until all
is done. A teacher is a run of another recipe in the same folder, or what `train --teacher` takes.
`python -m edgevsr.shipping RUN` then makes the files of the last run. Where a recipe says what its
network is calibrated on, those LR frames lie beside the runs, for `--calib`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from edgevsr.cli import guarded
from edgevsr.errors import DataError, SourceError, nearest
from edgevsr.files import CHECKPOINT

FOLDER = Path(__file__).parent / "zoo" / "recipes"
#: What a stage says beside its run and data, as `edgevsr train` takes it.
_OPTIONS: Mapping[str, type] = {
    "net": str, "scale": int, "activation": str, "steps": int, "batch": int, "patch": int,
    "frames": int, "window": int, "lr": float, "degradation": str, "shrink": list,
    "shrink_jpeg": list, "form": str, "loss": str,
    "teacher": str, "weights": str, "teacher_weight": float, "feature_weight": float, "qat": bool,
    "precision": str, "compiled": bool, "expansion": int,
    "schedule": int, "burn_in": int, "seed": int, "every": int,
}  # fmt: skip
_SHARED = ("net", "scale", "activation")


@dataclass(frozen=True)
class Stage:
    """One run: its name, its data as patterns below the data folder, and options of `train`."""

    run: str
    data: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Calibration:
    """LR frames to calibrate on: the first of each clip, into a folder beside the runs; and how
    ranges are chosen, as `quantize --ranges`."""

    folder: str
    clips: tuple[str, ...]
    frames: int
    ranges: str = "mse"


@dataclass(frozen=True)
class Recipe:
    """The runs in order, and what the last one is calibrated on where that is not shipped."""

    stages: tuple[Stage, ...]
    calibration: Calibration | None = None


def recipe_names() -> list[str]:
    """Return the names of the recipes that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str | Path) -> Recipe:
    """Return a shipped recipe, or that of a file.

    Raises:
        SourceError: there is none of this name, or it is malformed; its key is named.
    """
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = recipe_names()
        raise SourceError(
            f"{name}: no such recipe{nearest(str(name), known)}; expected a .toml file or one of: "
            f"{', '.join(known)}"
        ) from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: not readable TOML ({error})") from error
    stages, calibration = content.pop("stages", None), content.pop("calibration", None)
    if not isinstance(stages, list) or not stages or not all(isinstance(s, dict) for s in stages):
        raise SourceError(f"{path}: has no [[stages]]; expected one for each run")
    _check(path, content, {key: _OPTIONS[key] for key in _SHARED}, ("net", "scale"))
    return Recipe(
        tuple(_stage(f"{path}: stage {i}", {**content, **s}) for i, s in enumerate(stages, 1)),
        None if calibration is None else _calibration(f"{path}: calibration", calibration),
    )


def _stage(where: str, values: Mapping[str, Any]) -> Stage:
    _check(where, values, {"run": str, "data": list, **_OPTIONS}, ("run", "data", "steps"))
    options = {key: value for key, value in values.items() if key in _OPTIONS}
    return Stage(_plain(where, values, "run"), _patterns(where, values, "data"), options)


def _calibration(where: str, values: object) -> Calibration:
    if not isinstance(values, dict):
        raise SourceError(f"{where} = {values!r}; expected a table [calibration]")
    needed = {"folder": str, "clips": list, "frames": int}
    _check(where, values, {**needed, "ranges": str}, tuple(needed))
    if values["frames"] < 1:
        raise SourceError(f"{where}: frames = {values['frames']}; expected 1 or more")
    ranges = values.get("ranges", Calibration.ranges)
    folder, clips = _plain(where, values, "folder"), _patterns(where, values, "clips")
    return Calibration(folder, clips, values["frames"], ranges)


def _plain(where: str, values: Mapping[str, Any], key: str) -> str:
    name = str(values[key])
    if Path(name).name != name or name in ("", ".", ".."):
        raise SourceError(f"{where}: {key} = {name!r} is not a folder's plain name")
    return name


def _patterns(where: str, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = values[key]
    if not given or not all(isinstance(each, str) for each in given):
        raise SourceError(f"{where}: {key} = {given!r}; expected a list of patterns")
    return tuple(given)


def _check(
    where: str | Path,
    values: Mapping[str, Any],
    types: Mapping[str, type],
    needed: Sequence[str],
) -> None:
    for key in needed:
        if key not in values:
            raise SourceError(f"{where}: has no {key}")
    for key, value in values.items():
        if key not in types:
            raise SourceError(f"{where}: unknown key {key!r}{nearest(key, types)}")
        wanted = types[key]
        fits = isinstance(value, int | float) if wanted is float else isinstance(value, wanted)
        if not fits or (wanted is not bool and isinstance(value, bool)):
            raise SourceError(f"{where}: {key} = {value!r} is no {wanted.__name__}")


def follow(recipe: Recipe, data: Path, runs: Path, threads: int | None = None) -> Path:
    """Train the stages that are not done yet, the data below `data`, in folders below `runs`.

    The LR frames to calibrate on are written there too. Returns the last run's folder.

    Raises:
        DataError: a pattern matches nothing below `data`.
        SpecError: a run of the same name had other settings.
    """
    from edgevsr.verbs.train import train

    init: Path | None = None
    for stage in recipe.stages:
        run = runs / stage.run
        found = [path for pattern in stage.data for path in _found(data, pattern)]
        options = dict(stage.options)
        if "weights" in options:
            options["weights"] = data / options["weights"]
        if "teacher" in options and (runs / options["teacher"]).is_dir():
            options["teacher"] = runs / options["teacher"]
        print(f"{stage.run}: {options['steps']} steps", file=sys.stderr)
        train(
            options.pop("net"), data=found, out=run, init=init, threads=threads,
            resume=(run / CHECKPOINT).is_file(), **options,
        )  # fmt: skip
        init = run
    assert init is not None
    if recipe.calibration is not None:
        scale = recipe.stages[-1].options["scale"]
        _write_calibration(recipe.calibration, scale, data, runs / recipe.calibration.folder)
    return init


def _write_calibration(calibration: Calibration, scale: int, data: Path, folder: Path) -> None:
    from PIL import Image

    from edgevsr.evaluation import read_pictures

    for clip in (Path(path) for pattern in calibration.clips for path in _found(data, pattern)):
        for number, picture in enumerate(islice(read_pictures(clip, scale), calibration.frames)):
            target = folder / clip.stem / f"{number:04}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.lr).save(target)
    how = f"--calib {folder} --ranges {calibration.ranges}"
    print(f"LR frames to calibrate on are written; give shipping {how}", file=sys.stderr)


def _found(data: Path, pattern: str) -> list[str]:
    found = [str(path) for path in sorted(data.glob(pattern))]
    if not found:
        raise DataError(f"{data}: holds nothing like {pattern}; give the folder that does: --data")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgevsr.recipes", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(recipe_names()))
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--threads", type=int, metavar="N")
    given = parser.parse_args(argv)

    def act() -> int:
        recipes = [read_recipe(name) for name in given.names]
        for recipe in recipes:
            print(follow(recipe, given.data, given.runs, given.threads))
        return 0

    return guarded(act)


if __name__ == "__main__":
    sys.exit(main())
