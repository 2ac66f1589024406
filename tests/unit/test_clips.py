"""Clips: what counts as one, and how it is scored over time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr import motion
from edgevsr.clip_scores import ClipMeans, ClipMeter, ClipScore, FrameScore, score_clips
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import blur_decimate, round_u8
from edgevsr.data.listing import Clip, group_clips, list_media
from edgevsr.errors import DataError, EdgeVsrError
from edgevsr.evaluation import Picture, evaluate_model, read_pictures, scores_csv
from edgevsr.metrics import flow_distance, psnr_db, ssim
from edgevsr.motion import flow
from edgevsr.runtime.probe import moving_frames
from tests.unit.test_evaluate import Nearest


def save(folder: Path, names: list[str], size: tuple[int, int] = (48, 40)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in zip(names, moving_frames(size, 3, len(names)), strict=True):
        Image.fromarray(pixels).save(folder / name)


def clips_in(data: Path) -> dict[str, list[str]]:
    """Each clip's name and the names of its files."""
    found = group_clips(data, list_media(data))
    return {clip.name: [f.name for f in clip.files] for clip in found if isinstance(clip, Clip)}


def test_numbered_pictures_of_one_folder_are_a_clip(tmp_path: Path) -> None:
    """In the order of their numbers, with or without leading zeros, wherever they start."""
    save(tmp_path / "city", [f"{n:04}.png" for n in (3, 4, 5)])
    save(tmp_path / "deep" / "walk", [f"frame_{n}_x4.png" for n in (11, 8, 9, 10)])
    assert clips_in(tmp_path) == {
        "city": ["0003.png", "0004.png", "0005.png"],
        "deep/walk": [f"frame_{n}_x4.png" for n in (8, 9, 10, 11)],
    }
    assert list(clips_in(tmp_path / "city")) == ["city"]


@pytest.mark.parametrize(
    "names",
    [
        ["1.png"],
        ["1.png", "3.png"],
        ["1.png", "2.png", "2.bmp"],
        ["a1.png", "b2.png"],
        ["1.png", "2.png", "cover.png"],
        ["baby.png", "bird.png"],
    ],
    ids=["one", "gap", "another kind", "another name", "one without", "no number"],
)
def test_other_folders_are_pictures(names: list[str], tmp_path: Path) -> None:
    save(tmp_path / "set", names)
    assert clips_in(tmp_path) == {}
    assert len(group_clips(tmp_path, list_media(tmp_path))) == len(names)


def test_pictures_of_two_sizes_are_no_clip(tmp_path: Path) -> None:
    save(tmp_path, ["1.png", "2.png"])
    save(tmp_path, ["3.png"], (50, 40))
    assert clips_in(tmp_path) == {}


def test_frames_are_scored_in_order_and_pictures_stay_apart(tmp_path: Path) -> None:
    """The net is reset once a clip; every frame is a picture too; the CSV has the curve."""
    save(tmp_path / "walk", ["f9.png", "f10.png", "f11.png"])
    save(tmp_path, ["still.png"])
    net = Nearest()
    found = evaluate_model(net, read_pictures(tmp_path, 2))
    assert [i.name for i in found.images] == ["still.png", "walk/f9.png", "walk/f10.png",
                                              "walk/f11.png"]  # fmt: skip
    assert net.resets == 2
    (clip,) = found.clips
    assert (clip.name, len(clip.frames)) == ("walk", 3)
    header, still, first, *_ = scores_csv(found).splitlines()
    assert header.endswith(",clip,psnr_y_db_crop0,psnr_y_db_crop8,ssim_y_crop0,t_consistency")
    assert still.endswith(",,,,,")
    assert first.split(",")[4] == "walk"
    assert first.split(",")[-1] == ""


def test_clip_figures_leave_no_border_out(tmp_path: Path) -> None:
    """Crop 0 and 8 on unrounded HR luma, SSIM whole, means over frames, then over clips."""
    save(tmp_path / "a", ["1.png", "2.png"])
    pictures = list(read_pictures(tmp_path, 2))
    found = evaluate_model(Nearest(), pictures)
    expected = []
    for picture in pictures:
        sr = round_u8(rgb_to_y(picture.lr)).repeat(2, 0).repeat(2, 1).astype(np.float64)
        expected.append(
            (psnr_db(sr, picture.hr_y), psnr_db(sr, picture.hr_y, 8), ssim(sr, picture.hr_y))
        )
    (clip,) = found.clips
    figures = clip.figures()
    got = tuple(figures[key] for key in ("psnr_y_db", "psnr_y_db_crop8", "ssim_y"))
    assert got == pytest.approx(tuple(np.mean(expected, axis=0)))
    image = found.images[0]
    assert image.ssim_y == pytest.approx(ssim(sr_of(pictures[0]), pictures[0].hr_y, 2))


