"""`edgevsr train --teacher`, and training the literature's systems in the same loop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import DataError, SourceError, SpecError
from edgevsr.nets.checkpoint import load_checkpoint
from edgevsr.nets.references import build_reference, load_reference
from edgevsr.nets.references.base import Reference
from edgevsr.training.loop import Trainer
from edgevsr.verbs.train import train
from tests.e2e.conftest import make_clip
from tests.e2e.test_train import finish, log_of, photos, same_bits
from tests.unit.test_references_nets import SMALL, small

__all__ = ["photos"]

CHECKPOINT = "checkpoint.safetensors"


@pytest.fixture(scope="module")
def teacher(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    train("sesr-f6-m1", scale=2, data=photos, out=run, steps=2, batch=2, patch=12, threads=1,
          cache=photos.parent / "cache")  # fmt: skip
    return run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip of 7 frames, one LR patch of 8×8 at ×4."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "clip.mkv", frames=7, size=(32, 32))
    return folder


def words_of(photos: Path, run: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "edgevsr", "train", "sesr-f4-m1", "--scale", "2", "--data",
        str(photos), "--out", str(run), "--cache", str(photos.parent / "cache"), "--steps", "16",
        "--every", "4", "--batch", "2", "--patch", "12", "--threads", "1", *options,
    ]  # fmt: skip


def test_a_taught_run_killed_and_resumed_ends_in_the_same_bits(
    photos: Path, teacher: Path, tmp_path: Path
) -> None:
    taught = ("--teacher", str(teacher), "--feature-weight", "0.1")
    finish(words_of(photos, tmp_path / "whole", *taught))
    checkpoint = tmp_path / "killed" / CHECKPOINT
    with subprocess.Popen(
        words_of(photos, tmp_path / "killed", *taught), stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if checkpoint.is_file() and load_checkpoint(checkpoint)[1]["step"] >= 4:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finish(words_of(photos, tmp_path / "killed", *taught, "--resume"))
    assert same_bits(tmp_path / "whole", tmp_path / "killed")
    names = load_checkpoint(checkpoint)[0].keys()
    assert {"loss.projection.weight", "adam.exp_avg.loss.projection.weight"} <= names
    assert not any("projection" in name for name in names if name.startswith(("net.", "ema.")))


def test_the_teacher_is_recorded_and_changes_what_is_learnt(
    photos: Path, teacher: Path, tmp_path: Path
) -> None:
    options = {"scale": 2, "data": photos, "steps": 4, "batch": 2, "patch": 12, "threads": 1,
               "cache": photos.parent / "cache"}  # fmt: skip
    train("sesr-f4-m1", out=tmp_path / "alone", **options)  # type: ignore[arg-type]
    train("sesr-f4-m1", out=tmp_path / "taught", teacher=teacher, **options)  # type: ignore[arg-type]
    assert not same_bits(tmp_path / "alone", tmp_path / "taught")
    sha256 = json.loads((tmp_path / "taught" / "run.json").read_text())["teacher_sha256"]
    assert len(sha256) == 64
    expected = {"name": "sesr-f6-m1", "sha256": sha256, "weight": 0.5, "feature_weight": 0.0}
    info = load_checkpoint(tmp_path / "taught" / CHECKPOINT)[1]
    assert info["training"]["teacher"] == expected
    assert "teacher" not in load_checkpoint(tmp_path / "alone" / CHECKPOINT)[1]["training"]
    # The way to a card: collapse writes what the checkpoint says of the training into the file.
    edgevsr.collapse(tmp_path / "taught", output=tmp_path / "net.onnx")
    graph = edgevsr.open_source(tmp_path / "net.onnx").graph
    assert graph.meta["training"]["teacher"] == expected


def test_resuming_with_another_teacher_is_refused(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(photos, tmp_path / "run")[3:]
    assert main([*words, "--teacher", str(teacher)]) == 0
    capsys.readouterr()
    for other in (["--teacher", "sesr-m5-x2-wide"], []):
        assert main([*words, *other, "--resume"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "--resume with other settings (teacher: sesr-f6-m1 → " in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--teacher", "basicvsr"], "give its published checkpoint with --weights"),
        (["--teacher", "none.pth"], "no such file"),
        (["--weights", "x.pth"], "add --teacher NAME"),
        (["--teacher-weight", "0.5"], "need a --teacher"),
        (["--teacher", "sesr-m5-x2-wide", "--scale", "4"], "is x2, the net x4"),
        (["--teacher", "sesr-m5-x2-wide", "--colour", "rgb"], "cannot teach an RGB net"),
        (["--teacher", "sesr-m5-x2-wide", "--teacher-weight", "2"], "0 to 1"),
        (["--teacher", "sesr-m5-x2-wide", "--weights", "x.pth"], "is no reference"),
    ],
)
def test_what_cannot_be_taught_is_said_in_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main([*words_of(photos, tmp_path / "run")[3:], *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


def test_weights_of_another_architecture_name_the_nearest(photos: Path, tmp_path: Path) -> None:
    weights = tmp_path / "espcn.pth"
    torch.save(build_reference("espcn").state_dict(), weights)
    with pytest.raises(SourceError, match="It is a checkpoint of espcn"):
        train("sesr-m3", scale=4, data=photos, out=tmp_path / "run", teacher="srcnn",
              weights=weights)  # fmt: skip


def test_a_reference_teaches_a_recurrent_net(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "frvsr.pth"
    torch.manual_seed(0)
    torch.save(build_reference("frvsr").state_dict(), weights)
    words = [
        "train", "rsesr-f4-m1-s3", "--scale", "4", "--data", str(clips), "--out",
        str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--steps", "2", "--batch", "2",
        "--patch", "8", "--frames", "5", "--threads", "1", "--teacher", "frvsr", "--weights",
        str(weights), "--json",
    ]  # fmt: skip
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 2
    assert load_checkpoint(tmp_path / "run" / CHECKPOINT)[1]["training"]["teacher"]["name"] == (
        "frvsr"
    )


def test_without_spandrel_its_extra_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "foreign.pth"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(edgevsr.EdgeVsrError, match=r"pip install 'edgevsr\[teachers\]'"):
        train("sesr-m3", scale=2, data=photos, out=tmp_path / "run", teacher=path)


#: What each small system is trained by: the name of one that is built like it.
TRAINED = {"duf": "duf-16", "edvr": "edvr-m"}


def train_small(
    name: str, clips: Path, run: Path, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> None:
    def built(_: str) -> Reference:
        return small(name)

    monkeypatch.setattr("edgevsr.nets.references.trainable.build_reference", built)
    options: dict[str, object] = {
        "scale": 4, "data": clips, "steps": 4, "batch": 1, "patch": 8, "lr": 1e-3, "every": 2,
        "frames": max(small(name).least, 2), "threads": 1, "cache": clips / "cache", **changes,
    }  # fmt: skip
    if name == "rbpn":  # what starts at zero hides what lies before it for some steps
        options["steps"] = 6
    train(TRAINED.get(name, name), out=run, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SMALL)
def test_a_reference_trains_in_the_same_loop(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The loss falls, and Adam has moved every parameter."""
    train_small(name, clips, tmp_path / "run", monkeypatch)
    losses = [float(row["loss"]) for row in log_of(tmp_path / "run")]
    assert losses[-1] < losses[0]
    tensors, _ = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    moved = {key: value for key, value in tensors.items() if key.startswith("adam.exp_avg.")}
    assert len(moved) == len(list(small(name).parameters()))
    assert all(float(value.abs().sum()) > 0 for value in moved.values())


