"""Crops of one frame of a clip: bicubic, some networks, and the original.

    python -m benchmarks.clip_crops NET… --data CLIP --frame 20 -o crops.png

Networks see the clip from its start, so a recurrent one has its memory. Luma is theirs, or the
picture's for RGB networks; crops show luma, where bicubic is furthest from the original.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import imresize, round_u8
from edgevsr.errors import DataError, EdgeVsrError
from edgevsr.evaluation import read_pictures, super_resolve_y
from edgevsr.metrics import psnr_db
from edgevsr.picture import Panel, crop_columns, hardest_windows
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source

Luma = NDArray[np.float64]


def grey(luma: Luma) -> NDArray[np.uint8]:
    """Return studio-swing luma as full-swing grey RGB."""
    level = np.clip((luma - 16.0) * 255.0 / 219.0, 0, 255).round().astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=2)


def main() -> int:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", metavar="NET", help="files or shipped names, one scale")
    parser.add_argument("--data", type=Path, required=True, help="an HR clip")
    parser.add_argument("--frame", type=int, default=20)
    parser.add_argument("--crops", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        models = {name: SrModel.open(open_source(name).graph) for name in options.nets}
        scale = next(iter(models.values())).scale
        clip = list(read_pictures(options.data, scale))[: options.frame + 1]
        if len(clip) <= options.frame:
            raise DataError(f"--frame {options.frame}: the clip has {len(clip)} frames")
        last = clip[-1]
        lumas = {"bicubic": rgb_to_y(round_u8(imresize(last.lr, scale)))}
        for name, model in models.items():
            for picture in clip:
                lumas[name] = super_resolve_y(model, picture.lr)
    except EdgeVsrError as error:
        print(f"clip_crops: error: {error}", file=sys.stderr)
        return error.exit_code
    panels = [
        Panel(f"{name}, {psnr_db(luma, last.hr_y):.2f} dB", grey(luma))
        for name, luma in lumas.items()
    ]
    panels.append(Panel("original", grey(last.hr_y)))
    windows = hardest_windows(panels[-1].pixels, panels[0].pixels, options.crops)
    note = f"{options.data.name}, frame {options.frame}, x{scale}, luma"
    crop_columns(note, panels, windows).save(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
