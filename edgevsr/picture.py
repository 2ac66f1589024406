"""The side-by-side picture: bicubic | SR over a whole frame, and zoomed crops with the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Rgb = NDArray[np.uint8]

#: Width and height of a crop in HR pixels.
CROP = (104, 72)
_ZOOM = 4
_GAP = 12
_MARGIN = 24
_LABEL = 34
_TITLE = 84
_PAPER, _INK, _SOFT = (250, 250, 248), (28, 28, 30), (110, 110, 116)
_MARKS = ((230, 96, 20), (0, 120, 200), (20, 140, 80))
_COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One version of the frame, uint8 RGB (H, W, 3), with what is written above it."""

    label: str
    pixels: Rgb


def hardest_windows(reference: Rgb, other: Rgb, count: int) -> list[tuple[int, int]]:
    """Return the (left, top) of `count` separate windows where `other` is furthest off.

    Windows are those of the crops; none touches another one's neighbourhood, so that they show
    different things.
    """
    error = ((reference.astype(np.float64) - other) ** 2).sum(axis=2)
    width, height = CROP
    total = np.pad(error, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = (
        total[height:, width:] - total[:-height, width:]
        - total[height:, :-width] + total[:-height, :-width]
    )  # fmt: skip
    found = []
    for _ in range(count):
        top, left = (int(i) for i in np.unravel_index(int(sums.argmax()), sums.shape))
        found.append((left, top))
        sums[
            max(0, top - 2 * height) : top + 2 * height, max(0, left - 2 * width) : left + 2 * width
        ] = -1.0
    return found


def side_by_side(
    title: str, note: str, bicubic: Panel, sr: Panel, original: Panel, crops: int = 2
) -> Image.Image:
    """Return the picture: two whole frames, and under them crops of all three at 4×.

    The crops are where bicubic is furthest from the original; each pixel of theirs is one pixel
    of the frame, enlarged without smoothing.
    """
    crop_width, crop_height = CROP[0] * _ZOOM, CROP[1] * _ZOOM
    width = 2 * _MARGIN + _COLUMNS * crop_width + (_COLUMNS - 1) * _GAP
    frame_width = (width - 2 * _MARGIN - _GAP) // 2
    frame_height = round(frame_width * original.pixels.shape[0] / original.pixels.shape[1])
    crops_top = _TITLE + _LABEL + frame_height + _GAP
    height = crops_top + _LABEL + crops * (crop_height + _GAP) + _MARGIN - _GAP
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 16), title, fill=_INK, font=_font(26))
    draw.text((_MARGIN, 52), note, fill=_SOFT, font=_font(15))

    windows = hardest_windows(original.pixels, bicubic.pixels, crops)
    for column, panel in enumerate((bicubic, sr)):
        left = _MARGIN + column * (frame_width + _GAP)
        _label(draw, (left, _TITLE), panel.label)
        frame = Image.fromarray(panel.pixels).resize(
            (frame_width, frame_height), Image.Resampling.LANCZOS
        )
        canvas.paste(frame, (left, _TITLE + _LABEL))
        _mark(draw, windows, (left, _TITLE + _LABEL), frame_width / panel.pixels.shape[1])
    for column, panel in enumerate((bicubic, sr, original)):
        left = _MARGIN + column * (crop_width + _GAP)
        _label(draw, (left, crops_top), panel.label)
        for row, (x, y) in enumerate(windows):
            place = (left, crops_top + _LABEL + row * (crop_height + _GAP))
            canvas.paste(_enlarged(panel.pixels, x, y), place)
            corner = (place[0] + crop_width - 1, place[1] + crop_height - 1)
            draw.rectangle((place, corner), outline=_MARKS[row % len(_MARKS)], width=3)
    return canvas


def crop_columns(
    note: str, panels: Sequence[Panel], windows: Sequence[tuple[int, int]]
) -> Image.Image:
    """Return the crops at the (left, top) of `windows`, a column for each version of the frame."""
    crop_width, crop_height = CROP[0] * _ZOOM, CROP[1] * _ZOOM
    width = 2 * _MARGIN + len(panels) * (crop_width + _GAP) - _GAP
    top = 40 + _LABEL
    height = top + len(windows) * (crop_height + _GAP) + _MARGIN - _GAP
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 14), note, fill=_SOFT, font=_font(15))
    for column, panel in enumerate(panels):
        left = _MARGIN + column * (crop_width + _GAP)
        _label(draw, (left, 40), panel.label)
        for row, (x, y) in enumerate(windows):
            canvas.paste(_enlarged(panel.pixels, x, y), (left, top + row * (crop_height + _GAP)))
    return canvas


def _enlarged(pixels: Rgb, left: int, top: int) -> Image.Image:
    crop = Image.fromarray(pixels[top : top + CROP[1], left : left + CROP[0]])
    return crop.resize((CROP[0] * _ZOOM, CROP[1] * _ZOOM), Image.Resampling.NEAREST)


def _mark(
    draw: ImageDraw.ImageDraw,
    windows: Sequence[tuple[int, int]],
    origin: tuple[int, int],
    factor: float,
) -> None:
    """Outline on a whole frame where the crops come from."""
    for row, (x, y) in enumerate(windows):
        left, top = origin[0] + x * factor, origin[1] + y * factor
        box = (left, top, left + CROP[0] * factor, top + CROP[1] * factor)
        draw.rectangle(box, outline=_MARKS[row % len(_MARKS)], width=2)


def _label(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str) -> None:
    draw.text((place[0], place[1] + 7), text, fill=_INK, font=_font(18))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