def test_batch_statistics_are_resumed_to_the_bit(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DUF's batch normalisation learns outside of the optimizer."""
    train_small("duf", clips, tmp_path / "whole", monkeypatch)
    step = Trainer._step

    def stopped(trainer: Trainer) -> torch.Tensor:
        if trainer.step == 3:
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_small("duf", clips, tmp_path / "halted", monkeypatch)
    train_small("duf", clips, tmp_path / "halted", monkeypatch, resume=True)
    assert same_bits(tmp_path / "whole", tmp_path / "halted")
    names = load_checkpoint(tmp_path / "halted" / CHECKPOINT)[0].keys()
    assert any(name.endswith("running_var") for name in names)


def test_a_trained_reference_runs_and_does_not_collapse(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train("espcn", scale=4, data=clips, out=run, steps=2, batch=1, patch=8, threads=1,
          cache=tmp_path / "cache")  # fmt: skip
    net = load_reference("espcn", run / CHECKPOINT)
    averaged = load_checkpoint(run / CHECKPOINT)[0]["ema.reference.conv1.weight"]
    assert torch.equal(net.state_dict()["conv1.weight"], averaged)
    assert main(["collapse", str(run), "-o", str(tmp_path / "net.onnx")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not collapse" in line
    result = edgevsr.evaluate("espcn", data=clips, weights=run / CHECKPOINT)
    assert np.isfinite(result.evaluation.psnr_y_db or np.nan)


def test_a_reference_as_it_cannot_train_is_refused(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(SpecError, match="give --scale 4"):
        train("basicvsr", scale=2, data=clips, out=out)
    with pytest.raises(SpecError, match="leave it out"):
        train("basicvsr", scale=4, data=clips, out=out, activation="relu")
    with pytest.raises(SpecError, match="works on RGB"):
        train("basicvsr", scale=4, data=clips, out=out, colour="y")
    with pytest.raises(SpecError, match="without --window"):
        train("basicvsr", scale=4, data=clips, out=out, window=2)
    with pytest.raises(DataError, match="expected at least 5"):
        train("edvr-m", scale=4, data=clips, out=out, frames=3, steps=1, batch=1, patch=8,
              cache=tmp_path / "cache")  # fmt: skip
