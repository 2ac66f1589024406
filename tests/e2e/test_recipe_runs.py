"""`python -m edgevsr.recipes` trains stage after stage and goes on where it was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from edgevsr.data.degrade import degrade
from edgevsr.files import sha256_of
from edgevsr.nets.checkpoint import load_checkpoint
from edgevsr.runtime.probe import picture_frame

RECIPE = """
net = "sesr-m3"
scale = 2

[[stages]]
run = "first"
data = ["stills"]
steps = 4
batch = 2
patch = 12
every = 2

[[stages]]
run = "second"
data = ["stills"]
steps = {steps}
batch = 2
patch = 12
every = 20
teacher = "first"

[calibration]
folder = "frames"
clips = ["stills"]
frames = 2
"""


def command(folder: Path) -> list[str]:
    words = [sys.executable, "-m", "edgevsr.recipes", str(folder / "net.toml")]
    words += ["--data", str(folder), "--runs", str(folder / "runs")]
    return [*words, "--threads", "1"]


def step_of(run: Path) -> int:
    return int(load_checkpoint(run / "checkpoint.safetensors")[1]["step"])


def test_an_interrupted_recipe_goes_on(tmp_path: Path) -> None:
    stills = tmp_path / "stills"
    stills.mkdir()
    for seed in range(3):
        Image.fromarray(picture_frame((64, 56), 3, seed)).save(stills / f"{seed}.png")
    (tmp_path / "net.toml").write_text(RECIPE.format(steps=100_000))
    second = tmp_path / "runs" / "second" / "checkpoint.safetensors"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with subprocess.Popen(command(tmp_path), env=environment, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (second.exists() and step_of(second.parent)):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130, error
    reached, first = step_of(second.parent), (tmp_path / "runs/first/log.csv").read_bytes()
    assert 0 < reached < 100_000

    steps = reached + 20
    (tmp_path / "net.toml").write_text(RECIPE.format(steps=steps))
    other = subprocess.run(command(tmp_path), env=environment, capture_output=True, text=True)
    assert other.returncode == 2
    assert "steps: 100000" in other.stderr
    config = second.with_name("run.json")
    config.write_text(config.read_text().replace("100000", str(steps)))
    done = subprocess.run(command(tmp_path), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{second.parent}\n"
    assert step_of(second.parent) == steps
    told = load_checkpoint(second)[1]["training"]["teacher"]
    assert told["sha256"] == sha256_of(tmp_path / "runs/first/checkpoint.safetensors")
    assert (tmp_path / "runs/first/log.csv").read_bytes() == first
    frames = sorted((tmp_path / "runs/frames/stills").iterdir())
    assert [frame.name for frame in frames] == ["0000.png", "0001.png"]
    expected = degrade(picture_frame((64, 56), 3, seed=1), 2)
    assert np.array_equal(np.asarray(Image.open(frames[1])), expected)
    wide = load_checkpoint(tmp_path / "runs/first/checkpoint.safetensors")[0]
    assert any(np.any(value.numpy()) for value in wide.values())
