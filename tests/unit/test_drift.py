"""Drift over a long clip: what is counted, and what it would catch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edgevsr.drift import MAX_SATURATED, MAX_STANDING_FALL_DB, back_and_forth, measure_drift
from edgevsr.errors import SpecError
from edgevsr.evaluation import Picture
from edgevsr.graph.ir import Graph
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import moving_frames
from tests.graphs import Builder, sesr_graph
from tests.recurrent import moving_clip, rsesr_graph

FLOAT = rsesr_graph(seed=2)
INT8 = quantize_graph(FLOAT, [moving_clip((48, 40))], Scheme(rounding="nearest"))
PICTURES = [
    Picture.of(f"c#{n}", frame, 2, n == 0, clip="c")
    for n, frame in enumerate(moving_frames((48, 40), 3, 12))
]


def test_a_clip_goes_back_and_forth_without_a_jump() -> None:
    order = list(back_and_forth(4, 12))
    assert order == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert all(abs(a - b) == 1 for a, b in pairwise(order))


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_a_thousand_frames_do_not_drift(runtime: str) -> None:
    """The drop of the last hundred frames is that of the first, and the state hardly clips."""
    found = measure_drift(SrModel.open(FLOAT), SrModel.open(INT8, runtime=runtime), PICTURES)
    assert (found.clip, found.frames) == ("c", 1000)
    assert found.passed, found
    assert found.state_saturated <= MAX_SATURATED
    assert found.to_json()["growth_db"] == found.drop_last_db - found.drop_first_db


def test_a_state_that_clips_is_counted() -> None:
    """A state pushed to its highest code shows in the share, in either runtime."""
    nodes = tuple(
        replace(node, bias=node.bias + (1 << 24))
        if node.output == "state_out_0" and node.bias is not None
        else node
        for node in INT8.nodes
    )
    loud = replace(INT8, nodes=nodes)
    shares = [
        measure_drift(
            SrModel.open(FLOAT), SrModel.open(loud, runtime=runtime), PICTURES, 200
        ).state_saturated
        for runtime in ("litert", "onnxruntime")
    ]
    assert shares == [1.0, 1.0]


def feeding_on_itself(gain: float) -> Graph:
    """A network whose SR is the frame, a little detail, and `gain` of the detail before."""
    b = Builder()
    frame, before = b.input("frame", 1, "frame"), b.input("previous_sr", 4, "previous_sr")
    joined = b.node("concat", "joined", (frame, before), 5)
    sum_ = b.add("image_residual", b.conv("detail", joined, 4, k=1), frame)
    graph = b.graph((b.depth_to_space("sr", sum_, 2), "sr"), net="rsesr", scale=2, colour="y")
    weight = np.zeros((4, 1, 1, 5), np.float32)
    weight[:, 0, 0, 0], weight[range(4), 0, 0, range(1, 5)] = -gain, gain
    bias = np.array([-0.02, 0.01, 0.02, -0.01], np.float32)
    nodes = (
        replace(node, weight=weight, bias=bias) if node.name == "detail" else node
        for node in graph.nodes
    )
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(("gain", "steady"), [(0.1, True), (1.1, False)])
def test_sharpening_without_end_shows_where_nothing_moves(gain: float, steady: bool) -> None:
    real = feeding_on_itself(gain)
    int8 = quantize_graph(real, [moving_clip((48, 40))], Scheme(rounding="nearest"))
    found = measure_drift(SrModel.open(real), SrModel.open(int8), PICTURES, 200)
    assert (found.standing_fall_db <= MAX_STANDING_FALL_DB) == steady, found
    if not steady:
        assert not found.passed


def test_what_cannot_drift_is_refused() -> None:
    real, int8 = SrModel.open(FLOAT), SrModel.open(INT8)
    for models, pictures, frames in (
        ((real, int8), PICTURES[:1], 1000),
        ((real, int8), PICTURES, 100),
        ((int8, int8), PICTURES, 1000),
        ((SrModel.open(sesr_graph(m=1)), SrModel.open(FLOAT)), PICTURES, 1000),
    ):
        with pytest.raises(SpecError, match="drift"):
            measure_drift(*models, pictures, frames)
