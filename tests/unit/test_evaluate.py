"""The protocol: cropping, luma, rounding, borders, clips, means, and its published figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import imresize
from edgevsr.errors import DataError, SpecError
from edgevsr.evaluation import (
    Evaluation,
    ImageScore,
    Picture,
    evaluate_model,
    list_picture_files,
    read_pictures,
    scores_csv,
    super_resolve_y,
)
from edgevsr.metrics import psnr_db, ssim
from edgevsr.runtime.probe import picture_frame

SHARED = Path(__file__).parents[3] / "shared" / "data" / "test"


class Nearest:
    """A network that repeats every pixel, and remembers what it was given."""

    def __init__(self, scale: int = 2, channels: int = 1) -> None:
        self.scale, self.channels = scale, channels
        self.given: list[np.ndarray] = []
        self.resets = 0

    def _repeat(self, lr: np.ndarray) -> np.ndarray:
        self.given.append(lr)
        return lr.repeat(self.scale, 0).repeat(self.scale, 1)

    def upscale(self, lr: np.ndarray) -> np.ndarray:
        return self._repeat(lr)

    def upscale_u8(self, lr: np.ndarray) -> np.ndarray:
        return self._repeat(lr)

    def reset(self) -> None:
        self.resets += 1


def test_protocol_step_by_step() -> None:
    """One picture, every step written out: crop, LR, luma, SR, border."""
    picture = picture_frame((47, 41), 3, 0)
    image = Picture.of("a", picture, 2)
    hr = picture[:40, :46]
    lr = np.clip(np.floor(imresize(hr, 0.5) + 0.5), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(image.lr, lr)
    net = Nearest()
    (score,) = evaluate_model(net, [image]).images
    lr_y = np.floor(rgb_to_y(lr) + 0.5)
    np.testing.assert_array_equal(net.given[0][..., 0], lr_y)
    sr_y = lr_y.repeat(2, 0).repeat(2, 1)
    hr_y = 16 + (65.481 * hr[..., 0] + 128.553 * hr[..., 1] + 24.966 * hr[..., 2]) / 255
    error = ((sr_y - hr_y)[2:-2, 2:-2] ** 2).mean()
    assert score.psnr_y_db == pytest.approx(10 * math.log10(255**2 / error))
    assert score.ssim_y == pytest.approx(ssim(sr_y, hr_y, 2))
    enlarged = np.clip(np.floor(imresize(lr, 2) + 0.5), 0, 255)
    assert score.bicubic_psnr_y_db == pytest.approx(psnr_db(rgb_to_y(enlarged), hr_y, 2))


def test_float_luma_is_fed_unrounded_and_sr_is_rounded() -> None:
    """`float` gives the net what the papers give it, and SR is 8-bit all the same."""
    image = Picture.of("a", picture_frame((40, 40), 3, 0), 2)
    net = Nearest()
    sr = super_resolve_y(net, image.lr, "float")
    np.testing.assert_allclose(net.given[0][..., 0] * 255, rgb_to_y(image.lr), atol=1e-4)
    assert net.given[0].dtype == np.float32
    assert (net.given[0] * 255 % 1 > 0.01).any()
    np.testing.assert_array_equal(sr, np.round(sr))


def test_rgb_nets_take_rgb_and_are_scored_on_luma() -> None:
    """An RGB net is fed the 8-bit LR; luma is taken of its SR."""
    image = Picture.of("a", picture_frame((40, 40), 3, 0), 2)
    net = Nearest(channels=3)
    sr = super_resolve_y(net, image.lr, "float")
    np.testing.assert_array_equal(net.given[0], image.lr)
    np.testing.assert_allclose(sr, rgb_to_y(image.lr.repeat(2, 0).repeat(2, 1)))
    with pytest.raises(SpecError, match="2 image channels"):
        super_resolve_y(Nearest(channels=2), image.lr)


def test_rgb_nets_are_scored_on_rgb_too_as_reds4_has_it() -> None:
    """No border left out, one mean square over R, G and B, the channels' SSIM in the mean."""
    images = [Picture.of(str(i), picture_frame((40, 36), 3, i), 2, clip="c") for i in range(2)]
    found = evaluate_model(Nearest(channels=3), images)
    scores = []
    for image in images:
        sr = image.lr.repeat(2, 0).repeat(2, 1).astype(np.float64)
        mse = np.mean((sr - image.hr) ** 2)
        channels = [ssim(sr[..., c], image.hr[..., c]) for c in range(3)]
        scores.append((10 * np.log10(255**2 / mse), np.mean(channels)))
    assert (found.images[1].psnr_rgb_db, found.images[1].ssim_rgb) == pytest.approx(scores[1])
    means = tuple(np.mean(scores, axis=0))
    assert (found.psnr_rgb_db, found.ssim_rgb) == pytest.approx(means)
    figures = found.clips[0].figures()
    assert (figures["psnr_rgb_db"], figures["ssim_rgb"]) == pytest.approx(means)
    luma = evaluate_model(Nearest(), images)
    assert luma.psnr_rgb_db is luma.images[0].ssim_rgb is None
    assert luma.clips[0].figures()["psnr_rgb_db"] is None


