"""`edgevsr train`: learns, resumes to the bit after SIGKILL, and runs in several processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr.data.pairs import find_media, load_pairs
from edgevsr.errors import DataError, SpecError
from edgevsr.nets.checkpoint import load_checkpoint
from edgevsr.verbs.train import train
from tests.e2e.conftest import make_clip

SMALL = ["--steps", "24", "--every", "4", "--batch", "2", "--patch", "12", "--threads", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth pictures with edges: something to learn in few steps."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(12):
        coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
        size = (96, 72)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


def command(photos: Path, run: Path, *options: str, net: str = "sesr-m3") -> list[str]:
    cache = ["--cache", str(photos.parent / "cache")]
    words = ["train", net, "--scale", "2", "--data", str(photos), "--out", str(run)]
    return [sys.executable, "-m", "edgevsr", *words, *cache, *SMALL, *options]


def finish(words: list[str], **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [*words, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def same_bits(one: Path, two: Path) -> bool:
    """Whether two runs ended with the same weights, averages and Adam moments."""
    first, _ = load_checkpoint(one / "checkpoint.safetensors")
    second, _ = load_checkpoint(two / "checkpoint.safetensors")
    return first.keys() == second.keys() and all(
        np.array_equal(first[name].numpy(), second[name].numpy()) for name in first
    )


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_killed_and_resumed_equals_uninterrupted(photos: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = finish(command(photos, whole))
    assert result["step"] == 24
    with subprocess.Popen(command(photos, killed), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (killed / "log.csv").exists() and len(log_of(killed)) >= 2:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    step = load_checkpoint(killed / "checkpoint.safetensors")[1]["step"]
    assert 4 <= step < 24
    finish(command(photos, killed, "--resume"))
    assert same_bits(whole, killed)
    columns = ("step", "learning_rate", "loss", "val_psnr_y_db")
    assert [[row[name] for name in columns] for row in log_of(whole)] == [
        [row[name] for name in columns] for row in log_of(killed)
    ]
    assert (killed / "log.png").read_bytes().startswith(b"\x89PNG")


def test_the_seed_decides_the_run(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_small(photos, tmp_path / name, steps=4, seed=seed)
    assert same_bits(tmp_path / "a", tmp_path / "b")
    assert not same_bits(tmp_path / "a", tmp_path / "c")


def train_small(photos: Path, run: Path, **changes: object) -> float:
    options: dict[str, object] = {
        "scale": 2,
        "data": photos,
        "out": run,
        "steps": 8,
        "batch": 2,
        "patch": 12,
        "threads": 1,
        "cache": photos.parent / "cache",
        **changes,
    }
    value = train("sesr-m3", **options).val_psnr_y_db  # type: ignore[arg-type]
    assert value is not None
    return value


def test_training_improves_on_held_out_pictures(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_small(photos, run, steps=150, every=50, batch=8, val=photos)
    rows = log_of(run)
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert float(rows[-1]["val_psnr_y_db"]) > float(rows[0]["val_psnr_y_db"]) + 1


def test_a_run_may_end_before_its_schedule(photos: Path, tmp_path: Path) -> None:
    """It then is the beginning of the longer run, which `--init` goes on from."""
    train_small(photos, tmp_path / "long", steps=8, every=4)
    train_small(photos, tmp_path / "short", steps=4, schedule=8, every=4)
    rates = [log_of(tmp_path / run)[0]["learning_rate"] for run in ("long", "short")]
    losses = [log_of(tmp_path / run)[0]["loss"] for run in ("long", "short")]
    assert rates[0] == rates[1]
    assert losses[0] == losses[1]
    with pytest.raises(SpecError, match="--schedule 3: ends before"):
        train_small(photos, tmp_path / "none", steps=4, schedule=3)


def test_blocks_may_be_wider_inside(photos: Path, tmp_path: Path) -> None:
    train_small(photos, tmp_path / "run", steps=2, expansion=48)
    tensors, info = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert tensors["net.body.0.expand.weight"].shape == (48, 16, 3, 3)
    assert info["spec"]["expansion"] == 48
    with pytest.raises(SpecError, match="--expansion 0: expected 1 to 4096"):
        train_small(photos, tmp_path / "none", expansion=0)
    with pytest.raises(SpecError, match="has no blocks to widen"):
        train("rrn", scale=4, data=photos, out=tmp_path / "none", expansion=64)


def test_both_forms_take_the_same_step(photos: Path, tmp_path: Path) -> None:
    for form in ("collapsed", "expanded"):
        train_small(photos, tmp_path / form, steps=3, form=form)
    narrow, wide = (
        load_checkpoint(tmp_path / form / "checkpoint.safetensors")[0]
        for form in ("collapsed", "expanded")
    )
    for name in narrow:
        if name.startswith("net."):
            np.testing.assert_allclose(narrow[name].numpy(), wide[name].numpy(), atol=2e-4)


def test_compiled_bf16_learns_what_float32_does(photos: Path, tmp_path: Path) -> None:
    """The fast step is the same step but for rounding; a run keeps to the one it began with."""
    options = ["--steps", "120", "--every", "60", "--batch", "8", "--lr", "1e-3"]
    options += ["--val", str(photos)]
    fast, net = ["--precision", "bf16", "--compiled"], "sesr-f8-m1"
    plain = finish(command(photos, tmp_path / "plain", *options, net=net))["val_psnr_y_db"]
    rounded = finish(command(photos, tmp_path / "fast", *options, *fast, net=net))["val_psnr_y_db"]
    # These smooth pictures reach 50 dB, where rounding to 8 bits of mantissa shows.
    assert rounded == pytest.approx(plain, abs=2.5)
    first, last = (float(row["val_psnr_y_db"]) for row in log_of(tmp_path / "fast"))
    assert last > first + 0.2
    words = command(photos, tmp_path / "fast", *options, "--compiled", "--resume", net=net)
    other = subprocess.run(words, capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "precision: bf16 → auto" in other.stderr


def test_fast_steps_are_refused_where_they_cannot_be(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with pytest.raises(SpecError, match="--precision half"):
        train_small(photos, run, precision="half")
    with pytest.raises(SpecError, match="--qat computes whole numbers"):
        train_small(photos, run, precision="bf16", qat=True, init=photos)
    with pytest.raises(SpecError, match="--compiled is for the collapsed"):
        train_small(photos, run, compiled=True, form="expanded")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SpecError, match="no C\\+\\+ compiler"):
        train_small(photos, run, compiled=True)
    assert not run.exists()


def test_a_smaller_scale_starts_a_larger_one(photos: Path, tmp_path: Path) -> None:
    train_small(photos, tmp_path / "x2", steps=2)
    train_small(photos, tmp_path / "x4", scale=4, steps=1, init=tmp_path / "x2", lr=1e-8)
    before, _ = load_checkpoint(tmp_path / "x2" / "checkpoint.safetensors")
    after, _ = load_checkpoint(tmp_path / "x4" / "checkpoint.safetensors")
    key = "body.0.expand.weight"
    np.testing.assert_allclose(before[f"ema.{key}"].numpy(), after[f"net.{key}"].numpy(), atol=1e-6)
    assert after["net.last.project.weight"].shape[0] == 16


@pytest.mark.parametrize("degradation", ["bi", "bd"])
def test_videos_train_beside_pictures(photos: Path, tmp_path: Path, degradation: str) -> None:
    make_clip(tmp_path / "clip.mp4", frames=12, size=(128, 96))
    media = find_media([photos, tmp_path / "clip.mp4"])
    pairs = load_pairs(media, 2, "y", degradation, tmp_path / "cache")  # type: ignore[arg-type]
    assert len(pairs) == 12 + 2
    lr, hr = pairs.picture(len(pairs) - 1)
    assert hr.shape == (lr.shape[0] * 2, lr.shape[1] * 2, 1)
    again = load_pairs(media, 2, "y", degradation, tmp_path / "cache")  # type: ignore[arg-type]
    np.testing.assert_array_equal(pairs.lr, again.lr)


def test_a_recurrent_run_resumes_to_the_bit_and_learns(photos: Path, tmp_path: Path) -> None:
    """Clips from stills and from a video, gradients through windows, halted and gone on with."""
    make_clip(tmp_path / "clip.mp4", frames=8, size=(128, 96))

    def words(run: str, *options: str) -> list[str]:
        return [
            sys.executable, "-m", "edgevsr", "train", "rsesr-f6-m1-s4", "--scale", "2", "--data",
            str(photos), str(tmp_path / "clip.mp4"), "--out", str(tmp_path / run), "--cache",
            str(tmp_path / "cache"), *SMALL, "--frames", "6", "--window", "3", *options,
        ]  # fmt: skip

    whole = finish(words("whole"))
    process = subprocess.Popen(words("halted"), stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "halted" / "checkpoint.safetensors"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.is_file() and load_checkpoint(checkpoint)[1]["step"] >= 4:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    finish(words("halted", "--resume"))
    assert same_bits(tmp_path / "whole", tmp_path / "halted")
    losses = [float(row["loss"]) for row in log_of(tmp_path / "whole")]
    assert losses[-1] < losses[0]
    assert float(str(whole["val_psnr_y_db"])) > 10


def test_a_window_is_no_longer_than_its_clip(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--window"):
        train("rsesr-f6-m1-s4", scale=2, data=photos, out=tmp_path / "run", frames=4, window=5)
    assert not (tmp_path / "run").exists()


def test_two_processes_train_one_network(photos: Path, tmp_path: Path) -> None:
    """accelerate launch with two CPU processes over gloo: one run, twice the patches a step."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", "-m", "edgevsr"]
    run = tmp_path / "two"
    words = command(photos, run)[3:]
    done = subprocess.run([*launch, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    info = load_checkpoint(run / "checkpoint.safetensors")[1]
    assert (info["processes"], info["step"]) == (2, 24)
    alone = subprocess.run([*command(photos, run, "--resume")], capture_output=True, text=True)
    assert alone.returncode == 2
    assert "2 processes" in alone.stderr


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(
    photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train_small(photos, run, steps=1)
    with pytest.raises(SpecError, match="--resume"):
        train_small(photos, run, steps=1)
    with pytest.raises(SpecError, match="steps: 1 → 2"):
        train_small(photos, run, steps=2, resume=True)
    with pytest.raises(SpecError, match=r"settings \(activation: leaky → relu\)"):
        train_small(photos, run, steps=1, activation="relu", resume=True)
    with pytest.raises(SpecError, match="no checkpoint to resume"):
        train_small(photos, tmp_path / "absent", resume=True)


def test_data_that_cannot_train_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least"):
        train_small(photos, tmp_path / "a", patch=512)
    with pytest.raises(DataError, match="expected a folder"):
        train_small(tmp_path / "absent", tmp_path / "b")
    with pytest.raises(SpecError, match="did you mean"):
        train("sesr-m55", scale=2, data=photos, out=tmp_path / "c")
    assert not any((tmp_path / name).exists() for name in "abc")
