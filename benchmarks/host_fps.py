"""Frames a second on this host: our networks and their peers, interleaved in one run.

    python benchmarks/host_fps.py                                    the shipped networks
    python benchmarks/host_fps.py NET… --size 640x360 --threads 2 --peer OTHER.tflite

Every contender runs once a round, so that a busy moment of the machine slows all alike; the table
gives medians and, against each peer, the median of the ratios within a round. A peer's .tflite runs
at its own size only. Bicubic runs in one thread, as both libraries do for a single plane.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevsr.errors import EdgeVsrError
from edgevsr.profiling.host import frame_call, host_file, random_feeds, time_call, warm_up
from edgevsr.runtime.runners import available_threads, open_runner
from edgevsr.sources import open_source
from edgevsr.spec import parse_size

NETS = ("sesr-m5-x2-w8a8", "sesr-m5-x2", "fsrcnn-x2-w8a8", "fsrcnn-x2")
SIZES = ("640x360", "1920x1080")
LATENCY = Path(__file__).resolve().parents[2] / "shared" / "data" / "latency"
PEERS = ("ETDS/M5C16_X2.tflite", "ESPCN/X2.tflite", "FSRCNN/X2.tflite")
BICUBIC = ("bicubic swscale", "bicubic Pillow")


@dataclass(frozen=True)
class Contender:
    """Something that super-resolves one frame when called."""

    name: str
    call: Callable[[], object]
    peer: bool = False


def network(source: str, size: tuple[int, int], runtime: str, threads: int) -> Contender:
    """Return a network in a runtime, as `edgevsr profile --on host` would run it."""
    stage = open_source(source)
    assert runtime in ("litert", "onnxruntime")
    file = host_file(stage.graph, stage.path, size, runtime)
    runner = open_runner(file.data, runtime, threads)
    runner.resize(size)
    return Contender(f"{stage.name} {runtime}", frame_call(file, runner, size, threads))


def peer_file(path: Path, threads: int) -> tuple[Contender, tuple[int, int]]:
    """Return a published .tflite as it is, and the frame size it is made for."""
    runner = open_runner(path, "litert", threads)
    _, height, width, _ = (int(length or 0) for length in runner.inputs[0].shape)
    feeds = random_feeds(runner.inputs, (width, height), "litert")
    name = f"{path.parent.name} {path.stem} litert"
    return Contender(name, lambda: runner.run(feeds), peer=True), (width, height)


def bicubic(name: str, size: tuple[int, int], scale: int = 2) -> Contender:
    """Return bicubic ×2 of one 8-bit plane, what a player does without a network."""
    width, height = size
    plane = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    wide, high = width * scale, height * scale
    if name == "bicubic Pillow":
        from PIL import Image

        image = Image.fromarray(plane)
        return Contender(name, lambda: image.resize((wide, high), Image.Resampling.BICUBIC), True)
    import av
    from av.video.reformatter import VideoReformatter

    frame = av.VideoFrame.from_ndarray(plane, format="gray")
    scaler = VideoReformatter()
    return Contender(
        name,
        lambda: scaler.reformat(frame, wide, high, format="gray", interpolation="BICUBIC"),
        peer=True,
    )


def interleave(
    contenders: Sequence[Contender], seconds: float, min_rounds: int
) -> list[list[float]]:
    """Return the milliseconds of every contender in every round."""
    for contender in contenders:
        warm_up(contender.call)
    rounds: list[list[float]] = []
    spent = 0.0
    while len(rounds) < min_rounds or spent < seconds * 1e3:
        rounds.append([time_call(contender.call) for contender in contenders])
        spent += sum(rounds[-1])
    return rounds


def gather(
    size: tuple[int, int], nets: Sequence[str], peers: Sequence[Path], options: argparse.Namespace
) -> list[Contender]:
    """Return everything that runs at this size; a network that cannot is said on stderr."""
    contenders = [bicubic(name, size) for name in BICUBIC]
    for path in peers:
        contender, own_size = peer_file(path, options.threads)
        if own_size == size:
            contenders.append(contender)
    for net in nets:
        for runtime in options.runtime:
            try:
                contenders.append(network(net, size, runtime, options.threads))
            except EdgeVsrError as error:
                print(f"{net} {runtime}: {error}", file=sys.stderr)
    return contenders


def compare(
    size: tuple[int, int], contenders: Sequence[Contender], options: argparse.Namespace
) -> dict[str, object]:
    """Measure every contender; print the table and return it as JSON values."""
    rounds = interleave(contenders, options.seconds, options.rounds)
    columns = list(zip(*rounds, strict=True))
    peers = {c.name: ms for c, ms in zip(contenders, columns, strict=True) if c.peer}
    frame = f"{size[0]}x{size[1]}"
    print(f"\n{frame} ×2, {options.threads} threads, {len(rounds)} rounds")
    print(f"{'':34}{'p50 ms':>9}{'min ms':>9}{'FPS':>8}   time over: {' | '.join(peers)}")
    rows: list[dict[str, object]] = []
    for contender, ms in zip(contenders, columns, strict=True):
        median = statistics.median(ms)
        over = {
            peer: statistics.median(a / b for a, b in zip(ms, other, strict=True))
            for peer, other in peers.items()
        }
        ratios = " | ".join(f"{ratio:.2f}" for ratio in over.values())
        print(f"{contender.name:34}{median:9.2f}{min(ms):9.2f}{1e3 / median:8.1f}   {ratios}")
        rows.append({"name": contender.name, "latency_ms": median, "latency_ms_min": min(ms)})
        rows[-1] |= {"fps": 1e3 / median, "over": over}
    return {"size": frame, "threads": options.threads, "rounds": len(rounds), "rows": rows}


def main() -> None:
    """Run the comparison at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*", default=list(NETS), metavar="SOURCE")
    parser.add_argument("--size", action="append", help=f"default {' and '.join(SIZES)}")
    parser.add_argument("--runtime", action="append", choices=("litert", "onnxruntime"))
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--peer", action="append", type=Path, help="a .tflite, at its own size")
    parser.add_argument("--seconds", type=float, default=20.0, help="least time a size")
    parser.add_argument("--rounds", type=int, default=10, help="least rounds a size")
    parser.add_argument("--json", type=Path, help="write the tables there too")
    options = parser.parse_args()
    options.runtime = options.runtime or ["litert", "onnxruntime"]
    peers = options.peer or [LATENCY / name for name in PEERS if (LATENCY / name).is_file()]
    tables = []
    for size in map(parse_size, options.size or SIZES):
        tables.append(compare(size, gather(size, options.nets, peers, options), options))
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except EdgeVsrError as error:
        sys.exit(f"host_fps: {error}")
