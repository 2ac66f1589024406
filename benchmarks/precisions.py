"""What each precision costs a network: PSNR-Y from float32 down to int8, rung by rung.

    python -m benchmarks.precisions NET… --data SET… [--calib FRAMES] [--json]

NET is a shipped float network or a file; where a shipped int8 form of it exists, that is the last
rung. All are fed the same 8-bit luma, and drops are against float32.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from edgevsr.clip_scores import ClipMeans
from edgevsr.errors import EdgeVsrError
from edgevsr.evaluation import Picture, evaluate_model, read_pictures
from edgevsr.graph.half import half_weights
from edgevsr.graph.ir import Graph
from edgevsr.graph.streaming import is_recurrent
from edgevsr.quantization.calibration import load_for
from edgevsr.quantization.int16 import quantize_int16
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source
from edgevsr.zoo import calibration_frames, sample_clip, zoo_names


def rungs(name: str, graph: Graph, calib: Path | None) -> Iterator[tuple[str, Graph]]:
    """Yield (precision, network), the finest first."""
    yield "float32", graph
    yield "float16 weights", half_weights(graph)
    frames = load_for(
        graph, calib or (sample_clip() if is_recurrent(graph) else calibration_frames())
    )
    yield "w8a16", quantize_int16(graph, frames)
    nearest = Scheme(ranges="minmax", rounding="nearest", bias_correction=False, equalize=False)
    yield "int8, min-max, nearest codes", quantize_graph(graph, frames, nearest)
    yield "int8, ranges searched", quantize_graph(graph, frames, Scheme(rounding="nearest"))
    yield "int8, layers reconstructed", quantize_graph(graph, frames)
    if f"{name}-w8a8" in zoo_names():
        yield "int8, as shipped", open_source(f"{name}-w8a8").graph


def psnr_y_db(graph: Graph, pictures: list[Picture]) -> float:
    """Return the mean over pictures, or over clips, in dB."""
    score = evaluate_model(SrModel.open(graph), pictures, "8bit")
    found = ClipMeans(score.clips).to_json()["psnr_y_db"] if score.clips else score.psnr_y_db
    assert found is not None
    return float(found)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", metavar="NET")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SET")
    parser.add_argument("--calib", type=Path, metavar="FRAMES", help="LR frames or clips")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    try:
        for name in options.nets:
            graph = open_source(name).graph
            sets = {each.stem: list(read_pictures(each, graph.scale)) for each in options.data}
            rows = table[name] = {}
            for precision, form in rungs(name, graph, options.calib):
                rows[precision] = {
                    key: round(psnr_y_db(form, pictures), 3) for key, pictures in sets.items()
                }
                drops = {
                    key: round(rows["float32"][key] - value, 3)
                    for key, value in rows[precision].items()
                }
                print(f"{name}  {precision:30} {rows[precision]}  drop {drops}", file=sys.stderr)
    except EdgeVsrError as error:
        print(f"precisions: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
