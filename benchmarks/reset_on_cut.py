"""What --reset-on-cut brings: scenes of clips that alternate, with the state kept and forgotten.

    python -m benchmarks.reset_on_cut NET --data FOLDER_OF_CLIPS [--scene 8]

The clips are cropped to their common size. PSNR-Y of the first frames after a cut, and of all
frames; and how the detector did: cuts found, and frames taken for one that are none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgevsr.data.cuts import CutDetector
from edgevsr.errors import DataError, EdgeVsrError
from edgevsr.evaluation import Picture, evaluate_model, read_pictures
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source

AFTER = (1, 2, 4)


def scenes(pictures: Sequence[Picture], length: int) -> tuple[list[Picture], list[int]]:
    """Return one clip of scenes, `length` frames of each clip in turn, and where they begin."""
    clips: dict[str | None, list[Picture]] = {}
    for picture in pictures:
        clips.setdefault(picture.clip, []).append(picture)
    if len(clips) < 2:
        raise DataError("one clip has no cuts; expected two or more")
    height, width = (min(p.hr.shape[i] for p in pictures) for i in (0, 1))
    mixed, begins = [], []
    for start in range(0, min(map(len, clips.values())) - length + 1, length):
        for frames in clips.values():
            begins.append(len(mixed))
            mixed += frames[start : start + length]
    cropped = [
        Picture.of(p.name, p.hr[:height, :width], p.scale, not index, clip="scenes")
        for index, p in enumerate(mixed)
    ]
    return cropped, begins[1:]


def main() -> int:
    """Measure and print; exit 1 where forgetting is worse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", help="a recurrent network: a file or shipped name")
    parser.add_argument("--data", type=Path, required=True, help="HR clips")
    parser.add_argument("--scene", type=int, default=8, help="frames of a scene")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        model = SrModel.open(open_source(options.net).graph)
        clip, cuts = scenes(list(read_pictures(options.data, model.scale)), options.scene)
        db = {
            name: [
                image.psnr_y_db for image in evaluate_model(model, clip, reset_on_cut=reset).images
            ]
            for name, reset in (("kept", False), ("reset", True))
        }
    except EdgeVsrError as error:
        print(f"reset_on_cut: error: {error}", file=sys.stderr)
        return error.exit_code
    detector = CutDetector()
    found = [index for index, picture in enumerate(clip) if detector.is_cut(picture.lr)]
    values: dict[str, float | int] = {
        "frames": len(clip),
        "cuts": len(cuts),
        "found": len(set(found) & set(cuts)),
        "false": len(set(found) - set(cuts) - {0}),
    }
    for count in AFTER:
        after = [cut + i for cut in cuts for i in range(count)]
        gain = np.mean([db["reset"][i] - db["kept"][i] for i in after])
        values[f"gain_first_{count}_db"] = round(float(gain), 4)
    everywhere = np.mean(np.subtract(db["reset"], db["kept"]))
    values["gain_db"] = round(float(everywhere), 4)
    if options.json:
        print(json.dumps(values))
    else:
        for key, value in values.items():
            print(f"{key:16} {value}")
    return 0 if values["gain_first_1_db"] >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
