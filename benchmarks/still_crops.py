"""Crops of the stills on which int8 loses most: bicubic, float, int8, and the original.

    python -m benchmarks.still_crops NET… --data FOLDER… [--count 3] -o crops.png

NET is a shipped float network whose int8 form ships too; both are fed the same 8-bit luma. Every
picture is ranked by the PSNR-Y that int8 loses on it, and each of the worst is shown where int8
adds most squared error, flat places left out. SR luma lies on the chroma of bicubic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import imresize, round_u8
from edgevsr.errors import DataError, EdgeVsrError
from edgevsr.evaluation import Picture, read_pictures, super_resolve_y
from edgevsr.metrics import psnr_db
from edgevsr.picture import CROP, Panel, Rgb, crop_columns
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source

Luma = NDArray[np.float64]

#: Twice as near as the crops of clips: what int8 does is small.
NEARER = 2
#: Width and height of what is shown, in HR pixels.
WINDOW = (CROP[0] // NEARER, CROP[1] // NEARER)
#: Windows begin at every fourth pixel.
_STRIDE = 4
_PRINTED = 10


@dataclass(frozen=True)
class Case:
    """A picture, and the luma that both forms of a network make of it."""

    name: str
    picture: Picture
    float_y: Luma
    int8_y: Luma

    @cached_property
    def psnr_y_db(self) -> tuple[float, float]:
        """PSNR-Y in dB of float and int8, as the protocol has it."""
        truth, border = self.picture.hr_y, self.picture.scale
        return psnr_db(self.float_y, truth, border), psnr_db(self.int8_y, truth, border)

    @property
    def lost_db(self) -> float:
        """What int8 loses against float."""
        return self.psnr_y_db[0] - self.psnr_y_db[1]


def cases(net: str, folders: Sequence[Path]) -> Iterator[Case]:
    """Yield every picture of the folders, enlarged by a network's float and int8 form.

    Raises:
        EdgeVsrError: a form does not ship, or a folder holds no picture.
    """
    float_net, int8_net = (SrModel.open(open_source(f"{net}{end}").graph) for end in ("", "-w8a8"))
    for folder in folders:
        for picture in read_pictures(folder, float_net.scale):
            for model in (float_net, int8_net):
                model.reset()
            float_y, int8_y = (super_resolve_y(m, picture.lr) for m in (float_net, int8_net))
            yield Case(f"{folder.name}/{picture.name}", picture, float_y, int8_y)


def hardest_window(case: Case) -> tuple[int, int]:
    """Return the (left, top) where int8 has most squared error beyond float's.

    Only the half of the windows that have more detail counts; errors are hard to see elsewhere.

    Raises:
        DataError: the picture is smaller than a window.
    """
    border = case.picture.scale
    inner = slice(border, -border)
    truth, float_y, int8_y = (
        luma[inner, inner] for luma in (case.picture.hr_y, case.float_y, case.int8_y)
    )
    if truth.shape[1] < WINDOW[0] or truth.shape[0] < WINDOW[1]:
        raise DataError(f"{case.name}: smaller than the {WINDOW[0]}x{WINDOW[1]} of a crop")
    added = _means((int8_y - truth) ** 2 - (float_y - truth) ** 2)
    detail = _means(np.hypot(*np.gradient(truth)))
    added[detail < np.median(detail)] = -np.inf
    top, left = (int(i) for i in np.unravel_index(int(added.argmax()), added.shape))
    return left * _STRIDE + border, top * _STRIDE + border


def _means(values: Luma) -> Luma:
    windows = sliding_window_view(values, WINDOW[::-1])[::_STRIDE, ::_STRIDE]
    means: Luma = windows.mean(axis=(2, 3))
    return means


def strip(net: str, case: Case) -> Image.Image:
    """Return a row of the sheet, each version with the PSNR-Y of its crop."""
    left, top = hardest_window(case)
    window = slice(top, top + WINDOW[1]), slice(left, left + WINDOW[0])
    truth = case.picture.hr_y[window]
    bicubic = round_u8(imresize(case.picture.lr, case.picture.scale))
    panels = [
        Panel(f"{label}, {psnr_db(luma[window], truth):.2f} dB", _near(rgb[window]))
        for label, luma, rgb in (
            ("bicubic", rgb_to_y(bicubic), bicubic),
            ("float", case.float_y, _coloured(bicubic, case.float_y)),
            ("int8", case.int8_y, _coloured(bicubic, case.int8_y)),
        )
    ]
    panels.append(Panel("original", _near(case.picture.hr[window])))
    float_db, int8_db = case.psnr_y_db
    note = (
        f"{net}, {case.name}: float {float_db:.2f} dB, int8 {int8_db:.2f} dB; "
        f"{WINDOW[0]}x{WINDOW[1]} pixels at {left}, {top}"
    )
    return crop_columns(note, panels, [(0, 0)])


def _coloured(bicubic: Rgb, luma: Luma) -> Rgb:
    """Return bicubic RGB with its luma replaced: one difference added to R, G and B."""
    return round_u8(bicubic + ((luma - rgb_to_y(bicubic)) * (255.0 / 219.0))[..., None])


def _near(pixels: Rgb) -> Rgb:
    return pixels.repeat(NEARER, axis=0).repeat(NEARER, axis=1)


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Return strips of one width below each other."""
    sheet = Image.new("RGB", (strips[0].width, sum(each.height for each in strips)))
    top = 0
    for each in strips:
        sheet.paste(each, (0, top))
        top += each.height
    return sheet


def main(argv: Sequence[str] | None = None) -> int:
    """Print the worst pictures of each network and draw their crops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", metavar="NET", help="shipped names")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=3, help="pictures shown for each network")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(argv)
    if options.count < 1:
        parser.error(f"--count {options.count}: expected 1 or more")
    if options.output.suffix.lower() != ".png":
        parser.error(f"--output {options.output}: expected a .png")
    strips = []
    try:
        for net in options.nets:
            most = max(options.count, _PRINTED)
            worst = nlargest(most, cases(net, options.data), key=lambda case: case.lost_db)
            print(f"{net}: int8 loses most on")
            for case in worst:
                float_db, int8_db = case.psnr_y_db
                print(f"{case.lost_db:8.3f} dB  {case.name}  {float_db:.3f} -> {int8_db:.3f}")
            strips += [strip(net, case) for case in worst[: options.count]]
    except EdgeVsrError as error:
        print(f"still_crops: error: {error}", file=sys.stderr)
        return error.exit_code
    stack(strips).save(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
