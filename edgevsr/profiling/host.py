"""Measures a network on this host: the file in its own runtime, timed frame by frame."""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.alignment import Places, moved, places
from edgevsr.errors import DeviceError, SpecError, nearest
from edgevsr.graph.ir import Graph
from edgevsr.graph.streaming import state_pairs
from edgevsr.motion import motion_since
from edgevsr.profiling.work import RIDING_OPS
from edgevsr.runtime.probe import moving_frames
from edgevsr.spec import RUNTIMES, IoSpec, Runtime

if TYPE_CHECKING:
    from edgevsr.runtime.runners import Runner

WARM_UP_SECONDS, WARM_UP_RUNS = 0.5, 2
SECONDS, MIN_RUNS, MAX_SECONDS = 3.0, 10, 30.0


@dataclass(frozen=True)
class Timing:
    """Latency of one frame in milliseconds over `runs` frames; `std_ms` is of the sample."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float
    runs: int


@dataclass(frozen=True)
class HostFile:
    """What is run: a file as it is, or one emitted from the graph, and how it came about.

    `feedback` lists, for each state of a recurrent network, the output that becomes an input of
    the next frame, as (output, input) positions; `aligned` likewise where its SR does, moved.
    """

    data: Path | bytes
    runtime: Runtime
    how: str
    feedback: tuple[tuple[int, int], ...] = ()
    aligned: tuple[int, int] | None = None
    scale: int = 1

    @property
    def suffix(self) -> str:
        """What the names of files of this runtime end in."""
        return ".tflite" if self.runtime == "litert" else ".onnx"


def choose_runtime(graph: Graph, path: Path, asked: str | None) -> Runtime:
    """Return the runtime asked for, else the one a file or graph of this kind runs in.

    Raises:
        SpecError: no runtime of that name.
    """
    if asked is None:
        return "litert" if path.suffix == ".tflite" or graph.quantized else "onnxruntime"
    for runtime in RUNTIMES:
        if asked == runtime:
            return runtime
    raise SpecError(
        f"runtime {asked!r} is not known{nearest(asked, RUNTIMES)}; "
        f"expected one of {', '.join(RUNTIMES)}"
    )


def host_file(graph: Graph, path: Path, size: tuple[int, int], runtime: Runtime) -> HostFile:
    """Return the file itself where the runtime opens it at this size, else the graph re-emitted.

    Raises:
        ExportError: the graph cannot be written for the runtime.
    """
    feedback = tuple(
        (graph.outputs.index(output), graph.inputs.index(state))
        for state, output in state_pairs(graph)
    )
    file = replace(_host_file(graph, path, size, runtime), feedback=feedback, scale=graph.scale)
    if "previous_sr" not in graph.roles.values():
        return file
    positions = (
        graph.outputs.index(graph.output_of("sr")),
        graph.inputs.index(graph.input_of("previous_sr")),
    )
    return replace(file, aligned=positions)


def _host_file(graph: Graph, path: Path, size: tuple[int, int], runtime: Runtime) -> HostFile:
    frame = f"{size[0]}x{size[1]}"
    if runtime == "litert":
        if path.suffix == ".tflite":
            resized = "" if graph.size == size else f", its input resized to {frame}"
            return HostFile(path, runtime, f"runs {path.name} itself{resized}")
        from edgevsr.exporters.targets import load_target, lower
        from edgevsr.exporters.tflite import tflite_bytes

        io = "int8" if graph.quantized else "float"
        data = tflite_bytes(lower(graph, load_target("tflite")), size, io=io)
        return HostFile(data, runtime, f"runs the network emitted as .tflite at {frame}, {io} I/O")
    if path.suffix == ".onnx" and graph.size in (None, size):
        return HostFile(path, runtime, f"runs {path.name} itself")
    from edgevsr.exporters.onnx import onnx_bytes

    return HostFile(
        onnx_bytes(graph, size), runtime, f"runs the network emitted as .onnx at {frame}"
    )


def measure(file: HostFile, size: tuple[int, int], threads: int) -> Timing:
    """Return the latency of one LR frame of `size` (width, height), warm, on random pixels.

    A recurrent network is given the state that it made of the frame before: handing it out and
    back is part of the time, and so is aligning the SR frame before where it takes that.

    Raises:
        SourceError: the runtime refuses the file.
        DeviceError: the runtime is missing, or cannot run the file at this size.
    """
    from edgevsr.runtime.runners import open_runner

    runner = open_runner(file.data, file.runtime, threads)
    runner.resize(size)
    return summarise(time_calls(frame_call(file, runner, size, threads)))


def frame_call(
    file: HostFile, runner: Runner, size: tuple[int, int], threads: int
) -> Callable[[], object]:
    """Return a call that runs one frame of random pixels, states going on from call to call.

    The motion that an aligned network undoes is that of a picture under a moving camera. Where the
    runner's `threads` leave a core it is found beside the network, as for videos, whose frames are
    known before their turn; else before it.
    """
    from edgevsr.runtime.runners import available_threads

    feeds = random_feeds(runner.inputs, size, file.runtime)
    for _, position in file.feedback:
        zero = runner.inputs[position].zero_point or 0
        feeds[position] = np.full_like(feeds[position], zero)

    scene = moving_frames(size, 1, 2) if file.aligned else []
    aside = ThreadPoolExecutor(1) if file.aligned and threads < available_threads() else None

    def find() -> Places:
        return places(motion_since(scene[1], scene[0], file.scale), file.scale)

    def run() -> None:
        found = aside.submit(find) if aside else None
        outputs = runner.run(feeds)
        for made, given in file.feedback:
            feeds[given] = outputs[made]
        if file.aligned is not None:
            made, given = file.aligned
            sr = outputs[made]
            starts = found.result() if found else find()
            if file.runtime == "onnxruntime":
                blocks = moved(sr.transpose(0, 2, 3, 1), starts, file.scale)
                feeds[given] = np.ascontiguousarray(blocks.transpose(0, 3, 1, 2))
            else:
                feeds[given] = moved(sr, starts, file.scale)

    return run


def random_feeds(
    inputs: Sequence[IoSpec], size: tuple[int, int], runtime: str
) -> list[NDArray[Any]]:
    """Return random arrays of each input's shape and type; open sizes become the frame's."""
    rng = np.random.default_rng(0)
    width, height = size
    open_sizes = (1, height, width, None) if runtime != "onnxruntime" else (1, None, height, width)
    feeds: list[NDArray[Any]] = []
    for spec in inputs:
        shape = tuple(
            fixed if fixed is not None else opened or 1
            for fixed, opened in zip(spec.shape, open_sizes, strict=True)
        )
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            feeds.append(rng.random(shape, np.float32).astype(dtype))
        else:
            info = np.iinfo(dtype)
            feeds.append(rng.integers(info.min, info.max, shape, dtype, endpoint=True))
    return feeds


def time_calls(
    call: Callable[[], object],
    *,
    seconds: float = SECONDS,
    min_runs: int = MIN_RUNS,
    max_seconds: float = MAX_SECONDS,
) -> list[float]:
    """Return the milliseconds of each call after a warm-up.

    Calls go on for `seconds`, longer where that is too short for `min_runs`, and stop at
    `max_seconds` whatever the count.
    """
    warm_up(call)
    samples: list[float] = []
    start = time.perf_counter()
    while True:
        samples.append(time_call(call))
        spent = time.perf_counter() - start
        if spent >= max_seconds or (spent >= seconds and len(samples) >= min_runs):
            return samples


def warm_up(call: Callable[[], object]) -> None:
    """Call until caches, clocks and lazily made buffers have settled."""
    start, runs = time.perf_counter(), 0
    while runs < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_SECONDS:
        call()
        runs += 1


def time_call(call: Callable[[], object]) -> float:
    """Return the milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def summarise(samples_ms: Sequence[float]) -> Timing:
    """Return median, percentiles (linear between samples), mean, extremes and spread."""
    return Timing(
        p50_ms=statistics.median(samples_ms),
        p90_ms=float(np.percentile(samples_ms, 90)),
        p95_ms=float(np.percentile(samples_ms, 95)),
        mean_ms=statistics.fmean(samples_ms),
        min_ms=min(samples_ms),
        max_ms=max(samples_ms),
        std_ms=statistics.stdev(samples_ms) if len(samples_ms) > 1 else 0.0,
        runs=len(samples_ms),
    )


