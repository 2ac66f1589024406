"""Pages of drawn text, lines and shapes: what screens, slides and subtitles show and photographs
do not.

    python -m edgevsr.data.drawn FOLDER [--count 40] [--side 512]

writes them as PNG, for `train --data` beside photographs. Strokes from black to white within two
pixels reach further in every layer than a photograph does; a network that never saw any blurs them,
and ranges that were chosen without saturate on them. The letters are Pillow's own font (Aileron,
CC0), so the pages are the same for the same version of Pillow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgevsr.errors import EdgeVsrError, OutputError

Colour = tuple[int, int, int]

_WORDS = (
    "edge", "device", "frame", "super", "resolution", "video", "24", "fps", "budget", "int8",
    "scale", "layer", "camera", "phone", "quality", "time", "light", "motion", "picture", "narrow",
    "network", "memory", "3840", "2160", "(c)", "100", "%", "Q&A", "e-mail:", "7:30", "pm",
)  # fmt: skip
_SIZES = (11, 13, 16, 20, 26, 36, 48)
_LINE_SPACING = 1.35


def page(seed: int, side: int = 512) -> Image.Image:
    """Return one RGB page of `side` × `side` pixels, dark on light or light on dark."""
    rng = np.random.default_rng(seed)
    dark = rng.random() < 0.4
    ground = _shade(rng, dark)
    ink = _shade(rng, not dark)
    image = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(image)
    top = int(rng.integers(0, 12))
    while top < side:
        kind = rng.random()
        if kind < 0.75:
            top += _text(draw, rng, top, ink)
        elif kind < 0.88:
            top += _rule(draw, rng, top, ink, side)
        else:
            top += _shape(draw, rng, top, ink, side)
    return image


def _shade(rng: np.random.Generator, dark: bool) -> Colour:
    """Return black or white as often as another dark or light colour."""
    if rng.random() < 0.5:
        return (0, 0, 0) if dark else (255, 255, 255)
    return _colour(rng, *((0, 80) if dark else (190, 256)))


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def _text(draw: ImageDraw.ImageDraw, rng: np.random.Generator, top: int, ink: Colour) -> int:
    """Draw a line of words and return its height."""
    size = int(rng.choice(_SIZES))
    text = " ".join(rng.choice(_WORDS, 24))
    if rng.random() < 0.2:
        text = text.upper()
    fill = ink if rng.random() < 0.8 else _colour(rng)
    font = ImageFont.load_default(size)
    draw.text((int(rng.integers(-20, 30)), top), text, font=font, fill=fill)
    return int(size * _LINE_SPACING)


def _rule(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, top: int, ink: Colour, side: int
) -> int:
    """Draw a line, level or nearly so, and return its height."""
    left, right, slope = (int(value) for value in rng.integers((0, 0, -6), (60, 60, 7)))
    draw.line((left, top, side - right, top + slope), fill=ink, width=int(rng.integers(1, 4)))
    return 8


def _shape(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, top: int, ink: Colour, side: int
) -> int:
    """Draw a box or an ellipse, filled or not, and return its height."""
    height, left = int(rng.integers(16, 50)), int(rng.integers(0, side // 2))
    box = (left, top, left + int(rng.integers(30, side // 2)), top + height)
    fill = _colour(rng) if rng.random() < 0.5 else None
    shape = draw.rectangle if rng.random() < 0.6 else draw.ellipse
    shape(box, fill=fill, outline=ink, width=int(rng.integers(1, 4)))
    return height + 6


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages."""
    parser = argparse.ArgumentParser(description="Write pages of drawn text, lines and shapes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--side", type=int, default=512, help="pixels")
    options = parser.parse_args(argv)
    if options.count < 1 or options.side < 64:
        parser.error("expected --count of 1 or more and --side of 64 or more")
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        for index in range(options.count):
            page(index, options.side).save(options.folder / f"drawn_{index:03}.png")
    except OSError as error:
        failed: EdgeVsrError = OutputError(f"{options.folder}: cannot be written ({error})")
        print(f"edgevsr: error: {failed}", file=sys.stderr)
        return failed.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
