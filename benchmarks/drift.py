"""Drift of recurrent networks: a clip played back and forth for a thousand frames, float and int8.

    python benchmarks/drift.py FLOAT INT8 --data city.mkv
    python benchmarks/drift.py FLOAT INT8 --data city.mkv --runtime onnxruntime --frames 2000

The drop is PSNR-Y of the float network minus that of the int8 one, frame by frame on the same 8-bit
LR; its means over the first and the last hundred frames are compared. Exits with 1 when the last
lose more than 0.05 dB over the first, or the state clips more than 0.1 % of its values.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgevsr.drift import FRAMES, measure_drift
from edgevsr.errors import EdgeVsrError
from edgevsr.evaluation import read_pictures
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source
from edgevsr.tables import facts, show


def main() -> int:
    """Measure, print, and return whether the bounds were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("float", metavar="FLOAT", help="the float network: a file or shipped name")
    parser.add_argument("int8", metavar="INT8", help="its int8 form")
    parser.add_argument("--data", type=Path, required=True, help="an HR clip")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--runtime", help="of the int8 form; default LiteRT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        real = SrModel.open(open_source(options.float).graph)
        int8 = SrModel.open(open_source(options.int8).graph, runtime=options.runtime)
        pictures = list(read_pictures(options.data, real.scale))
        drift = measure_drift(real, int8, pictures, options.frames)
    except EdgeVsrError as error:
        print(f"drift: error: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(drift.to_json(), indent=2))
    else:
        show(
            facts(
                {
                    "clip": f"{drift.clip}, {drift.frames} frames back and forth",
                    "drop, first 100": f"{drift.drop_first_db:.3f} dB",
                    "drop, last 100": f"{drift.drop_last_db:.3f} dB ({drift.growth_db:+.3f})",
                    "state clipped": f"{100 * drift.state_saturated:.4f} %",
                    "fall, standing still": f"{drift.standing_fall_db:.3f} dB",
                }
            )
        )
    return 0 if drift.passed else 1


if __name__ == "__main__":
    sys.exit(main())
