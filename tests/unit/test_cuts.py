"""The scene-cut detector: cuts found, motion and noise left alone."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from edgevsr.data.clips import read_frames
from edgevsr.data.cuts import CutDetector
from edgevsr.runtime.probe import moving_frames, picture_frame

SIZE = (96, 72)


def cuts_of(frames: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(frames) if detector.is_cut(frame)]


def test_a_cut_is_found_where_it_is() -> None:
    """Dark to bright scenes, each moving: cuts at their first frames and nowhere else."""
    scenes = [
        [np.clip(frame * 0.5 + level, 0, 255) for frame in moving_frames(SIZE, channels, 8)]
        for level, channels in ((0, 1), (120, 1), (20, 1))
    ]
    assert cuts_of([frame for scene in scenes for frame in scene]) == [8, 16]


def test_motion_fades_and_noise_are_no_cuts() -> None:
    picture = picture_frame((300, 200), 1, 0).astype(np.float64)
    pan = [picture[40:112, x : x + 96] for x in range(0, 200, 12)]
    fade = [picture[:72, :96] * level for level in np.linspace(1, 0, 20)]
    rng = np.random.default_rng(0)
    noise = [picture[:72, :96] + rng.normal(0, 20, (72, 96, 1)) for _ in range(6)]
    for frames in (pan, fade, noise):
        assert cuts_of(frames) == []


def test_a_stream_that_changes_size_has_no_cut_there() -> None:
    frames = [*moving_frames(SIZE, 1, 3), *(f + 60 for f in moving_frames((64, 48), 1, 3))]
    assert cuts_of(frames) == []
    assert cuts_of([np.zeros((1, 1, 1))] * 3) == []


@pytest.mark.shared
def test_cuts_between_real_clips(shared: Path) -> None:
    """Twelve clips one after another: every cut is found, and none besides."""
    files = sorted((shared / "data" / "train" / "video").glob("*.mp4"))[:12]
    clips = [[frame[:432:2, :800:2] for frame in islice(read_frames(file), 8)] for file in files]
    starts = [sum(map(len, clips[:index])) for index in range(1, len(clips))]
    assert all(later - earlier > 5 for earlier, later in pairwise(starts))
    assert cuts_of([frame for clip in clips for frame in clip]) == starts
