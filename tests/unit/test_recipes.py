"""Recipes: a shipped network has one that says what its card says; bad ones name the key."""

from __future__ import annotations

import json
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from edgevsr.errors import DataError, SourceError
from edgevsr.recipes import Recipe, Stage, follow, read_recipe, recipe_names
from edgevsr.training.config import TrainConfig
from edgevsr.zoo import calibration_frames, zoo_names, zoo_path

NARROW = [name for name in zoo_names() if zoo_path(name).suffix == ".onnx" and "w8a8" not in name]


def words_of(command: list[str], option: str) -> list[str]:
    """Return what a command says behind an option."""
    if option not in command:
        return []
    return list(takewhile(lambda w: not w.startswith("--"), command[command.index(option) + 1 :]))


@pytest.mark.parametrize("name", NARROW)
def test_a_shipped_network_was_trained_by_its_recipe(name: str) -> None:
    training, float_training = (
        json.loads(zoo_path(form).with_suffix(".json").read_text())["training"]
        for form in (f"{name}-w8a8", name)
    )
    commands = training["command"].split(" && ")
    stages = read_recipe(name).stages
    assert len(stages) == len(commands)
    assert sum(stage.options["steps"] for stage in stages) == training["steps"]
    float_stages = [stage for stage in stages if not stage.options.get("qat")]
    assert float_training["command"].split(" && ") == commands[: len(float_stages)]
    steps = sum(stage.options["steps"] for stage in float_stages)
    assert steps == float_training["steps"]
    for stage, command in zip(stages, commands, strict=True):
        words = command.split()
        given = dict(pairwise(words))
        assert words[2] == stage.options["net"]
        assert ("--qat" in words) == stage.options.get("qat", False)
        assert ("--teacher" in words) == ("teacher" in stage.options)
        assert given["--out"] == stage.run
        for option in ("scale", "steps", "batch", "patch", "frames", "lr", "loss", "seed", "every"):
            default = getattr(TrainConfig, option, None)
            said = float if option == "lr" else str
            expected = said(stage.options.get(option, default))
            assert said(given.get(f"--{option}", default)) == expected, (stage.run, option)
        for option in ("shrink", "shrink_jpeg"):
            parts = [str(part) for part in stage.options.get(option, ())]
            assert parts == words_of(words, f"--{option.replace('_', '-')}"), stage.run
        folders = {Path(pattern).name for pattern in stage.data}
        if folders & {"general100", "t91"}:
            assert set(words_of(words, "--data")) == folders, stage.run


@pytest.mark.parametrize("name", NARROW)
def test_a_recipe_says_what_its_network_was_calibrated_on(name: str) -> None:
    card = json.loads(zoo_path(f"{name}-w8a8").with_suffix(".json").read_text())
    calibration = read_recipe(name).calibration
    shipped_frames = calibration_frames().name
    assert card["calibration"] == (calibration.folder if calibration else shipped_frames)
    assert card.get("ranges", "mse") == (calibration.ranges if calibration else "mse")


def test_the_names_are_listed() -> None:
    assert set(NARROW) <= set(recipe_names())


def test_shared_keys_reach_every_stage_and_a_stage_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(
        'net = "sesr-m3"\nscale = 4\n'
        '[[stages]]\nrun = "a"\nscale = 2\ndata = ["stills"]\nsteps = 3\nlr = 1\n'
        '[[stages]]\nrun = "b"\ndata = ["stills", "video/*"]\nsteps = 4\n'
    )
    assert read_recipe(path).stages == (
        Stage("a", ("stills",), {"net": "sesr-m3", "scale": 2, "steps": 3, "lr": 1}),
        Stage("b", ("stills", "video/*"), {"net": "sesr-m3", "scale": 4, "steps": 4}),
    )


STAGE = '[[stages]]\nrun = "a"\ndata = ["stills"]\nsteps = 3\n'
CALIBRATION = '[calibration]\nfolder = "frames"\nclips = ["video/*"]\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("net = ", "not readable TOML"),
        ('net = "sesr-m3"\nscale = 2\n', "no \\[\\[stages\\]\\]"),
        ("scale = 2\n" + STAGE, "has no net"),
        ('net = "sesr-m3"\nscale = "2"\n' + STAGE, "scale = '2'"),
        ('net = "sesr-m3"\nscale = 2\nepochs = 1\n' + STAGE, "unknown key 'epochs'"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE + "patches = 3\n", "did you mean 'patch'"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE.replace("steps = 3", ""), "stage 1: has no steps"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE + "seed = true\n", "seed = True"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE.replace('"a"', '"../a"'), "plain name"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE.replace('["stills"]', "[]"), "list of patterns"),
        ('net = "sesr-m3"\nscale = 2\ncalibration = 3\n' + STAGE, "expected a table"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE + CALIBRATION + "frames = 0\n", "1 or more"),
        ('net = "sesr-m3"\nscale = 2\n' + STAGE + CALIBRATION, "has no frames"),
    ],
)
def test_a_malformed_recipe_names_its_key(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "net.toml"
    path.write_text(content)
    with pytest.raises(SourceError, match=message):
        read_recipe(path)


def test_every_pattern_must_match(tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    (tmp_path / "stills.txt").touch()
    stage = Stage("a", ("stills*", "video/*"), {"net": "sesr-m3", "scale": 2, "steps": 3})
    with pytest.raises(DataError, match="nothing like video"):
        follow(Recipe((stage,)), tmp_path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SourceError, match="did you mean 'fsrcnn-x2'"):
        read_recipe("fsrcn-x2")