def test_infinite_psnr_is_left_out_of_means() -> None:
    """A perfect picture has no PSNR that a mean or JSON could hold."""
    images = (ImageScore("a", math.inf, 1.0, 30.0), ImageScore("b", 40.0, 0.5, 20.0))
    scores = Evaluation(images)
    assert (scores.psnr_y_db, scores.ssim_y, scores.bicubic_psnr_y_db) == (40.0, 0.75, 25.0)
    assert scores.infinite == 1
    assert Evaluation(images[:1]).psnr_y_db is None
    rows = scores_csv(scores).splitlines()
    assert rows[0] == "name,psnr_y_db,ssim_y,bicubic_psnr_y_db"
    assert rows[1] == "a,,1.000000,30.000000"
    assert rows[3] == "mean,40.000000,0.750000,25.000000"


def test_flat_pictures_are_infinite_for_bicubic() -> None:
    """A flat gray is reproduced exactly by bicubic; the luma of 8-bit gray is not an integer."""
    image = Picture.of("flat", np.full((32, 32, 3), 77, np.uint8), 2)
    assert image.bicubic_psnr_y_db == math.inf
    assert math.isfinite(evaluate_model(Nearest(), [image]).images[0].psnr_y_db)
    assert evaluate_model(Nearest(channels=3), [image]).images[0].psnr_y_db == math.inf


def test_folders_gray_images_and_single_files(tmp_path: Path) -> None:
    """Images below a folder are read in order, gray ones as RGB; a single file works too."""
    (tmp_path / "b").mkdir()
    Image.fromarray(picture_frame((40, 36), 1, 0)[..., 0]).save(tmp_path / "b" / "gray.png")
    Image.fromarray(picture_frame((40, 36), 3, 1)).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    found = list(read_pictures(tmp_path, 3))
    assert [image.name for image in found] == ["a.png", "b/gray.png"]
    assert found[1].hr.shape == (36, 39, 3)
    assert [image.name for image in read_pictures(tmp_path / "a.png", 2)] == ["a.png"]


def test_video_frames_are_listed_and_state_is_reset(tmp_path: Path) -> None:
    """Every frame of a clip is scored; a recurrent net starts anew at each clip and image."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5, width=48, height=40, pix_fmt="bgr0")
        for seed in range(3):
            frame = av.VideoFrame.from_ndarray(picture_frame((48, 40), 3, seed), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode())
    Image.fromarray(picture_frame((40, 36), 3, 1)).save(tmp_path / "a.png")
    net = Nearest()
    scores = evaluate_model(net, read_pictures(tmp_path, 2))
    names = [image.name for image in scores.images]
    assert names == ["a.png", "clip.mkv#1", "clip.mkv#2", "clip.mkv#3"]
    assert net.resets == 2
    np.testing.assert_array_equal(
        next(image.hr for image in read_pictures(tmp_path / "clip.mkv", 2)),
        picture_frame((48, 40), 3, 0),
    )


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    """Each kind of wrong data names the file and what was expected."""
    with pytest.raises(DataError, match="no such folder"):
        list_picture_files(tmp_path / "none")
    with pytest.raises(DataError, match="holds no image"):
        list_picture_files(tmp_path)
    text = tmp_path / "x.txt"
    text.write_text("x")
    with pytest.raises(DataError, match="expected an image"):
        list_picture_files(text)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    with pytest.raises(DataError, match=r"broken\.png"):
        list(read_pictures(broken, 2))
    video = tmp_path / "broken.mp4"
    video.write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match=r"broken\.mp4"):
        list(read_pictures(video, 2))


@pytest.mark.parametrize(("scale", "least"), [(2, 16), (3, 18), (4, 20)])
def test_pictures_smaller_than_border_and_window(scale: int, least: int) -> None:
    """The smallest picture that can be scored is taken, and one pixel less is refused."""
    Picture.of("a", picture_frame((least, least), 3, 0), scale)
    with pytest.raises(DataError, match=f"expected at least {least}x{least}"):
        Picture.of("small", picture_frame((least, least - 1), 3, 0), scale)


def test_scale_mismatch_and_unknown_lr_y() -> None:
    """Pictures prepared for another scale are refused, as is an unknown --lr-y."""
    image = Picture.of("a", picture_frame((40, 36), 3, 0), 3)
    with pytest.raises(SpecError, match="prepared at x3, but the network is x2"):
        evaluate_model(Nearest(), [image])
    with pytest.raises(SpecError, match="lr-y '10bit'"):
        evaluate_model(Nearest(), [image], "10bit")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no image"):
        evaluate_model(Nearest(), [])


@pytest.mark.shared
@pytest.mark.parametrize(("name", "bicubic_db"), [("Set5", 33.68), ("Set14", 30.33)])
def test_bicubic_of_the_test_sets(name: str, bicubic_db: float) -> None:
    """Bicubic x2 gives the figures of the protocol."""
    if not SHARED.is_dir():
        pytest.skip("the test sets are not beside the repository")
    pictures = list(read_pictures(SHARED / name, 2))
    mean = np.mean([picture.bicubic_psnr_y_db for picture in pictures])
    assert mean == pytest.approx(bicubic_db, abs=0.02)
