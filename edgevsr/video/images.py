"""Single images: PNG, JPEG, WebP and BMP, with their alpha, orientation and colour profile."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.colour import rgb_to_y
from edgevsr.errors import DataError, SpecError
from edgevsr.files import atomic_path
from edgevsr.video.chroma import Grid, resample

Float = NDArray[np.float32]
SuperResolve = Callable[[Float], Float]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_WITH_ALPHA = (".png", ".webp")
_MAX_PIXELS = 1 << 27
_LUMA_SWING = 219.0
_WHOLE = (Grid(1), Grid(1))
_PIXEL_X, _PIXEL_Y, _EXIF_IFD = 0xA002, 0xA003, 0x8769


@dataclass(frozen=True)
class Picture:
    """An 8-bit image: colour (H, W, 3) or gray (H, W, 1), alpha (H, W) or None, and the rest.

    Pixels lie as they are stored; the EXIF orientation in `extras` turns them on display.
    """

    colour: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    extras: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.colour.shape[1], self.colour.shape[0]


def is_image(path: Path) -> bool:
    """Whether the suffix is one of an image that is read and written here."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_picture(path: Path) -> Picture:
    """Return the image at `path`.

    Raises:
        DataError: there is no such file, or it is damaged, animated, of more than 8 bits a
            channel, CMYK, or beyond 2^27 pixels.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise DataError(f"{path}: no such file; give an image or a video")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG", "WEBP", "BMP")) as image:
                _check(path, image)
                image.load()
                return _picture(image)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not a PNG, JPEG, WebP or BMP image") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def _check(path: Path, image: Any) -> None:
    if image.width * image.height > _MAX_PIXELS:
        raise DataError(f"{path}: {image.width}x{image.height} is more than {_MAX_PIXELS} pixels")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise DataError(f"{path}: is animated; convert it to a video first, such as .mkv with ffv1")
    if image.mode == "CMYK":
        raise DataError(f"{path}: is CMYK; convert it to RGB first")
    deep = image.mode[:1] in "IF" or any(";16" in str(tile[3]) for tile in image.tile)
    if deep:
        raise DataError(
            f"{path}: has more than 8 bits a channel, and the nets work on 8; convert it first"
        )


def _picture(image: Any) -> Picture:
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    is_gray = image.mode in ("L", "LA", "La", "1")
    extras = {key: image.info[key] for key in ("icc_profile", "dpi") if image.info.get(key)}
    exif = image.getexif()
    converted = image.convert({(True, True): "LA", (True, False): "L", (False, True): "RGBA"}.get(
        (is_gray, has_alpha), "RGB"
    ))  # fmt: skip
    values = np.asarray(converted)
    values = values[:, :, None] if values.ndim == 2 else values
    alpha = values[:, :, -1] if has_alpha else None
    if len(exif):
        extras["exif"] = exif
    return Picture(values[:, :, :-1] if has_alpha else values, alpha, extras)


def upscale_picture(picture: Picture, net: SuperResolve, channels: int, scale: int) -> Picture:
    """Return the SR picture; `net` maps (H, W, channels) in [0, 1] to `scale` times the size.

    A net of one channel gets BT.601 luma, 16 to 235 over 255, as in training; chroma is bicubic.
    Alpha is bicubic.
    """
    gray = picture.colour.shape[2] == 1
    if channels == 1:
        colour = _luma_sr(picture.colour, net, scale)
    else:
        rgb = np.repeat(picture.colour, 3, axis=2) if gray else picture.colour
        sr = 255.0 * net(rgb.astype(np.float32) / np.float32(255.0))
        colour = sr.mean(axis=2, keepdims=True) if gray else sr
    alpha = picture.alpha
    if alpha is not None:
        alpha = resample(alpha, _times(picture.size, scale), _WHOLE, _WHOLE, scale)
    return Picture(_round_u8(colour), alpha, _resized(picture.extras, scale))


def _luma_sr(colour: NDArray[np.uint8], net: SuperResolve, scale: int) -> Float:
    """Return bicubic RGB whose luma is the net's.

    Adding one difference to R, G and B changes Y alone, so Cb and Cr stay those of bicubic.
    """
    luma = _luma(colour)
    sr = 255.0 * net((luma / np.float32(255.0))[:, :, None])
    size = _times((colour.shape[1], colour.shape[0]), scale)
    if colour.shape[2] == 1:
        return (sr - 16.0) * np.float32(255.0 / _LUMA_SWING)
    bicubic = np.stack([_bicubic(colour[:, :, c], size) for c in range(3)], axis=2)
    return bicubic + (sr - _luma(bicubic)[:, :, None]) * np.float32(255.0 / _LUMA_SWING)


def _luma(colour: NDArray[Any]) -> Float:
    if colour.shape[2] == 1:
        return 16.0 + colour[:, :, 0].astype(np.float32) * np.float32(_LUMA_SWING / 255.0)
    return rgb_to_y(colour).astype(np.float32)


def _bicubic(plane: NDArray[np.uint8], size: tuple[int, int]) -> Float:
    from PIL import Image

    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def _times(size: tuple[int, int], scale: int) -> tuple[int, int]:
    return size[0] * scale, size[1] * scale


def _round_u8(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def _resized(extras: dict[str, Any], scale: int) -> dict[str, Any]:
    """Return the extras with EXIF's own record of the size brought up to date."""
    exif = extras.get("exif")
    if exif is not None:
        details = exif.get_ifd(_EXIF_IFD)
        for key in (_PIXEL_X, _PIXEL_Y):
            if isinstance(details.get(key), int):
                details[key] *= scale
    return extras


def check_can_hold(path: Path, picture: Picture) -> None:
    """Refuse an output whose format cannot hold the picture.

    Raises:
        SpecError: the format has no alpha and the picture has.
    """
    if picture.alpha is not None and path.suffix.lower() not in _WITH_ALPHA:
        raise SpecError(f"{path}: {path.suffix} has no alpha; write a .png or .webp")


def write_picture(picture: Picture, path: Path, force: bool) -> None:
    """Write the image, whole or not at all, in the format of its suffix.

    PNG and WebP are lossless; JPEG is quality 95 with full chroma.

    Raises:
        SpecError: the format has no alpha and the picture has.
        OutputError: the output exists, or the disk is full or not writable.
    """
    from PIL import Image

    check_can_hold(path, picture)
    suffix = path.suffix.lower()
    planes = [picture.colour]
    if picture.alpha is not None:
        planes.append(picture.alpha[:, :, None])
    values = np.concatenate(planes, axis=2)
    image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
    options: dict[str, Any] = dict(picture.extras)
    if suffix in (".jpg", ".jpeg"):
        options |= {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        options |= {"lossless": True, "exact": True}
    with atomic_path(path, force) as temporary:
        image.save(temporary, **options)
