"""Recurrent cells: one clip at once, frame by frame, wide or narrow, is one function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from edgevsr.collapsing import collapse_net, narrow_graph
from edgevsr.errors import SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.streaming import inputs_by_role
from edgevsr.nets.ops import RecurrentNet
from edgevsr.nets.registry import build, net_spec

CELLS = [
    "rsesr-f8-m2-s5", "rsesr-f6-m1-s3-rgb", "rrn-6-2", "rsesr-f8-m2-mc", "rsesr-f6-m1-s3-mc-rgb",
    "rsesr-f8-m2-s5-ecb", "rsesr-f8-m2-dw-mc",
]  # fmt: skip


def random_cell(name: str, scale: int = 2, seed: int = 0) -> RecurrentNet:
    """A cell whose biases and wide weights are anything but zero."""
    torch.manual_seed(seed)
    net = build(replace(net_spec(name, scale), expansion=16))
    assert isinstance(net, RecurrentNet)
    with torch.no_grad():
        for key, value in net.named_parameters():
            if key.endswith(("bias", "filtered.scale")):
                value.normal_(std=0.1)
            if key == "first.expand.weight":  # a new one does not read the state yet
                value.normal_(std=0.06)
    return net


def random_clip(net: RecurrentNet, frames: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, frames, net.spec.channels, 10, 13)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", CELLS)
def test_a_clip_at_once_is_its_frames_in_turn(name: str, scale: int) -> None:
    net = random_cell(name, scale)
    clip = random_clip(net, 4, batch=2)
    with torch.no_grad():
        whole = net(clip)
        before: dict[str, torch.Tensor] = {}
        for index in range(4):
            before = net.step(clip[:, index], before)
            torch.testing.assert_close(before["sr"], whole[:, index], rtol=0, atol=1e-6)
            assert all(float(x.min()) >= 0.0 for role, x in before.items() if "state" in role)
        expanded = net.set_form("expanded")(clip)
    assert whole.shape == (2, 4, net.spec.channels, 10 * scale, 13 * scale)
    torch.testing.assert_close(expanded, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_onnxruntime_streams_what_the_wide_network_gives(name: str) -> None:
    """A hundred frames, state fed back, stay within a hundredth of an 8-bit step."""
    net = random_cell(name)
    clip = random_clip(net, 100)
    with torch.no_grad():
        expected = net.set_form("expanded")(clip)[0].numpy()
    graph = narrow_graph(net)
    session = onnxruntime.InferenceSession(onnx_bytes(graph))
    names, roles = list(graph.outputs), graph.roles
    before: dict[str, np.ndarray] = {}
    for frame, wanted in zip(clip[0].numpy(), expected, strict=True):
        nhwc = frame.transpose(1, 2, 0)[None]
        inputs = inputs_by_role(graph, nhwc, before).items()
        made = session.run(
            names, {graph.input_of(role): x.transpose(0, 3, 1, 2) for role, x in inputs}
        )
        outputs = (x.transpose(0, 2, 3, 1) for x in made)
        before = dict(zip((roles[name] for name in names), outputs, strict=True))
        assert np.abs(before["sr"][0].transpose(2, 0, 1) - wanted).max() <= 0.01 / 255
        before["frame"] = nhwc


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_collapses_within_the_bound(name: str) -> None:
    net = random_cell(name)
    collapsed = collapse_net(net)
    assert 0 < collapsed.max_abs_err <= 1e-5
    roles = collapsed.graph.roles
    taken = {"frame", "previous_frame"} | ({"previous_sr"} if "-mc" in name else set())
    states = net.spec.options["num_state"] > 0
    assert {roles[name] for name in collapsed.graph.inputs} == taken | (
        {"state_in:0"} if states else set()
    )
    assert {roles[name] for name in collapsed.graph.outputs} == {"sr"} | (
        {"state_out:0"} if states else set()
    )
    # GPU delegates corrupt an output that the graph also reads, and a state that passes through.
    assert not {*collapsed.graph.outputs} & {
        read for node in collapsed.graph.nodes for read in node.inputs
    }


def test_the_light_form_of_rrn_has_the_published_weights() -> None:
    """MobileRRN, ×4 on RGB with 16 channels and 5 blocks: 35,664 weights with biases."""
    graph = narrow_graph(build(net_spec("rrn-16-5-rgb", 4)))
    biases = sum(node.bias.size for node in graph.nodes if node.bias is not None)
    assert graph.params + biases == 35_664
    assert graph.params * 320 * 180 / 1e9 == pytest.approx(2.04, abs=0.005)


def test_sizes_that_matter_keep_their_budgets() -> None:
    """GMAC a frame: ×4 at 320×180 up to 2.04 and 1.0, ×2 at 640×360 up to SESR-M5's 3.115."""
    for name, scale, size, limit in (
        ("rsesr-f24-m5-s12", 4, (320, 180), 2.04),
        ("rsesr-f16-m5-s11", 4, (320, 180), 1.0),
        ("rsesr-f16-m4-s11", 2, (640, 360), 3.115),
        ("rsesr-f24-m5-mc", 4, (320, 180), 2.04),
        ("rsesr-f16-m5-mc", 4, (320, 180), 1.0),
        ("rsesr-f16-m5-mc", 2, (640, 360), 3.115),
    ):
        params = narrow_graph(build(net_spec(name, scale))).params
        assert 0.9 * limit <= params * size[0] * size[1] / 1e9 <= limit