def onnxruntime_layer_ms(
    file: HostFile, graph: Graph, size: tuple[int, int], threads: int, runs: int = 5
) -> dict[str, float]:
    """Return the median milliseconds of each node by name, from onnxruntime's own profiler.

    A node that the runtime fused into another, or runs under another name, is absent. Profiling
    slows the run, so these are not summed into the latency.

    Raises:
        SourceError: onnxruntime refuses the file.
        DeviceError: onnxruntime cannot run it.
    """
    import onnxruntime

    from edgevsr.runtime.runners import open_runner

    inputs = open_runner(file.data, "onnxruntime", threads).inputs
    feeds = random_feeds(inputs, size, "onnxruntime")
    named = {spec.name: feed for spec, feed in zip(inputs, feeds, strict=True)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    options.log_severity_level = 4
    model = file.data if isinstance(file.data, bytes) else str(file.data)
    with tempfile.TemporaryDirectory(prefix="edgevsr-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "ort")
        try:
            session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
            for _ in range(runs + 1):
                session.run(None, named)
            events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise DeviceError(
                f"onnxruntime cannot profile this file ({' '.join(str(error).split())[:200]})"
            ) from error
    return _node_medians(events, graph)


def _node_medians(events: Sequence[Mapping[str, Any]], graph: Graph) -> dict[str, float]:
    """Return the median milliseconds of each graph node that a profiled event can be traced to."""
    nodes = {node.output: node for node in graph.nodes}
    names = {output: node.name for output, node in nodes.items()}
    names |= {node.name: node.name for node in graph.nodes}
    # A convolution with its activation fused in goes by the name of what the activation makes.
    fused = {
        node.name: nodes[node.inputs[0]].name
        for node in graph.nodes
        if node.op in RIDING_OPS and node.inputs[0] in nodes
    }
    samples: dict[str, list[float]] = {}
    for event in events:
        title = str(event.get("name", ""))
        if event.get("cat") != "Node" or not title.endswith("_kernel_time"):
            continue
        name = names.get(_original_name(title.removesuffix("_kernel_time")))
        if name is None:
            continue
        if "Conv" in str(event.get("args", {}).get("op_name", "")):
            name = fused.get(name, name)
        samples.setdefault(name, []).append(float(event["dur"]) / 1e3)
    # The first run of each is the warm-up.
    return {name: statistics.median(ms[1:] or ms) for name, ms in samples.items()}


def _original_name(name: str) -> str:
    """Undo what onnxruntime's optimisers add to a node's name."""
    name = re.sub(r"_token_\d+$", "", name).removeprefix("fused ")
    return name.removesuffix("_nchwc")
