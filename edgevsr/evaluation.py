"""Quality by the protocol: 8-bit HR, MATLAB-style bicubic LR, luma, borders left out.

HR is cropped top-left to a multiple of the scale; LR is its antialiased bicubic, rounded to 8-bit
RGB. Luma (BT.601, float64) of HR stays unrounded; SR is rounded to 8 bits whatever the network; a
border of `scale` pixels is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import is_video, read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import crop_to_multiple, degrade, imresize, round_u8
from edgevsr.data.images import is_image, read_rgb
from edgevsr.errors import DataError, SpecError
from edgevsr.metrics import psnr_db, ssim

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

    `starts_clip` is False for a frame that follows the one before it in a video.
    """

    name: str
    scale: int
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]
    starts_clip: bool = True

    @classmethod
    def of(
        cls, name: str, picture: NDArray[np.uint8], scale: int, starts_clip: bool = True
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
        return cls(name, scale, hr, degrade(hr, scale), starts_clip)

    @cached_property
    def hr_y(self) -> NDArray[np.float64]:
        """Unrounded luma of HR."""
        return rgb_to_y(self.hr)

    @cached_property
    def bicubic_psnr_y_db(self) -> float:
        """PSNR-Y of LR enlarged by bicubic as RGB and rounded to 8 bits."""
        enlarged = round_u8(imresize(self.lr, self.scale))
        return psnr_db(rgb_to_y(enlarged), self.hr_y, self.scale)


@dataclass(frozen=True)
class ImageScore:
    """What one picture scored; an infinite PSNR means that SR equals HR."""

    name: str
    psnr_y_db: float
    ssim_y: float
    bicubic_psnr_y_db: float


@dataclass(frozen=True)
class Evaluation:
    """The scores of a test set and their means; infinite PSNRs are left out of a mean."""

    images: tuple[ImageScore, ...]

    @property
    def psnr_y_db(self) -> float | None:
        """Mean PSNR-Y in dB, or None when every picture's is infinite."""
        return _finite_mean([image.psnr_y_db for image in self.images])

    @property
    def bicubic_psnr_y_db(self) -> float | None:
        """Mean PSNR-Y of bicubic in dB, or None when every picture's is infinite."""
        return _finite_mean([image.bicubic_psnr_y_db for image in self.images])

    @property
    def ssim_y(self) -> float:
        """Mean SSIM-Y."""
        return float(np.mean([image.ssim_y for image in self.images]))

    @property
    def infinite(self) -> int:
        """How many pictures have an infinite PSNR."""
        return sum(not np.isfinite(image.psnr_y_db) for image in self.images)


def evaluate_model(
    model: Model,
    images: Iterable[Picture],
    lr_y: LrY = "8bit",
    on_image: Callable[[ImageScore], None] | None = None,
) -> Evaluation:
    """Score a network on pictures prepared at its scale.

    `lr_y` "float" feeds Y networks the unrounded luma of LR, "8bit" the rounded one; RGB networks
    take the 8-bit LR either way. `on_image` is told of every score as it comes.

    Raises:
        SpecError: `lr_y` is not known, a picture was prepared at another scale, or the network
            takes neither Y nor RGB.
        DataError: there is no picture.
    """
    if lr_y not in LR_Y:
        raise SpecError(f"lr-y {lr_y!r}: expected one of {', '.join(LR_Y)}")
    scores = []
    for image in images:
        if image.scale != model.scale:
            raise SpecError(
                f"{image.name}: prepared at x{image.scale}, but the network is x{model.scale}"
            )
        if image.starts_clip:
            model.reset()
        sr_y = super_resolve_y(model, image.lr, lr_y)
        score = ImageScore(
            image.name,
            psnr_db(sr_y, image.hr_y, image.scale),
            ssim(sr_y, image.hr_y, image.scale),
            image.bicubic_psnr_y_db,
        )
        scores.append(score)
        if on_image is not None:
            on_image(score)
    if not scores:
        raise DataError("no image to evaluate on")
    return Evaluation(tuple(scores))


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
    if data.is_file():
        if not (is_image(data) or is_video(data)):
            raise DataError(f"{data}: expected an image, a video or a folder of them")
        return [data]
    if not data.is_dir():
        raise DataError(f"{data}: no such folder or file")
    files = (path for path in data.rglob("*") if path.is_file())
    found = sorted(path for path in files if is_image(path) or is_video(path))
    if not found:
        raise DataError(f"{data}: holds no image and no video")
    return found


def read_pictures(data: Path, scale: int, files: Sequence[Path] = ()) -> Iterator[Picture]:
    """Yield the pictures of a folder or file, and every frame of its videos, one at a time.

    Pictures are named by their path below `data`, frames as `clip.mkv#1`.

    Raises:
        DataError: there is none, or one cannot be read or is too small.
    """
    for path in files or list_picture_files(data):
        name = path.name if path == data else path.relative_to(data).as_posix()
        if is_image(path):
            yield Picture.of(name, read_rgb(path), scale)
            continue
        for number, frame in enumerate(read_frames(path), start=1):
            yield Picture.of(f"{name}#{number}", frame, scale, starts_clip=number == 1)


def scores_csv(evaluation: Evaluation) -> str:
    """Return the scores as CSV with a header, a row a picture and a last row of means.

    An infinite PSNR is an empty field.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "psnr_y_db", "ssim_y", "bicubic_psnr_y_db"])
    for image in evaluation.images:
        fields = (image.psnr_y_db, image.ssim_y, image.bicubic_psnr_y_db)
        writer.writerow([image.name, *map(_field, fields)])
    means = (evaluation.psnr_y_db, evaluation.ssim_y, evaluation.bicubic_psnr_y_db)
    writer.writerow(["mean", *map(_field, means)])
    return text.getvalue()


def finite_or_none(value: float | None) -> float | None:
    """Return a number that JSON can hold, or None for an infinite one."""
    return value if value is not None and np.isfinite(value) else None


def _field(value: float | None) -> str:
    number = finite_or_none(value)
    return "" if number is None else f"{number:.6f}"


def _finite_mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
