"""Folders of pictures, read as 8-bit RGB."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
MAX_PIXELS = 1 << 28


def is_image(path: Path) -> bool:
    """Whether the file's suffix is one of a picture."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """Return the pictures below `folder` (or the one picture it is), sorted by path.

    Raises:
        DataError: the folder does not exist or holds no picture.
    """
    if folder.is_file() and is_image(folder):
        return [folder]
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_image(path))
    if not found:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Return the picture as RGB (H, W, 3), 0 to 255; gray is replicated, alpha dropped.

    Raises:
        DataError: the file is not a picture, is damaged, or is beyond 2^28 pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS} pixels"
                    )
                return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: is not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error
