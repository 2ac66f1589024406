"""Quality by the protocol: 8-bit HR, MATLAB-style bicubic LR, luma, borders left out.

HR is cropped top-left to a multiple of the scale; LR is its antialiased bicubic, rounded to 8-bit
RGB. Luma (BT.601, float64) of HR stays unrounded; SR is rounded to 8 bits whatever the network; a
border of `scale` pixels is left out. Frames of a clip are pictures too, given to the network in
order, and are scored once more as `clip_scores` says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevsr.clip_scores import ClipMeter, ClipScore, FrameScore, finite_mean, score_clips
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.cuts import CutDetector
from edgevsr.data.degrade import Degradation, crop_to_multiple, degrade, imresize, round_u8
from edgevsr.data.images import read_rgb
from edgevsr.data.listing import Clip, group_clips, list_media
from edgevsr.errors import DataError, SpecError
from edgevsr.metrics import psnr_db, ssim, ssim_map

LrY = Literal["8bit", "float"]
LR_Y: tuple[LrY, ...] = ("8bit", "float")


class Model(Protocol):
    """What evaluation needs of a network; `SrModel` has it."""

    scale: int
    channels: int

    def upscale(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the SR frame in [0, 1]."""

    def upscale_u8(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the SR frame in 0 to 255."""

    def reset(self) -> None:
        """Forget what was carried from the frames before."""


@dataclass(frozen=True)
class Picture:
    """One picture of a test set at one scale; what can be shared between networks is kept.

    `clip` names the clip it is a frame of; `starts_clip` is False for a frame that follows the one
    before it there.
    """

    name: str
    scale: int
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]
    starts_clip: bool = True
    clip: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        picture: NDArray[np.uint8],
        scale: int,
        starts_clip: bool = True,
        *,
        clip: str | None = None,
        degradation: Degradation = "bi",
    ) -> Picture:
        """Make the HR and LR of an 8-bit RGB picture (H, W, 3).

        Raises:
            DataError: the picture is too small to be scored at this scale.
        """
        hr = crop_to_multiple(picture, scale)
        least = -(-(11 + 2 * scale) // scale) * scale
        if min(hr.shape[:2]) < least:
            raise DataError(
                f"{name}: {picture.shape[1]}x{picture.shape[0]} is too small to be scored at "
                f"x{scale}; expected at least {least}x{least}"
            )
        return cls(name, scale, hr, degrade(hr, scale, degradation), starts_clip, clip)

    @cached_property
    def hr_y(self) -> NDArray[np.float64]:
        """Unrounded luma of HR."""
        return rgb_to_y(self.hr)

    @property
    def bicubic_psnr_y_db(self) -> float:
        """PSNR-Y of LR enlarged by bicubic as RGB and rounded to 8 bits."""
        return self._bicubic[0]

    @property
    def bicubic_psnr_y_db_whole(self) -> float:
        """The same with no border left out."""
        return self._bicubic[1]

    @cached_property
    def _bicubic(self) -> tuple[float, float]:
        luma = rgb_to_y(round_u8(imresize(self.lr, self.scale)))
        return psnr_db(luma, self.hr_y, self.scale), psnr_db(luma, self.hr_y)


@dataclass(frozen=True)
class ImageScore:
    """What one picture scored; an infinite PSNR means that SR equals HR.

    `frame` is what it scored as a frame of a clip. RGB figures, of RGB networks alone, are REDS4's:
    no border left out, SSIM the mean of the three channels'.
    """

    name: str
    psnr_y_db: float
    ssim_y: float
    bicubic_psnr_y_db: float
    frame: FrameScore | None = None
    psnr_rgb_db: float | None = None
    ssim_rgb: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The scores of a test set and their means; infinite PSNRs are left out of a mean."""

    images: tuple[ImageScore, ...]

    @property
    def psnr_y_db(self) -> float | None:
        """Mean PSNR-Y in dB, or None when every picture's is infinite."""
        return finite_mean([image.psnr_y_db for image in self.images])

    @property
    def bicubic_psnr_y_db(self) -> float | None:
        """Mean PSNR-Y of bicubic in dB, or None when every picture's is infinite."""
        return finite_mean([image.bicubic_psnr_y_db for image in self.images])

    @property
    def ssim_y(self) -> float:
        """Mean SSIM-Y."""
        return float(np.mean([image.ssim_y for image in self.images]))

    @property
    def psnr_rgb_db(self) -> float | None:
        """Mean PSNR in dB over R, G and B, or None for a network of luma."""
        return finite_mean([image.psnr_rgb_db for image in self.images])

    @property
    def ssim_rgb(self) -> float | None:
        """Mean SSIM over R, G and B, or None for a network of luma."""
        return finite_mean([image.ssim_rgb for image in self.images])

    @cached_property
    def clips(self) -> tuple[ClipScore, ...]:
        """The scores of the clips among them."""
        return score_clips([image.frame for image in self.images if image.frame is not None])

    @property
    def infinite(self) -> int:
        """How many pictures have an infinite PSNR."""
        return sum(not np.isfinite(image.psnr_y_db) for image in self.images)


def evaluate_model(
    model: Model,
    images: Iterable[Picture],
    lr_y: LrY = "8bit",
    on_image: Callable[[ImageScore], None] | None = None,
    *,
    reset_on_cut: bool = False,
) -> Evaluation:
    """Score a network on pictures prepared at its scale.

    `lr_y` "float" feeds Y networks the unrounded luma of LR, "8bit" the rounded one; RGB networks
    take the 8-bit LR either way. `on_image` is told of every score as it comes. A recurrent network
    starts anew with every picture and clip and, with `reset_on_cut`, with every scene.

    Raises:
        SpecError: `lr_y` is not known, a picture was prepared at another scale, or the network
            takes neither Y nor RGB.
        DataError: there is no picture.
    """
    if lr_y not in LR_Y:
        raise SpecError(f"lr-y {lr_y!r}: expected one of {', '.join(LR_Y)}")
    scores = []
    cuts, meter = CutDetector(), ClipMeter()
    for image in images:
        if image.scale != model.scale:
            raise SpecError(
                f"{image.name}: prepared at x{image.scale}, but the network is x{model.scale}"
            )
        if image.starts_clip or (reset_on_cut and cuts.is_cut(image.lr)):
            model.reset()
        if model.channels == 3:
            sr = model.upscale_u8(image.lr)
            score = _with_rgb(_score(image, rgb_to_y(sr), meter), sr, image.hr)
        else:
            score = _score(image, super_resolve_y(model, image.lr, lr_y), meter)
        scores.append(score)
        if on_image is not None:
            on_image(score)
    if not scores:
        raise DataError("no image to evaluate on")
    return Evaluation(tuple(scores))


def _score(image: Picture, sr_y: NDArray[np.float64], meter: ClipMeter) -> ImageScore:
    frame = None
    windows = ssim_map(sr_y, image.hr_y)
    border = image.scale
    if image.clip is not None:
        frame = meter.score(
            image.clip,
            image.starts_clip,
            sr_y,
            image.hr_y,
            float(windows.mean()),
            image.bicubic_psnr_y_db_whole,
        )
    return ImageScore(
        image.name,
        psnr_db(sr_y, image.hr_y, border),
        float(windows[border:-border, border:-border].mean()),
        image.bicubic_psnr_y_db,
        frame,
    )


def _with_rgb(score: ImageScore, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> ImageScore:
    """Return the score with the figures of 8-bit RGB added, to its frame's too."""
    psnr_rgb_db = psnr_db(sr, hr)
    ssim_rgb = float(np.mean([ssim(sr[..., c], hr[..., c]) for c in range(3)]))
    frame = score.frame
    if frame is not None:
        frame = replace(frame, psnr_rgb_db=psnr_rgb_db, ssim_rgb=ssim_rgb)
    return replace(score, frame=frame, psnr_rgb_db=psnr_rgb_db, ssim_rgb=ssim_rgb)


def super_resolve_y(model: Model, lr: NDArray[np.uint8], lr_y: LrY = "8bit") -> NDArray[np.float64]:
    """Return the luma (H * scale, W * scale) of the 8-bit SR of an 8-bit RGB LR (H, W, 3).

    Raises:
        SpecError: the network takes neither Y nor RGB.
    """
    if model.channels == 3:
        return rgb_to_y(model.upscale_u8(lr))
    if model.channels != 1:
        raise SpecError(f"the network has {model.channels} image channels; expected 1 (Y) or 3")
    luma = rgb_to_y(lr)[..., None]
    if lr_y == "8bit":
        sr = model.upscale_u8(round_u8(luma))
    else:
        sr = round_u8(model.upscale((luma / 255.0).astype(np.float32)).astype(np.float64) * 255.0)
    return sr[..., 0].astype(np.float64)


def list_picture_files(data: Path) -> list[Path]:
    """Return the pictures and videos below a folder (or the one file given), sorted by path.

    Raises:
        DataError: there is none, or the path does not exist.
    """
    return list_media(data)


def read_pictures(
    data: Path, scale: int, files: Sequence[Path] = (), degradation: Degradation = "bi"
) -> Iterator[Picture]:
    """Yield the pictures of a folder or file, and every frame of its clips, one at a time.

    Pictures are named by their path below `data`, frames of videos as `clip.mkv#1`. What a clip is
    says `edgevsr.data.listing`.

    Raises:
        DataError: there is none, or one cannot be read, is too small, or differs in size from the
            clip it belongs to.
    """
    for found in group_clips(data, files or list_media(data)):
        if isinstance(found, Clip):
            yield from _frames(data, found, scale, degradation)
        else:
            name = _name(data, found)
            yield Picture.of(name, read_rgb(found), scale, degradation=degradation)


def _frames(data: Path, clip: Clip, scale: int, degradation: Degradation) -> Iterator[Picture]:
    for number, frame in enumerate(clip.frames(), start=1):
        label = clip.labels[number - 1] if clip.labels else f"{_name(data, clip.files[0])}#{number}"
        starts = number == 1
        yield Picture.of(label, frame, scale, starts, clip=clip.name, degradation=degradation)


def _name(data: Path, path: Path) -> str:
    return path.name if path == data else path.relative_to(data).as_posix()


_FRAME_COLUMNS = (
    "clip", "psnr_y_db_crop0", "psnr_y_db_crop8", "ssim_y_crop0", "t_consistency",
)  # fmt: skip


def scores_csv(evaluation: Evaluation) -> str:
    """Return the scores as CSV with a header, a row a picture and a last row of means.

    An infinite PSNR is an empty field. Where there are clips, their frames' own scores follow in
    further columns: the curve over time of each.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = _FRAME_COLUMNS if evaluation.clips else ()
    writer.writerow(["name", "psnr_y_db", "ssim_y", "bicubic_psnr_y_db", *columns])
    for image in evaluation.images:
        fields = (image.psnr_y_db, image.ssim_y, image.bicubic_psnr_y_db)
        row = [image.name, *map(_field, fields)]
        writer.writerow([*row, *(_frame_fields(image.frame) if columns else ())])
    means = (evaluation.psnr_y_db, evaluation.ssim_y, evaluation.bicubic_psnr_y_db)
    writer.writerow(["mean", *map(_field, means), *[""] * len(columns)])
    return text.getvalue()


def _frame_fields(frame: FrameScore | None) -> list[str]:
    if frame is None:
        return [""] * len(_FRAME_COLUMNS)
    fields = (frame.psnr_y_db, frame.psnr_y_db_crop8, frame.ssim_y, frame.t_consistency)
    return [frame.clip, *map(_field, fields)]


def finite_or_none(value: float | None) -> float | None:
    """Return a number that JSON can hold, or None for an infinite one."""
    return value if value is not None and np.isfinite(value) else None


def _field(value: float | None) -> str:
    number = finite_or_none(value)
    return "" if number is None else f"{number:.6f}"
