"""What a teacher makes of the training data: computed once, kept on disk, read like the HR.

The teacher sees every clip whole, as the pairs have it (a camera's way over a still is drawn once
and kept, so its clips have a teacher's answer as videos do). A build that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevsr.data.pairs import Pairs, View, default_cache, degraded_clips, pairs_key
from edgevsr.errors import DataError, OutputError, SpecError
from edgevsr.files import write_json
from edgevsr.nets.features import FeatureTap
from edgevsr.nets.references.base import luma
from edgevsr.nets.teachers import Teacher, TeacherId
from edgevsr.progress import Bar, progress
from edgevsr.spec import NetSpec
from edgevsr.training.config import TrainConfig

#: The stored value of 1.0: 1/256 of an 8-bit step, as the pairs keep luma.
LESSON_UNIT = 255.0 * 256

_LAYOUT = 1
_SAMPLED_PIXELS = 4096
_INDEX, _SR, _FEATURES = "index.json", "sr.raw", "features.raw"


@dataclass(frozen=True)
class Lessons:
    """A teacher's answers to `pairs`: `sr` laid out as its HR, `features` as its LR.

    `sr` is in units of 1/`LESSON_UNIT`; `features` (float16) has `feature_channels` a pixel, none
    where only the output teaches.
    """

    pairs: Pairs
    sr: NDArray[np.uint16]
    features: NDArray[np.float16] | None
    feature_channels: int

    def picture(self, index: int) -> tuple[NDArray[Any], ...]:
        """Return views of what was taught of one picture: SR (h·scale, w·scale, C), features
        (h, w, F) where they are kept."""
        pairs = self.pairs
        height, width = (int(side) for side in pairs.sizes[index])
        start, pixels, s = pairs.start(index), height * width, pairs.scale
        each = pairs.channels * s * s
        sr = self.sr[start * each : (start + pixels) * each]
        answer = sr.reshape(height * s, width * s, pairs.channels)
        if self.features is None:
            return (answer,)
        deep = self.feature_channels
        features = self.features[start * deep : (start + pixels) * deep]
        return answer, features.reshape(height, width, deep)

    @property
    def units(self) -> tuple[float, ...]:
        """What the values of each plane of `picture` are divided by."""
        return (LESSON_UNIT,) if self.features is None else (LESSON_UNIT, 1.0)

    def feature_spread(self) -> Tensor:
        """Return the standard deviation (F) of each feature over pixels from all of the data."""
        assert self.features is not None
        rows = self.features.reshape(-1, self.feature_channels)
        chosen = np.linspace(0, len(rows) - 1, min(_SAMPLED_PIXELS, len(rows))).astype(np.int64)
        spread = rows[chosen].astype(np.float32).std(0)
        return torch.from_numpy(np.maximum(spread, 1e-6))


def check_teacher(teacher: TeacherId, spec: NetSpec, frames: int) -> None:
    """Refuse a teacher that cannot teach this net from clips of `frames` frames.

    Raises:
        SpecError: its scale or colour is another, or it needs more frames.
    """
    if teacher.scale != spec.scale:
        raise SpecError(
            f"--teacher {teacher.name}: is x{teacher.scale}, the net x{spec.scale}; choose a "
            f"teacher of x{spec.scale}, or --scale {teacher.scale}"
        )
    if teacher.colour == "y" and spec.colour == "rgb":
        raise SpecError(
            f"--teacher {teacher.name}: works on luma and cannot teach an RGB net; add --colour y"
        )
    if teacher.least > frames:
        raise SpecError(
            f"--teacher {teacher.name}: needs clips of {teacher.least} frames or more; add "
            f"--frames {max(teacher.least, 10)}"
        )


def load_lessons(
    teacher: Teacher,
    config: TrainConfig,
    media: Sequence[Path],
    pairs: Pairs,
    cache: Path | None,
    device: torch.device,
) -> Lessons:
    """Return a teacher's answers to the pairs of these files, from the cache or made now.

    Raises:
        SpecError: the teacher cannot teach this net, or has no features to keep.
        DataError: a clip is too short for the teacher, or the cache is damaged.
        OutputError: the disk is full or not writable.
    """
    check_teacher(teacher.identity, config.spec, config.frames)
    features = config.feature_weight > 0
    spec = config.spec
    how = config.degradation, config.frames, config.shrink, config.shrink_jpeg
    who = f"{_LAYOUT} {pairs_key(media, spec.scale, spec.colour, *how)} {teacher.identity}"
    key = f"taught-{hashlib.sha256(who.encode()).hexdigest()[:24]}"
    folder = (cache or default_cache()) / (key + "-features")
    # Answers kept with features serve a run that learns from the output alone too.
    if not features and not (folder / _INDEX).is_file():
        folder = folder.with_name(key)
    if not (folder / _INDEX).is_file():
        clips = degraded_clips(media, spec.scale, *how)
        tap = teacher.find_tap() if features else None
        teacher.to(device)
        try:
            _Build(folder, teacher, tap, pairs, device).run(views for _, _, views in clips)
        except OSError as error:
            raise OutputError(
                f"{folder}: the teacher's answers cannot be written ({error.strerror}); free some "
                "room or give another --cache, and run again"
            ) from error
        finally:
            teacher.to(torch.device("cpu"))
    return _open(folder, pairs, features)


def _open(folder: Path, pairs: Pairs, features: bool) -> Lessons:
    damaged = DataError(f"{folder}: the teacher's kept answers are damaged; remove it, run again")
    try:
        depth = int(json.loads((folder / _INDEX).read_text())["feature_channels"])
        sr = np.memmap(folder / _SR, np.uint16, "r")
        planes = np.memmap(folder / _FEATURES, np.float16, "r") if features else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged from error
    kept = 0 if planes is None else planes.size
    if sr.size != pairs.hr.size or kept != depth * pairs.pixels * features:
        raise damaged
    return Lessons(pairs, sr, planes, depth)


@dataclass(frozen=True)
class _Build:
    """Asks a teacher about each clip in turn; what `state.json` counts is done and kept."""

    folder: Path
    teacher: Teacher
    tap: FeatureTap | None
    pairs: Pairs
    device: torch.device

    def run(self, clips: Iterator[Iterator[View]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.folder / "state.json"
        done = _done(state)
        seen = int(self.pairs.clips[:done, 1].sum())
        with ExitStack() as stack:
            outputs = [stack.enter_context(_writable(self.folder / name)) for name in self._depths]
            name = f"asking {self.teacher.identity.name}"
            bar = stack.enter_context(progress(name, len(self.pairs), seen))
            for number, lrs in enumerate(_lr_clips(clips, skipped=done), start=done):
                self._write(outputs, number, lrs, bar)
                write_json(state, {"clips": number + 1}, force=True)
        index = {
            "feature_channels": self._depths.get(_FEATURES, 0),
            "teacher": vars(self.teacher.identity),
        }
        write_json(self.folder / _INDEX, index, force=True)
        state.unlink(missing_ok=True)

    @property
    def _depths(self) -> dict[str, int]:
        """The values an LR pixel has in each file."""
        depths = {_SR: self.pairs.channels * self.pairs.scale**2}
        return depths if self.tap is None else depths | {_FEATURES: self.tap.channels}

    def _write(
        self, outputs: list[BinaryIO], number: int, lrs: list[NDArray[np.uint8]], bar: Bar
    ) -> None:
        first, count = (int(value) for value in self.pairs.clips[number])
        name, least = self.pairs.names[first], self.teacher.identity.least
        if count < least:
            raise DataError(
                f"{name}: a clip of {count} frames, and --teacher {self.teacher.identity.name} "
                f"needs at least {least}; leave it out of --data"
            )
        if len(lrs) != count:
            raise DataError(f"{name}: has {len(lrs)} frames now, {count} when it was prepared")
        for offset, planes in enumerate(self._answers(lrs)):
            start = self.pairs.start(first + offset)
            for output, plane, depth in zip(outputs, planes, self._depths.values(), strict=True):
                output.seek(start * depth * plane.itemsize)
                output.write(plane.tobytes())
            bar.advance(1, name)
        for output in outputs:
            output.flush()

    def _answers(self, lrs: list[NDArray[np.uint8]]) -> Iterator[list[NDArray[Any]]]:
        """Yield what is kept of each frame: SR codes, and features (h, w, F)."""
        stacked = np.ascontiguousarray(np.stack(lrs).transpose(0, 3, 1, 2))
        clip = torch.from_numpy(stacked).to(self.device).float() / 255.0
        for sr, *features in self.teacher.teach(clip, self.tap):
            seen = sr.clamp(0.0, 1.0)
            if self.pairs.channels < len(seen):
                seen = luma(seen)
            codes = (seen * LESSON_UNIT).round().permute(1, 2, 0)
            planes = [codes.cpu().numpy().astype(np.uint16)]
            planes += [part.permute(1, 2, 0).half().cpu().numpy() for part in features]
            yield planes


def _lr_clips(clips: Iterator[Iterator[View]], skipped: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield the LR frames of each clip that has any, after the first few, which are not decoded."""
    for views in clips:
        first = next(views, None)
        if first is None:
            continue
        if skipped:
            skipped -= 1
            continue
        yield [first[0], *(lr for lr, _ in views)]


def _done(state: Path) -> int:
    """Return how many clips an earlier build has finished."""
    try:
        return int(json.loads(state.read_text())["clips"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _writable(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")
