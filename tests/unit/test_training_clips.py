"""Clips to train on: from stills by a moving camera, from videos, cut, reversed, replayable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgevsr.data.degrade import imresize, round_u8
from edgevsr.data.motion import moving_clip
from edgevsr.data.pairs import Pairs, find_media, load_pairs
from edgevsr.errors import DataError, SpecError
from edgevsr.nets.registry import net_spec
from edgevsr.training.config import TrainConfig
from edgevsr.training.sampler import ClipSampler
from tests.e2e.conftest import make_clip


def picture(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    frames=st.integers(1, 12),
)
def test_a_moving_camera_gives_whole_frames_of_one_size(
    seed: int, height: int, width: int, frames: int
) -> None:
    side = min(height, width)
    clip = list(
        moving_clip(picture(1, height, width), picture(2, width, height), side, frames, seed)
    )
    assert len(clip) == frames
    assert all(view.shape == (side, side, 3) and view.dtype == np.uint8 for view in clip)


def test_the_seed_decides_the_motion_and_most_clips_move() -> None:
    def first_and_last(seed: int) -> tuple[np.ndarray, np.ndarray]:
        clip = list(moving_clip(picture(1), picture(2), 64, 8, seed))
        return clip[0], clip[-1]

    np.testing.assert_array_equal(first_and_last(3), first_and_last(3))
    moved = [not np.array_equal(*first_and_last(seed)) for seed in range(20)]
    assert sum(moved) >= 18


def test_a_camera_that_slides_keeps_every_pixel() -> None:
    """Half of the clips are whole-pixel slides: each frame is a part of the mirrored picture."""
    still = picture(1)
    known = {tuple(pixel) for pixel in still.reshape(-1, 3).tolist()}
    exact = 0
    for seed in range(30):
        views = np.stack(list(moving_clip(still, still, 40, 5, seed)))
        exact += {tuple(pixel) for pixel in views.reshape(-1, 3).tolist()} <= known
    assert 6 <= exact <= 24


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("clips")
    for index in range(3):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    make_clip(folder / "clip.mp4", frames=5, size=(128, 96))
    return load_pairs(find_media([folder]), 2, "y", "bi", folder / "cache", frames=6)


def test_stills_become_clips_and_videos_keep_their_order(pairs: Pairs) -> None:
    assert [int(count) for _, count in pairs.clips] == [6, 6, 6, 5]
    assert [int(first) for first, _ in pairs.clips] == [0, 6, 12, 18]
    assert len(pairs) == 23


def test_stills_are_seen_at_parts_of_their_size_too(tmp_path: Path) -> None:
    """As pictures of their own: HR first made smaller, then LR of it. Videos are left alone."""
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    make_clip(tmp_path / "clip.mp4", frames=3, size=(128, 96))
    media = find_media([tmp_path])
    found = load_pairs(media, 2, "y", "bi", tmp_path / "cache", shrink=(0.75, 0.5))
    assert found.names == ("0.png", "0.png@0.75", "0.png@0.5", "clip.mp4#0")
    assert found.sizes[:3].tolist() == [[36, 48], [27, 36], [18, 24]]
    Image.fromarray(round_u8(imresize(picture(0), 0.5))).save(tmp_path / "half.png")
    half = load_pairs([tmp_path / "half.png"], 2, "y", "bi", tmp_path / "cache")
    for plane, expected in zip(found.picture(2), half.picture(0), strict=True):
        np.testing.assert_array_equal(plane, expected)
    assert len(load_pairs(media, 2, "y", "bi", tmp_path / "cache")) == 2


def test_jpegs_are_seen_smaller_alone_where_that_is_asked(tmp_path: Path) -> None:
    for name in ("0.png", "1.jpg", "2.JPEG"):
        kind = "PNG" if name.endswith("png") else "JPEG"
        Image.fromarray(picture(0)).save(tmp_path / name, kind)
    media, given = find_media([tmp_path]), (2, "y", "bi", tmp_path / "cache", 1)
    found = load_pairs(media, *given, (0.75,), (0.5,))
    assert found.names == ("0.png", "0.png@0.75", "1.jpg@0.5", "2.JPEG@0.5")
    assert load_pairs(media, *given, (0.75,)).names[2:4] == ("1.jpg", "1.jpg@0.75")


def test_a_camera_moves_over_smaller_stills_too(tmp_path: Path) -> None:
    Image.fromarray(picture(0, 160, 192)).save(tmp_path / "0.png")
    found = load_pairs(find_media([tmp_path]), 2, "y", "bi", tmp_path / "cache", 4, (0.5,))
    assert found.clips.tolist() == [[0, 4], [4, 4]]
    assert found.sizes[[0, 4]].tolist() == [[80, 80], [40, 40]]


@pytest.mark.parametrize("part", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_a_part_of_a_still_is_smaller_than_it(part: float) -> None:
    with pytest.raises(SpecError, match="--shrink"):
        TrainConfig(net_spec("sesr-m3", 2), ("stills",), shrink=(0.7, part))
    with pytest.raises(SpecError, match="--shrink"):
        TrainConfig(net_spec("sesr-m3", 2), ("stills",), shrink_jpeg=(part,))


def test_a_config_is_what_it_was_as_json() -> None:
    config = TrainConfig(
        net_spec("sesr-m3", 2), ("stills", "more"), shrink=(0.7, 0.5), shrink_jpeg=(0.5,)
    )
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_batches_replay_and_hold_aligned_clips(pairs: Pairs) -> None:
    sampler = ClipSampler(pairs, patch=12, batch=3, seed=1, frames=7)
    lr, hr = sampler.batch(5)
    assert lr.shape == (3, 7, 1, 12, 12)
    assert hr.shape == (3, 7, 1, 24, 24)
    again = sampler.batch(5)
    assert bool((lr == again[0]).all())
    assert bool((hr == again[1]).all())
    assert not bool((sampler.batch(6)[0] == lr).all())
    # Bicubic halving keeps the mean, so patches that were not aligned would show here.
    means = (lr.mean((2, 3, 4)) - hr.mean((2, 3, 4))).abs()
    assert float(means.max()) < 0.03


def test_a_tenth_of_the_clips_are_cut_to_another_scene() -> None:
    """Of a black and a white clip, half of the cuts show, and no clip has two."""
    white = np.repeat(np.array([0, 1], np.uint16), 5 * 16 * 16)
    pairs = Pairs(
        names=("black",) * 5 + ("white",) * 5,
        sizes=np.full((10, 2), 16, np.int64),
        clips=np.array([[0, 5], [5, 5]], np.int64),
        lr=white,
        hr=np.repeat(white, 4),
        scale=2,
        channels=1,
        unit=1.0,
    )
    sampler = ClipSampler(pairs, patch=12, batch=1000, seed=0, frames=6)
    lr, hr = sampler.batch(0)
    cuts = (lr[:, 1:, 0, 0, 0] != lr[:, :-1, 0, 0, 0]).sum(1)
    assert int(cuts.max()) == 1
    assert 25 <= int(cuts.sum()) <= 80
    assert bool((lr.mean((2, 3, 4)) == hr.mean((2, 3, 4))).all())


def test_some_frames_more_come_first_and_some_clips_stand(pairs: Pairs) -> None:
    """As many in all clips of a batch, up to those asked for; a fifth of the clips stands."""
    sampler = ClipSampler(pairs, patch=12, batch=40, seed=1, frames=5, burn_in=4)
    lengths, standing, first = set(), 0, sampler.batch(0)[0]
    for step in range(12):
        lr, hr = sampler.batch(step)
        assert lr.shape[1] == hr.shape[1]
        lengths.add(lr.shape[1])
        standing += int((lr == lr[:, :1]).flatten(1).all(1).sum())
    assert lengths == {5, 6, 7, 8, 9}
    assert 0.12 < standing / (12 * 40) < 0.3
    np.testing.assert_array_equal(sampler.batch(0)[0], first)


def test_patches_larger_than_every_clip_are_refused(pairs: Pairs) -> None:
    with pytest.raises(DataError, match="smaller --patch"):
        ClipSampler(pairs, patch=200, batch=1, seed=0, frames=6)


def test_stills_alone_have_no_clip(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    stills = load_pairs(find_media([tmp_path]), 2, "y", "bi", tmp_path / "cache")
    with pytest.raises(DataError):
        ClipSampler(stills, patch=12, batch=1, seed=0, frames=2)