def test_the_window_bounds_how_far_gradients_reach() -> None:
    net = random_cell("rsesr-f8-m2-s5")

    def reach(window: int) -> list[bool]:
        clip = random_clip(net, 6).requires_grad_()
        net(clip, window)[:, -1].sum().backward()
        assert clip.grad is not None
        return [bool(frame.abs().max() > 0) for frame in clip.grad[0]]

    assert all(reach(0))
    assert reach(2) == [False, False, False, False, True, True]  # detached before the fifth


def test_a_clip_of_one_frame_starts_from_nothing() -> None:
    net = random_cell("rsesr-f8-m2-s5")
    frame = torch.rand(1, 1, 10, 13)
    with torch.no_grad():
        torch.testing.assert_close(net(frame), net.step(frame, {})["sr"], rtol=0, atol=1e-6)


def test_names_spell_out_any_structure() -> None:
    spec = net_spec("rsesr-f20-m2-s16-rgb", 4)
    assert spec.options == {"num_feat": 20, "num_block": 2, "num_state": 16}
    assert (spec.colour, spec.activation, spec.channels) == ("rgb", "relu", 3)
    assert net_spec("sesr-f24-m5", 4).options == {"num_feat": 24, "num_block": 5}
    assert net_spec("sesr-f24-m5", 4).activation == "leaky"
    aligned = net_spec("rsesr-f24-m5-mc", 4)
    assert aligned.options == {"num_feat": 24, "num_block": 5, "num_state": 0, "aligned": 1}
    assert aligned.activation == "relu"
    separable = net_spec("rsesr-f24-m5-s12-dw-mc-rgb", 4)
    assert separable.options == {
        "num_feat": 24, "num_block": 5, "num_state": 12, "separable": 1, "aligned": 1,
    }  # fmt: skip
    assert net_spec("sesr-f24-m5-ecb", 4).options == {
        "num_feat": 24, "num_block": 5, "filtered": 1,
    }  # fmt: skip
    for wrong in (
        "rsesr-f0-m5-s12",
        "rsesr-f24-m5-s0-mc",
        "rsesr-f24-m5",
        "sesr-f24-m5-s12",
        "rrn-16",
        "rrn-16-5-dw",
        "sesr-m5-dw",
        "sesr-f24-m5-ecb-dw",
        "sesr-f24-m5-rgb-dw",
        "sesr-f24-m5-gate-dw",
        "rsesr-f24-m5-s12-gate",
        "rsesr-f24-m5-dw",
        "rsesr-f24-m5-s12-mc-ecb",
    ):
        with pytest.raises(SpecError, match="not known"):
            net_spec(wrong, 4)


@pytest.mark.parametrize("name", ["rsesr-f8-m2-s5", "rsesr-f6-m1-s3-mc-rgb", "rrn-6-2"])
def test_a_state_starts_alive_and_unread(name: str) -> None:
    """It changes nothing yet, and gradients reach what reads it, so that it can come into use."""
    torch.manual_seed(0)
    net = build(replace(net_spec(name, 2), expansion=16))
    assert isinstance(net, RecurrentNet)
    frame = torch.rand(1, net.spec.channels, 10, 13)
    before = net.step(frame, {})
    assert float((before["state_out:0"] > 0).float().mean()) > 0.5
    used = net.step(frame, before)["sr"]
    unused = net.step(frame, {**before, "state_out:0": before["state_out:0"] * 0.0})["sr"]
    torch.testing.assert_close(used, unused, rtol=0, atol=1e-6)
    used.sum().backward()
    gradient = net.get_parameter("first.expand.weight").grad
    assert gradient is not None
    states = slice(2 * net.spec.channels, 2 * net.spec.channels + net.inputs["state_in:0"])
    assert float(gradient[:, states].abs().max()) > 0


@pytest.mark.parametrize("name", CELLS)
def test_burnt_in_frames_are_seen_and_not_learned_from(name: str) -> None:
    net = random_cell(name)
    clip = random_clip(net, 6).requires_grad_()
    sr = net(clip, burn_in=4)
    torch.testing.assert_close(sr, net(clip)[:, 4:], rtol=0, atol=1e-6)
    sr.sum().backward()
    assert clip.grad is not None
    assert [bool(frame.any()) for frame in clip.grad[0]] == [False] * 4 + [True] * 2


def test_a_step_is_given_memory_laid_out_alike_whatever_the_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else kernels of `--compiled` are made for every length of a clip, until torch gives up."""
    net = random_cell("rsesr-f8-m2-mc")
    seen: set[tuple[tuple[int, ...], ...]] = set()
    run = net._run

    def watch(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.add(tuple(given[role].stride() for role in net.inputs))
        return run(given)

    monkeypatch.setattr(net, "_run", watch)
    for frames, burn_in in ((2, 0), (3, 1), (5, 2)):
        with torch.no_grad():
            net(random_clip(net, frames).repeat(2, 1, 1, 1, 1), burn_in=burn_in)
    assert len(seen) == 1
