"""Recurrent networks in int8: the state's range goes into the weights, and nothing drifts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgevsr.errors import DataError, QuantizeError
from edgevsr.graph.ir import Graph
from edgevsr.graph.streaming import state_pairs
from edgevsr.quantization.calibration import RUN_FRAMES, load_clips, load_for
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.quantization.ranges import IMAGE
from edgevsr.quantization.recurrence import fold_states, roll
from edgevsr.runtime.model import SrModel
from tests.e2e.conftest import make_clip
from tests.graphs import Builder, cell_graph, sesr_graph
from tests.recurrent import moving_clip, rsesr_graph

CLIPS = [moving_clip()]


def psnr_db(graph: Graph, int8: Graph, frames: int = 100) -> float:
    """PSNR of the int8 stream's last ten frames against the float stream's."""
    clip = [moving_clip(frames=frames)]
    real = [sr.clip(0, 1) for _, sr in roll(graph, clip)]
    codes = [IMAGE.dequantize(sr) for _, sr in roll(int8, clip)]
    errors = [np.mean((a - b) ** 2) for a, b in zip(real[-10:], codes[-10:], strict=True)]
    return float(-10 * np.log10(np.mean(errors)))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), channels=st.sampled_from([1, 3]))
def test_folding_the_state_keeps_the_function(seed: int, channels: int) -> None:
    """Scaled states give the same SR, and every channel of the state then fills [0, 1], or as much
    of it as 64 times the widest channel's factor makes."""
    graph = rsesr_graph(channels=channels, seed=seed)
    clips = [moving_clip((20, 16), channels, 5)]
    before = list(roll(graph, clips))
    folded, feeds = fold_states(graph, [feed for feed, _ in before])
    after = list(roll(folded, clips))
    for (_, expected), (feed, got), scaled in zip(before, after, feeds, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)
        np.testing.assert_allclose(feed["state_in_0"], scaled["state_in_0"], atol=2e-5)
    states = np.concatenate([feed["state_in_0"] for feed in feeds])
    given_states = np.concatenate([feed["state_in_0"] for feed, _ in before])
    high, reached = (each.reshape(-1, each.shape[3]).max(axis=0) for each in (given_states, states))
    if high.any():
        assert np.all(reached >= 0.999 * high / np.maximum(high, high.max() / 64))
    assert float((states > 1).mean()) <= 1e-3


@pytest.mark.parametrize("scheme", [Scheme("minmax", "nearest", False), Scheme()])
def test_int8_states_are_tied_and_stay_near_the_float_stream(scheme: Scheme) -> None:
    graph = rsesr_graph(seed=3)
    int8 = quantize_graph(graph, CLIPS, scheme)
    assert int8.qparams.keys() == int8.tensors.keys()
    for name in ("frame", "previous_frame", "state_in_0", "joined", "state_out_0", "sr"):
        assert int8.qparams[name] == IMAGE
    assert psnr_db(graph, int8) > 35


def test_the_default_scheme_beats_nearest_codes_over_time() -> None:
    graph = rsesr_graph(seed=4)
    plain = quantize_graph(graph, CLIPS, Scheme("minmax", "nearest", False, False))
    assert psnr_db(graph, quantize_graph(graph, CLIPS)) > psnr_db(graph, plain)


def test_a_state_with_a_layer_of_its_own_keeps_its_own_range() -> None:
    """Where nothing joins state and frame, a signed state is taken as it is."""
    b = Builder(0)
    frame = b.input("frame", 1, "frame")
    state = b.input("state", 4, "state_in:0")
    h = b.add("sum", b.conv("of_frame", frame, 4), b.conv("of_state", state, 4))
    b.conv("next", h, 4)
    sr = b.depth_to_space("sr", b.conv("last", h, 4), 2)
    graph = b.graph((sr, "sr"), ("next", "state_out:0"), net="own", scale=2, colour="y")
    int8 = quantize_graph(graph, CLIPS)
    assert int8.qparams["state"] == int8.qparams["next"] != IMAGE
    assert psnr_db(graph, int8) > 30


def test_a_state_that_cannot_be_folded_is_refused() -> None:
    """A signed state beside the frame in a CONCAT would be clipped by luck: it is named."""
    graph = rsesr_graph()
    signed = tuple(
        replace(node, activation="none") if node.output == "state_out_0" else node
        for node in graph.nodes
    )
    with pytest.raises(QuantizeError, match=r"'state_out_0'.*not made by a convolution with a Re"):
        quantize_graph(replace(graph, nodes=signed), CLIPS)


def test_clips_of_different_sizes_and_lengths() -> None:
    graph = rsesr_graph(seed=5)
    clips = [moving_clip((20, 16), frames=3), moving_clip((24, 18), frames=5)]
    assert psnr_db(graph, quantize_graph(graph, clips, Scheme(rounding="nearest"))) > 30


def test_a_recurrent_network_wants_clips() -> None:
    with pytest.raises(QuantizeError, match="calibrated on clips"):
        quantize_graph(rsesr_graph(), list(CLIPS[0]))


def test_states_without_a_previous_frame_quantize_too() -> None:
    graph = cell_graph()
    int8 = quantize_graph(graph, CLIPS)
    assert [int8.qparams[name] for name in state_pairs(graph)[0]] == [IMAGE, IMAGE]
    assert psnr_db(graph, int8) > 30


def test_clips_come_from_videos_and_numbered_folders(tmp_path: Path) -> None:
    """Frames stay in order, runs are spread over the clips, single pictures are no clip."""
    make_clip(tmp_path / "a.mp4", frames=30)
    (tmp_path / "b").mkdir()
    for index in range(8, 12):
        picture = np.full((48, 64, 3), 20 * (index - 7), np.uint8)
        Image.fromarray(picture).save(tmp_path / "b" / f"frame_{index}.png")
    clips = load_clips(tmp_path, 1, limit=4 * RUN_FRAMES)
    assert [clip.shape for clip in clips] == [(12, 48, 64, 1), (12, 48, 64, 1), (4, 48, 64, 1)]
    means = clips[-1].mean(axis=(1, 2, 3))
    assert np.all(np.diff(means) > 0)
    assert len(load_for(rsesr_graph(), tmp_path / "b")) == 1
    assert load_for(sesr_graph(), tmp_path / "b")[0].shape == (48, 64, 1)


def test_what_holds_no_clip_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="holds no clip"):
        load_clips(tmp_path, 1)
    make_clip(tmp_path / "short.mp4", frames=1)
    with pytest.raises(DataError, match="1 frames in clips"):
        load_clips(tmp_path, 1)


def test_a_state_that_stays_zero_is_left_as_it_is() -> None:
    """Its range says nothing, and no kernel takes weights that were stretched to it."""
    dead = tuple(
        replace(node, bias=node.bias - np.float32(1e3))
        if node.output == "state_out_0" and node.bias is not None
        else node
        for node in rsesr_graph().nodes
    )
    int8 = quantize_graph(replace(rsesr_graph(), nodes=dead), CLIPS, Scheme(rounding="nearest"))
    model = SrModel.open(int8)
    frame = (CLIPS[0][0] * 255).astype(np.uint8)
    assert model.upscale_u8(frame).std() > 1
    assert (model.state["state_out:0"] == -128).all()
