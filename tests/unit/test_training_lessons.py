"""What teachers make of training data: right, aligned, asked once, and resumable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import degrade
from edgevsr.data.images import read_rgb
from edgevsr.data.pairs import Pairs, find_media, load_pairs
from edgevsr.errors import DataError, SpecError
from edgevsr.nets.checkpoint import save_net
from edgevsr.nets.registry import build, net_spec
from edgevsr.nets.teachers import (
    Teacher,
    TeacherId,
    open_teacher,
)
from edgevsr.spec import NetSpec
from edgevsr.training.config import TrainConfig
from edgevsr.training.distillation import TaughtLoss
from edgevsr.training.lessons import LESSON_UNIT, Lessons, check_teacher, load_lessons
from edgevsr.training.sampler import ClipSampler, PatchSampler
from tests.e2e.conftest import make_clip

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stills and a video."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for index, size in enumerate([(64, 48), (56, 72)]):
        coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        picture.save(folder / f"{index}.png")
    make_clip(folder / "clip.mp4", frames=4, size=(96, 64))
    return folder


def spec_of(name: str, scale: int = 2) -> NetSpec:
    return replace(net_spec(name, scale), expansion=8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small teachers of our own: an image net on Y and on RGB, and a recurrent one."""
    home = tmp_path_factory.mktemp("teachers")
    names = {"y": "sesr-f4-m1", "rgb": "sesr-f4-m1-rgb", "recurrent": "rsesr-f4-m1-s3"}
    for index, (key, name) in enumerate(names.items()):
        torch.manual_seed(index)
        save_net(home / f"{key}.safetensors", build(spec_of(name)), spec_of(name), {})
    return {key: home / f"{key}.safetensors" for key in names}


def config_for(folder: Path, teacher: Teacher, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "spec": spec_of("sesr-m3"), "data": (str(folder),), "teacher": teacher.identity.name,
        "teacher_sha256": teacher.identity.sha256, "teacher_weight": 0.5, **changes,
    }  # fmt: skip
    return TrainConfig(**values)


def lessons_of(folder: Path, teacher: Teacher, cache: Path, **changes: Any) -> Lessons:
    config = config_for(folder, teacher, **changes)
    media = find_media([folder])
    spec = config.spec
    how = config.degradation, cache, config.frames, config.shrink
    pairs = load_pairs(media, spec.scale, spec.colour, *how)
    return load_lessons(teacher, config, media, pairs, cache, CPU)


