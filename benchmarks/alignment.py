"""What an aligned network owes to its alignment: motion undone, ignored, and nothing remembered.

    python -m benchmarks.alignment NET --data FOLDER_OF_CLIPS [--size 320x180]

PSNR-Y and temporal consistency of each clip with the motion that is found, with none, and with the
network reset before every frame; and what finding the motion and moving the SR frame take on one
frame of --size, in one thread and in all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgevsr.alignment import Motion, moved, places
from edgevsr.errors import EdgeVsrError, SpecError
from edgevsr.evaluation import Picture, evaluate_model, read_pictures
from edgevsr.motion import limit_threads, motion_since
from edgevsr.profiling.host import time_calls
from edgevsr.runtime import ahead
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import moving_frames
from edgevsr.runtime.runners import available_threads
from edgevsr.sources import open_source
from edgevsr.spec import parse_size


def still(frame: Any, before: Any, scale: int) -> Motion:
    """Say that nothing moves, whatever does."""
    del before, scale
    return np.zeros((*frame.shape[:2], 2), np.int32)


@contextmanager
def without_motion() -> Iterator[None]:
    """Have networks aligned as if nothing moved."""
    ahead.motion_since = still
    try:
        yield
    finally:
        ahead.motion_since = motion_since


class Forgetful(SrModel):
    """A network for which every frame is the first."""

    def upscale_whole(self, lr: Any) -> Any:
        """Return the SR frame of `lr` alone."""
        self.reset()
        return super().upscale_whole(lr)


def scores(model: SrModel, pictures: Sequence[Picture]) -> dict[str, dict[str, float | None]]:
    """Return PSNR-Y and consistency by clip."""
    clips = [clip.to_json() for clip in evaluate_model(model, pictures).clips]
    return {
        str(clip["name"]): {key: clip[key] for key in ("psnr_y_db", "t_consistency")}
        for clip in clips
    }


def times_ms(size: tuple[int, int], scale: int) -> dict[str, float]:
    """Return median milliseconds of what the host does between two frames."""
    before, now = moving_frames(size, 1, 2)
    starts = places(motion_since(now, before, scale), scale)
    sr = np.repeat(np.repeat(before, scale, 0), scale, 1)[None]
    found = {"moving": statistics.median(time_calls(lambda: moved(sr, starts, scale)))}
    for threads in sorted({1, available_threads()}):
        limit_threads(threads)
        calls = time_calls(lambda: motion_since(now, before, scale))
        found[f"finding, {threads} threads"] = statistics.median(calls)
    return found


def main() -> int:
    """Measure and print; exit 1 where alignment brings nothing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", help="an aligned network: a file or shipped name")
    parser.add_argument("--data", type=Path, required=True, help="HR clips")
    parser.add_argument("--size", type=parse_size, default=(320, 180))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        graph = open_source(options.net).graph
        if "previous_sr" not in graph.roles.values():
            raise SpecError(f"{options.net}: is not aligned; give a network with -mc in its name")
        pictures = list(read_pictures(options.data, graph.scale))
        table = {"aligned": scores(SrModel.open(graph), pictures)}
        with without_motion():
            table["motion ignored"] = scores(SrModel.open(graph), pictures)
        table["nothing remembered"] = scores(Forgetful.open(graph), pictures)
        milliseconds = times_ms(options.size, graph.scale)
    except EdgeVsrError as error:
        print(f"alignment: error: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps({"clips": table, "host_ms": milliseconds}))
    else:
        for name, clips in table.items():
            figures = (f"{clip} {f['psnr_y_db']:.3f} dB" for clip, f in clips.items())
            print(f"{name:20} {', '.join(figures)}")
        for name, value in milliseconds.items():
            print(f"{name:20} {value:.2f} ms")
    gains = (
        (table["aligned"][clip]["psnr_y_db"] or 0.0) - (other["psnr_y_db"] or 0.0)
        for clip, other in table["motion ignored"].items()
    )
    return 0 if sum(gains) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