def sr_of(picture: Picture) -> np.ndarray:
    return round_u8(rgb_to_y(picture.lr)).repeat(2, 0).repeat(2, 1).astype(np.float64)


def test_means_count_clips_alike_and_leave_infinities_out() -> None:
    """A long clip weighs no more than a short one; the first five frames are shown apart."""
    short = [FrameScore("s", 20.0, None, 0.5, 19.0, None)]
    long = [FrameScore("l", 30.0 + n, 31.0, 0.7, 25.0, 0.25 * n) for n in range(9)]
    perfect = [FrameScore("l", math.inf, math.inf, 1.0, math.inf, None)]
    clips = score_clips([*short, *long, *perfect])
    assert [clip.figures()["psnr_y_db"] for clip in clips] == [20.0, 34.0]
    assert clips[1].figures()["psnr_y_db_first"] == 32.0
    means = ClipMeans(clips).to_json()
    assert means["psnr_y_db"] == 27.0
    assert means["psnr_y_db_crop8"] == 31.0
    assert means["t_consistency"] == 1.0
    assert ClipScore("x", tuple(short)).to_json()["t_consistency"] is None


def test_flow_of_a_shift_is_the_shift() -> None:
    """DIS finds a pan of two pixels, and the distance to no motion is its length."""
    frame = moving_frames((128, 96), 1, 1)[0][..., 0]
    found = flow(frame[:, :-2].copy(), frame[:, 2:].copy())
    assert np.median(found[..., 0]) == pytest.approx(-2.0, abs=0.1)
    still = np.zeros_like(found)
    assert flow_distance(still, still) == 0.0
    assert flow_distance(still + np.float32([3, 4]), still) == pytest.approx(5.0)
    with pytest.raises(DataError, match="shapes"):
        flow_distance(still, still[:-1])


def test_flicker_costs_consistency() -> None:
    """An SR that moves as HR does scores near 0, one whose content shakes scores higher."""
    frames = [f[..., 0].astype(np.float64) for f in moving_frames((96, 72), 1, 8)]

    def mean(shake: int) -> float:
        meter = ClipMeter()
        scores = [
            meter.score("c", index == 0, np.roll(hr, shake * (index % 2), 1), hr, 1.0, 20.0)
            for index, hr in enumerate(frames)
        ]
        assert scores[0].t_consistency is None
        return ClipScore("c", tuple(scores)).figures()["t_consistency"] or 0.0

    assert mean(0) == 0.0
    assert mean(2) > 0.5


def test_without_opencv_consistency_is_null_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "has_flow", lambda: False)
    monkeypatch.setattr("edgevsr.clip_scores.has_flow", lambda: False)
    frame = np.zeros((40, 40))
    meter = ClipMeter()
    for first in (True, False):
        assert meter.score("c", first, frame, frame, 1.0, 20.0).t_consistency is None
    with pytest.raises(EdgeVsrError, match=r"edgevsr\[video\]"):
        flow(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8))


def test_blur_and_decimation_is_another_lr(tmp_path: Path) -> None:
    save(tmp_path, ["a.png"])
    (picture,) = read_pictures(tmp_path, 2, degradation="bd")
    np.testing.assert_array_equal(picture.lr, round_u8(blur_decimate(picture.hr, 2)))


def test_scene_cuts_reset_the_network_when_asked() -> None:
    dark = moving_frames((48, 40), 3, 6)
    frames = [*(f // 4 for f in dark), *(f // 4 + 150 for f in dark)]
    pictures = [Picture.of(str(n), frame, 2, n == 0, clip="c") for n, frame in enumerate(frames)]
    resets = []
    for flag in (False, True):
        net = Nearest()
        evaluate_model(net, pictures, reset_on_cut=flag)
        resets.append(net.resets)
    assert resets == [1, 2]


def test_a_clip_that_changes_size_is_refused(tmp_path: Path) -> None:
    """Headers promise one size, a file says otherwise: the frame is named."""
    save(tmp_path, ["1.png", "2.png"])
    (clip,) = group_clips(tmp_path, list_media(tmp_path))
    assert isinstance(clip, Clip)
    save(tmp_path, ["2.png"], (64, 40))
    with pytest.raises(DataError, match=r"frame 2 is 64x40, the clip began with 48x40"):
        list(clip.frames())


def test_a_clip_of_one_frame_has_no_consistency(tmp_path: Path) -> None:
    from tests.e2e.conftest import make_clip

    make_clip(tmp_path / "one.mp4", frames=1)
    (clip,) = evaluate_model(Nearest(), read_pictures(tmp_path, 2)).clips
    values = clip.to_json()
    assert (values["name"], values["frames"], values["t_consistency"]) == ("one", 1, None)
    assert values["psnr_y_db"] == values["psnr_y_db_first"]