def test_stills_are_taught_from_what_a_decoder_would_deliver(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    teacher = open_teacher(str(checkpoints["y"]))
    lessons = lessons_of(folder, teacher, tmp_path)
    lr = degrade(read_rgb(folder / "1.png"), 2)
    luma = torch.from_numpy((rgb_to_y(lr) / 255.0).astype(np.float32))
    with torch.no_grad():
        sr = teacher.module(luma[None, None])[0, 0].clamp(0, 1).numpy()
    (answer,) = lessons.picture(1)
    assert np.abs(answer[..., 0] / LESSON_UNIT - sr).max() < 1.1 / LESSON_UNIT
    assert len(lessons.sr) == len(lessons.pairs.hr)


def test_smaller_stills_are_taught_too(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    teacher = open_teacher(str(checkpoints["y"]))
    whole = lessons_of(folder, teacher, tmp_path)
    lessons = lessons_of(folder, teacher, tmp_path, shrink=(0.5,))
    assert lessons.pairs.names[1] == "0.png@0.5"
    assert len(lessons.sr) == len(lessons.pairs.hr) > len(whole.sr)
    np.testing.assert_array_equal(lessons.picture(2)[0], whole.picture(1)[0])


def test_an_rgb_teacher_teaches_luma_and_colour(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    teacher = open_teacher(str(checkpoints["rgb"]))
    lr = torch.from_numpy(degrade(read_rgb(folder / "0.png"), 2).transpose(2, 0, 1) / 255.0)
    with torch.no_grad():
        sr = teacher.module(lr.float()[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
    (colour,) = lessons_of(folder, teacher, tmp_path, spec=spec_of("sesr-m3-rgb")).picture(0)
    assert np.abs(colour / LESSON_UNIT - sr).max() < 1.1 / LESSON_UNIT
    (luma,) = lessons_of(folder, teacher, tmp_path).picture(0)
    assert np.abs(luma[..., 0] / LESSON_UNIT - rgb_to_y(sr * 255.0) / 255.0).max() < 1e-4


def test_clips_are_taught_whole_moving_stills_too(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """The state reaches each frame from all before it, in stills' clips as in videos."""
    teacher = open_teacher(str(checkpoints["recurrent"]))
    lessons = lessons_of(
        folder, teacher, tmp_path, spec=spec_of("rsesr-f6-m1-s4"), frames=5, feature_weight=0.1
    )
    pairs = lessons.pairs
    assert [int(count) for _, count in pairs.clips] == [5, 5, 4]
    for first, count in pairs.clips.tolist():
        lr = np.stack([pairs.picture(first + i)[0] for i in range(count)]) / pairs.unit
        clip = torch.from_numpy(lr.astype(np.float32).transpose(0, 3, 1, 2))
        with torch.no_grad():
            sr = teacher.module(clip[None])[0, :, 0].clamp(0, 1).numpy()
        for i in range(count):
            answer, features = lessons.picture(first + i)
            # The pairs keep luma in 1/256 of a step, the teacher sees it unrounded.
            assert np.abs(answer[..., 0] / LESSON_UNIT - sr[i]).max() < 1e-4
            assert features.shape == (*lr.shape[1:3], 4)


@pytest.mark.parametrize("frames", [1, 5])
def test_every_plane_is_cut_and_turned_alike(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path, frames: int
) -> None:
    """With HR as the teacher's answer and LR as its features, batches hold them where they were."""
    pairs = load_pairs(find_media([folder]), 2, "y", "bi", tmp_path, frames)
    features = np.repeat(pairs.lr[:, None] / pairs.unit, 3, 1).astype(np.float16).reshape(-1)
    lessons = Lessons(pairs, pairs.hr, features, 3)
    sampler = (
        PatchSampler(pairs, 12, 6, 0, lessons)
        if frames == 1
        else ClipSampler(pairs, 12, 6, 0, frames, lessons)
    )
    plain = PatchSampler(pairs, 12, 6, 0) if frames == 1 else ClipSampler(pairs, 12, 6, 0, frames)
    for step in range(4):
        lr, hr, taught, deep = sampler.batch(step)
        assert torch.equal(taught, hr)
        assert deep.shape == (*lr.shape[:-3], 3, 12, 12)
        assert float((deep - lr).abs().max()) < 1e-3
        # What is drawn does not depend on there being a teacher.
        assert all(torch.equal(a, b) for a, b in zip(plain.batch(step), (lr, hr), strict=True))


class Counting(Teacher):
    """Enlarges by repetition, counts what it is asked, and gives up when told to."""

    def __init__(self, stop_after: int | None = None, sha256: str = "0") -> None:
        super().__init__(TeacherId("counting", sha256, 2, "rgb"), nn.Conv2d(1, 1, 1))
        self.asked, self.stop_after = 0, stop_after

    def answer(self, clip: Tensor) -> Iterator[Tensor]:
        for frame in clip:
            if self.asked == self.stop_after:
                raise KeyboardInterrupt
            self.asked += 1
            yield frame.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_a_build_that_was_stopped_goes_on_with_the_next_clip(folder: Path, tmp_path: Path) -> None:
    whole = Counting()
    expected = lessons_of(folder, whole, tmp_path / "whole", frames=5)
    assert whole.asked == 5 + 5 + 4
    with pytest.raises(KeyboardInterrupt):
        lessons_of(folder, Counting(stop_after=7), tmp_path / "cache", frames=5)
    rest = Counting()
    lessons = lessons_of(folder, rest, tmp_path / "cache", frames=5)
    assert rest.asked == 5 + 4
    assert np.array_equal(lessons.sr, expected.sr)


def test_a_teacher_is_asked_once_and_another_anew(folder: Path, tmp_path: Path) -> None:
    first, same, other = Counting(), Counting(), Counting(sha256="1")
    for teacher in (first, same, other):
        lessons_of(folder, teacher, tmp_path)
    assert (first.asked > 0, same.asked, other.asked) == (True, 0, first.asked)


def test_answers_kept_with_features_serve_the_output_alone(
    folder: Path, checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = open_teacher(str(checkpoints["y"]))
    both = lessons_of(folder, teacher, tmp_path, feature_weight=1.0)
    monkeypatch.setattr(teacher, "answer", None)
    alone = lessons_of(folder, teacher, tmp_path)
    assert np.array_equal(both.sr, alone.sr)
    assert alone.features is None
    assert len(alone.picture(0)) == 1


def test_damaged_answers_are_named(folder: Path, tmp_path: Path) -> None:
    lessons_of(folder, Counting(), tmp_path)
    (kept,) = tmp_path.glob("taught-*")
    with (kept / "sr.raw").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(DataError, match="remove it"):
        lessons_of(folder, Counting(), tmp_path)


def test_a_clip_too_short_for_the_teacher_is_named(folder: Path, tmp_path: Path) -> None:
    teacher = Counting()
    teacher.identity = replace(teacher.identity, least=5)
    with pytest.raises(DataError, match=r"clip\.mp4: a clip of 4 frames.*at least 5"):
        lessons_of(folder, teacher, tmp_path, frames=5)


def test_a_teacher_that_does_not_fit_the_net_is_refused() -> None:
    four = TeacherId("basicvsr", "0", 4, "rgb", 2)
    with pytest.raises(SpecError, match=r"is x4, the net x2.*--scale 4"):
        check_teacher(four, spec_of("sesr-m3"), 10)
    with pytest.raises(SpecError, match="add --frames 10"):
        check_teacher(four, spec_of("sesr-m3", 4), 1)
    with pytest.raises(SpecError, match="--colour y"):
        check_teacher(replace(four, colour="y"), spec_of("sesr-m3-rgb", 4), 10)
    check_teacher(four, spec_of("sesr-m3", 4), 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher_weight": 1.5}, "0 to 1"),
        ({"teacher_weight": -0.1}, "0 to 1"),
        ({"feature_weight": -1.0}, "0 \\(off\\) or more"),
        ({"teacher_weight": 0.0}, "nothing is taught"),
        ({"teacher": None}, "need a --teacher"),
        ({"feature_weight": 1.0, "qat": True, "init": "x"}, "integer layers"),
    ],
)
def test_weights_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        replace(config_for(Path("x"), Counting()), **changes)


def taught_loss(folder: Path, net_name: str, pairs: Pairs, **weights: float) -> TaughtLoss:
    config = config_for(folder, Counting(), spec=spec_of(net_name), **weights)
    rng = np.random.default_rng(0)
    features = rng.normal(0, 2, pairs.pixels * 3).astype(np.float16)
    torch.manual_seed(0)
    net = build(config.spec)
    loss = TaughtLoss(config, net, Lessons(pairs, pairs.hr, features, 3))
    loss.net_under_test = (net,)  # in a tuple, so that it is no part of the loss
    return loss


@pytest.mark.parametrize("name", ["sesr-m3", "fsrcnn", "rsesr-f6-m1-s4", "rrn-16-5"])
def test_the_loss_is_what_its_formula_says_and_teaches_the_features(
    folder: Path, tmp_path: Path, name: str
) -> None:
    pairs = load_pairs(find_media([folder]), 2, "y", "bi", tmp_path)
    loss = taught_loss(folder, name, pairs, teacher_weight=0.25, feature_weight=2.0)
    (net,) = loss.net_under_test
    lr, hr, taught = torch.rand(2, 3, 1, 8, 8), torch.rand(2, 3, 1, 16, 16), torch.rand(1)
    taught, deep = taught.expand_as(hr), torch.rand(2, 3, 3, 8, 8)
    sr = net(lr)
    own = torch.stack(list(loss._given), 1).flatten(0, 1)
    assert own.shape[:1] == (6,)
    value = loss(sr, hr, taught, deep)
    off = (loss.projection(own) - deep.flatten(0, 1) / loss.spread[:, None, None]).abs().mean()
    expected = 0.75 * (sr - hr).abs().mean() + 0.25 * (sr - taught).abs().mean() + 2.0 * off
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    value.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in loss.projection.parameters())
    # One step's features must not reach into the next.
    assert not loss._given
    assert set(loss.state_dict()) == {"projection.weight", "projection.bias"}


def test_the_output_alone_adds_no_weights(folder: Path, tmp_path: Path) -> None:
    pairs = load_pairs(find_media([folder]), 2, "y", "bi", tmp_path)
    loss = taught_loss(folder, "sesr-m3", pairs, teacher_weight=1.0)
    assert not list(loss.parameters())
    sr, hr = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    assert float(loss(sr, hr, sr)) == 0.0
