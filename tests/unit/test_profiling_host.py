"""Host timing: how many frames are timed, what is fed, and which layer a profiled op belongs to."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.alignment import Motion, moved
from edgevsr.errors import SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.ir import Graph
from edgevsr.motion import motion_since
from edgevsr.profiling import host
from edgevsr.runtime import runners
from edgevsr.runtime.runners import open_runner
from edgevsr.spec import IoSpec, Runtime
from tests.graphs import quantized, sesr_graph
from tests.recurrent import rsesr_graph

SIZE = (48, 32)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=50))
def test_summary_is_ordered_and_within_the_samples(samples: list[float]) -> None:
    """Least, median and 90th percentile come in that order and lie among the samples."""
    timing = host.summarise(samples)
    assert min(samples) == timing.min_ms <= timing.p50_ms <= timing.p90_ms * (1 + 1e-12)
    assert timing.p90_ms <= max(samples) * (1 + 1e-12)
    assert timing.runs == len(samples)


def test_summary_by_hand() -> None:
    """Of 1 to 11 ms the median is 6 and the 90th percentile 10."""
    timing = host.summarise([float(ms) for ms in range(11, 0, -1)])
    assert (timing.min_ms, timing.p50_ms, timing.p90_ms) == (1, 6, 10)


def test_a_call_is_timed_in_milliseconds() -> None:
    """A sleep of 20 ms is measured as 20 ms or a little more."""
    assert 20 <= host.time_call(lambda: time.sleep(0.02)) < 200


@pytest.mark.parametrize(
    ("seconds", "min_runs", "max_seconds", "least", "most"),
    [
        (0.0, 4, 10.0, 4, 4),  # too short for min_runs: goes on
        (0.1, 1, 10.0, 2, 10),  # min_runs reached: goes on for `seconds`
        (9.0, 999, 0.1, 2, 10),  # stops at max_seconds whatever is missing
    ],
)
def test_the_number_of_runs_adapts(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    min_runs: int,
    max_seconds: float,
    least: int,
    most: int,
) -> None:
    """Enough frames for a percentile where there is time, and never more than the bound."""
    monkeypatch.setattr(host, "warm_up", lambda call: None)
    samples = host.time_calls(
        lambda: time.sleep(0.01), seconds=seconds, min_runs=min_runs, max_seconds=max_seconds
    )
    assert least <= len(samples) <= most


def test_warm_up_comes_before_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of the warm-up are not among the samples."""
    monkeypatch.setattr(host, "WARM_UP_SECONDS", 0.0)
    calls: list[int] = []
    samples = host.time_calls(lambda: calls.append(1), seconds=0, min_runs=3)
    assert len(calls) == len(samples) + host.WARM_UP_RUNS


def test_feeds_have_the_inputs_shape_type_and_range() -> None:
    """Open sizes become the frame's, in the runtime's own layout; integers use every code."""
    specs = [
        IoSpec("frame", "frame", (1, None, None, 1), "int8"),
        IoSpec("state", "state_in:0", (1, None, None, 8), "uint8"),
    ]
    frame, state = host.random_feeds(specs, SIZE, "litert")
    assert (frame.shape, frame.dtype) == ((1, 32, 48, 1), np.int8)
    assert (state.shape, state.dtype) == ((1, 32, 48, 8), np.uint8)
    assert frame.min() < -120
    assert state.max() > 247
    open_onnx = IoSpec("frame", "frame", (None, 3, None, None), "float32")
    (image,) = host.random_feeds([open_onnx], SIZE, "onnxruntime")
    assert (image.shape, image.dtype) == ((1, 3, 32, 48), np.float32)
    assert 0 <= image.min() < image.max() <= 1


def test_the_runtime_follows_the_file_unless_one_is_asked_for() -> None:
    """LiteRT for .tflite and int8, onnxruntime for float; an unknown name gets the nearest."""
    graph = sesr_graph(1, 4)
    assert host.choose_runtime(graph, Path("a.onnx"), None) == "onnxruntime"
    assert host.choose_runtime(graph, Path("a.tflite"), None) == "litert"
    assert host.choose_runtime(quantized(graph), Path("a.onnx"), None) == "litert"
    assert host.choose_runtime(quantized(graph), Path("a.onnx"), "onnxruntime") == "onnxruntime"
    with pytest.raises(SpecError, match=r"did you mean 'litert'"):
        host.choose_runtime(graph, Path("a.onnx"), "liter")


@pytest.mark.parametrize("name", ["first", "first_nchwc", "fused first", "fused first_token_12"])
def test_profiled_names_are_traced_to_their_node(name: str) -> None:
    """What onnxruntime's optimisers add to a name is undone; the warm-up run is left out."""
    graph = sesr_graph(1, 4)
    events = [
        {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur} for dur in (9000, 1000, 3000)
    ]
    events += [
        {"cat": "Session", "name": "model_run", "dur": 1},
        {"cat": "Node", "name": "ReorderInput_kernel_time", "dur": 1},
    ]
    assert host._node_medians(events, graph) == {"first": 2.0}


def test_a_fused_activation_leaves_its_time_with_the_convolution() -> None:
    """onnxruntime names a fused pair after the activation; the time is the convolution's."""
    event = {"cat": "Node", "name": "first_act_nchwc_kernel_time", "dur": 1000}
    graph = sesr_graph(1, 4)
    assert host._node_medians([{**event, "args": {"op_name": "Conv"}}], graph) == {"first": 1.0}
    alone = {**event, "args": {"op_name": "LeakyRelu"}}
    assert host._node_medians([alone], graph) == {"first_act": 1.0}


@pytest.mark.parametrize(
    "graph",
    [sesr_graph(2, 8), sesr_graph(2, 8, activation="prelu"), quantized(sesr_graph(2, 8))],
    ids=["leaky", "prelu", "int8"],
)
def test_layer_times_come_from_onnxruntimes_profiler(graph: Graph) -> None:
    """Every convolution of the graph gets a time, and the profile file is cleaned away."""
    file = host.HostFile(onnx_bytes(graph, SIZE), "onnxruntime", "emitted")
    before = set(Path.cwd().iterdir())
    found = host.onnxruntime_layer_ms(file, graph, SIZE, threads=1)
    convolutions = {node.name for node in graph.nodes if node.op == "conv2d"}
    assert convolutions <= found.keys()
    assert all(ms > 0 for ms in found.values())
    assert set(Path.cwd().iterdir()) == before


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
@pytest.mark.parametrize("cores", [1, 2])
def test_aligning_is_part_of_the_time(
    runtime: Runtime, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every frame of an aligned network has its SR before moved, in the file's own layout; the
    motion is found beside a runner that leaves a core."""
    graph = rsesr_graph(aligned=True)
    file = host.host_file(graph, Path("a net"), SIZE, runtime)
    runner = open_runner(file.data, runtime, 1)
    runner.resize(SIZE)
    shapes: list[tuple[int, ...]] = []
    threads = set()

    def count(sr: np.ndarray, starts: np.ndarray, scale: int) -> np.ndarray:
        found = moved(sr, starts, scale)
        shapes.append(found.shape)
        return found

    def find(*given: Any) -> Motion:
        threads.add(threading.current_thread())
        return motion_since(*given)

    monkeypatch.setattr(runners, "available_threads", lambda: cores)
    monkeypatch.setattr(host, "moved", count)
    monkeypatch.setattr(host, "motion_since", find)
    call = host.frame_call(file, runner, SIZE, 1)
    call()
    call()
    assert (threads == {threading.current_thread()}) == (cores == 1)
    assert shapes == [(1, SIZE[1], SIZE[0], 4)] * 2
