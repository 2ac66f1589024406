"""Measures how well `edgevsr upscale` overlaps decode, net and encode.

One run: the net alone (wall), decode, net and encode alone (CPU seconds of the process, all their
threads), then the whole upscale (wall, from the first frame decoded to the file closed; the net is
opened before) of the same clip. The bound is
max(net alone, CPU seconds of decode + net + encode / cores), and the ratio is wall over bound.
It holds on a machine with nothing else to do: where others take the cores, `cores_got_by_upscale`
is low, and only `cpu_ratio`, the CPU seconds of the whole over those of its parts, still tells.

    python benchmarks/upscale_overlap.py [--input CLIP] [--net SOURCE] [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgevsr import open_source, upscale
from edgevsr.runtime.model import SrModel
from edgevsr.video.encoders import choose_encoder
from edgevsr.video.paths import Lr, LumaPath, RgbPath, Target
from edgevsr.video.planes import colour_tags
from edgevsr.video.sink import VideoSink
from edgevsr.video.source import VideoSource
from edgevsr.zoo import sample_clip

LIMIT = 1.15


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return (wall, CPU) seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def decode_alone(path: Path) -> None:
    """Decode every frame and let it go."""
    with VideoSource.open(path) as source:
        for _ in source.steps(()):
            pass


def net_alone(model: SrModel, frames: list[np.ndarray]) -> None:
    """Run the net over frames that lie in memory."""
    for frame in frames:
        model.upscale_u8(frame)


def encode_alone(sink: VideoSink, frames: list[Any]) -> None:
    """Encode SR frames that lie in memory."""
    for frame in frames:
        sink.write_frame(frame)
    sink.finish()


def measure(path: Path, net: str, folder: Path) -> dict[str, float]:
    """Return the seconds of each part alone and of the whole, and their ratio."""
    output = folder / "out.mp4"
    with VideoSource.open(path) as source:
        stage = open_source(net)
        artifact = stage.path if stage.kind == "tflite" else stage.graph
        model = SrModel.open(artifact, size=source.size)
        size = source.size[0] * model.scale, source.size[1] * model.scale
        encoder = choose_encoder(None, None, output, size)
        tags = colour_tags(source.first, source.codec)
        target = Target(
            size, encoder.frame_format, encoder.factors, model.scale, tags, source.siting
        )
        way = LumaPath(target) if model.channels == 1 else RgbPath(target)
        lrs: list[Lr] = [
            way.split(step.frame, step.pts) for step in source.steps(()) if step.frame is not None
        ]
        for lr in lrs[:3]:
            model.upscale_u8(lr.pixels)
        net_wall, net_cpu = timed(lambda: net_alone(model, [lr.pixels for lr in lrs]))
        cpu = time.process_time()
        whole_wall = upscale(path, output=output, net=net, force=True).seconds
        whole_cpu = time.process_time() - cpu
        frames = [way.join(lr, model.upscale_u8(lr.pixels)) for lr in lrs]
        with VideoSink(folder / "alone.mp4", source, target, encoder) as sink:
            _, encode_cpu = timed(lambda: encode_alone(sink, frames))
    _, decode_cpu = timed(lambda: decode_alone(path))
    cores = len(os.sched_getaffinity(0))
    bound = max(net_wall, (decode_cpu + net_cpu + encode_cpu) / cores)
    return {
        "frames": len(lrs),
        "cores": cores,
        "decode_cpu_seconds": decode_cpu,
        "net_cpu_seconds": net_cpu,
        "net_seconds": net_wall,
        "encode_cpu_seconds": encode_cpu,
        "upscale_cpu_seconds": whole_cpu,
        "upscale_seconds": whole_wall,
        "bound_seconds": bound,
        "ratio": whole_wall / bound,
        "cpu_ratio": whole_cpu / (decode_cpu + net_cpu + encode_cpu),
        "cores_got_by_net": net_cpu / net_wall,
        "cores_got_by_upscale": whole_cpu / whole_wall,
    }


def main() -> None:
    """Measure and print one JSON object a run, then the verdict of the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=sample_clip())
    parser.add_argument("--net", default="sesr-m5-x2-w8a8")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for _ in range(options.repeat):
        with tempfile.TemporaryDirectory() as folder:
            result = measure(options.input, options.net, Path(folder))
        print(json.dumps({key: round(value, 3) for key, value in result.items()}))
        ratios.append(result["ratio"])
    verdict = "met" if min(ratios) <= LIMIT else "missed"
    print(f"wall / bound: {min(ratios):.3f} (best of {len(ratios)}), limit {LIMIT}: {verdict}")


if __name__ == "__main__":
    main()
