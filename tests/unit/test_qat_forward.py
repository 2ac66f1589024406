"""The forward that is trained is the integer run of the file that ships: 0 LSB."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgevsr.collapsing import narrow_graph
from edgevsr.errors import QuantizeError, SpecError
from edgevsr.graph.int16 import real_node
from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.graph.quantize_int import RANGES_KEY
from edgevsr.graph.reference import run_float
from edgevsr.graph.streaming import is_recurrent, stream
from edgevsr.nets.blocks import Slope
from edgevsr.nets.narrow_form import blocks_of, take_narrow
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build, net_spec
from edgevsr.quantization.calibration import load_calibration
from edgevsr.quantization.learned import quantize_learned, ranges_to_json
from edgevsr.quantization.ptq import plan_and_quantize, quantize_graph
from edgevsr.quantization.ranges import IMAGE
from edgevsr.sources import list_zoo, open_source
from edgevsr.spec import Activation
from edgevsr.training.qat import Int8Net, prepare
from edgevsr.zoo import calibration_frames
from tests.recurrent import moving_clip

FRAMES = 6
NARROW = [entry.name for entry in list_zoo() if entry.form == "narrow"]


def trained(name: str, scale: int, activation: Activation | None = None) -> Net:
    """Return a net whose weights have moved from where they start."""
    torch.manual_seed(0)
    net = build(replace(net_spec(name, scale, activation), expansion=64))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return net


def clip_of(size: tuple[int, int], channels: int, frames: int, seed: int) -> NDArray[np.float32]:
    """Return a clip on the 8-bit grid, another one for every seed."""
    return np.roll(moving_clip(size, channels, frames), (seed, 3 * seed), (1, 2))


def calibrated(net: Net) -> tuple[Int8Net, Graph]:
    """Return the trained forward of a net and the int8 graph that it says it is."""
    channels = net.spec.channels
    clips = [clip_of((28, 20), channels, 4, seed) for seed in (1, 2)]
    recurrent = is_recurrent(narrow_graph(net))
    frames = clips if recurrent else [frame for clip in clips for frame in clip]
    return forward_and_graph(net, frames)


def forward_and_graph(net: Net, frames: list[NDArray[np.float32]]) -> tuple[Int8Net, Graph]:
    ranges = ranges_to_json(prepare(net, frames).qparams)
    forward = Int8Net(net, ranges)
    assert ranges_to_json(forward.qparams) == ranges
    with torch.no_grad():  # a step moves weights and ranges
        forward.ranges.limits.add_(0.1 * torch.randn_like(forward.ranges.limits))
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.0 + 0.01 * torch.randn_like(parameter))
    ranges = ranges_to_json(forward.qparams)
    return forward, quantize_learned(narrow_graph(net).with_meta(**{RANGES_KEY: ranges}))


def assert_same_frames(forward: Int8Net, int8: Graph, clip: NDArray[np.float32]) -> None:
    """A clip at once in torch, and frame after frame in the reference, its state fed back."""
    with torch.no_grad():
        given = torch.from_numpy(clip.transpose(0, 3, 1, 2)[None].copy())
        sr = forward(given)[0].numpy().transpose(0, 2, 3, 1)
    got = np.rint(sr * 255.0)
    assert np.allclose(sr * 255.0, got, atol=1e-4)
    codes = (IMAGE.quantize(frame)[None] for frame in clip)
    expected = np.concatenate([out["sr"] for _, out in stream(int8, codes)]).astype(int) + 128
    assert expected.std() > 10.0
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("name", "scale", "activation"),
    [
        ("sesr-m3", 2, "leaky"),
        ("sesr-m3", 4, "relu"),
        ("sesr-m3", 2, "prelu"),
        ("sesr-m3-rgb", 3, "leaky"),
        ("sesr-f8-m2-ecb", 2, "leaky"),
        ("sesr-f8-m2-dw", 2, "leaky"),
        ("sesr-f8-m2-dw-rgb", 4, "relu"),
        ("sesr-f8-m2-gate", 2, "relu"),
        ("sesr-f8-m2-ecb-gate", 2, "leaky"),
        ("fsrcnn", 2, "relu"),
        ("fsrcnn", 3, "leaky"),
        ("rsesr-f8-m2-s4", 4, None),
        ("rsesr-f8-m2-s4-rgb", 2, None),
        ("rsesr-f8-m2-mc", 4, None),
        ("rsesr-f8-m2-s4-dw", 2, None),
        ("rsesr-f8-m2-s4-mc-rgb", 2, None),
        ("rrn-8-2", 2, None),
    ],
)
def test_every_family(name: str, scale: int, activation: Activation | None) -> None:
    net = trained(name, scale, activation)
    forward, int8 = calibrated(net)
    clip = clip_of((23, 17), net.spec.channels, FRAMES, 7)
    assert_same_frames(forward, int8, clip)


@pytest.mark.parametrize("name", NARROW)
def test_every_shipped_network(name: str) -> None:
    """Each made wide again from its narrow form, on real frames."""
    graph = open_source(name).graph
    spec = net_spec(graph.meta["net"], graph.scale, graph.meta["activation"])
    net = build(spec)
    take_narrow(net, graph)
    if is_recurrent(graph):
        frames = [clip_of((48, 40), spec.channels, FRAMES, seed) for seed in (1, 2)]
        clip = frames[0]
    else:
        frames = [
            np.ascontiguousarray(frame[:64, :64])
            for frame in load_calibration(calibration_frames(), spec.channels, limit=4)
        ]
        clip = np.stack(frames)
    forward, int8 = forward_and_graph(net, frames)
    assert_same_frames(forward, int8, clip)


@pytest.mark.parametrize(
    ("name", "activation"),
    [("sesr-m3", "relu"), ("sesr-m3", "leaky"), ("fsrcnn-s", "relu"), ("rsesr-f8-m2-s4", None)],
)
def test_training_starts_at_the_codes_of_calibration(
    name: str, activation: Activation | None
) -> None:
    net = trained(name, 2, activation)
    clips = [clip_of((28, 20), 1, 4, seed) for seed in (1, 2)]
    recurrent = is_recurrent(narrow_graph(net))
    frames = clips if recurrent else [frame for clip in clips for frame in clip]
    int8 = quantize_graph(narrow_graph(net), frames)
    ranges = ranges_to_json(prepare(net, frames).qparams)
    start = quantize_learned(narrow_graph(net).with_meta(**{RANGES_KEY: ranges}))
    assert start.qparams.keys() == int8.qparams.keys()
    for name, params in int8.qparams.items():
        assert start.qparams[name].zero_point == params.zero_point
        assert start.qparams[name].scale == np.float32(params.scale)
    for one, two in zip(start.nodes, int8.nodes, strict=True):
        if one.weight is not None and two.weight is not None:
            # A filter's largest code goes to 127 where rounding has left it at 126.
            assert (one.weight != two.weight).mean() <= 1 / 16, one.name
            assert np.abs(one.weight.astype(int) - two.weight).max() <= 2
            np.testing.assert_allclose(one.weight_scale, two.weight_scale, rtol=1e-6)  # type: ignore[arg-type]


def test_preparing_keeps_the_function_and_folds_the_state() -> None:
    net = trained("rsesr-f8-m2-s4", 2)
    clips = [clip_of((28, 20), 1, 8, seed) for seed in (1, 2)]
    given = torch.from_numpy(clips[0].transpose(0, 3, 1, 2)[None].copy())
    with torch.no_grad():
        before = net(given)
        plan, int8 = plan_and_quantize(narrow_graph(net), clips)
        planned = deepcopy(net)
        take_narrow(planned, plan)
        assert torch.allclose(planned(given), before, atol=1e-5)
        qparams = prepare(net, clips).qparams
    graph = narrow_graph(net)
    for node, rounded in zip(graph.nodes, int8.nodes, strict=True):
        if node.weight is not None and rounded.weight is not None:
            step = real_node(rounded, int8.qparams).weight
            # Only a filter's largest code may have gone up, from 126.
            assert np.isclose(node.weight, step, rtol=1e-5, atol=1e-7).mean() >= 15 / 16
    assert qparams["state_in_0"] == qparams["state_out_0"] == qparams["frame"]
    reached = max(
        float(outputs["state_out:0"].max())
        for clip in clips
        for _, outputs in stream(graph, (frame[None] for frame in clip))
    )
    assert 0.9 < reached < 1.5


def test_taking_a_narrow_form_is_exact_and_small() -> None:
    """The wide net becomes another narrow one, with its residual and its transposed kernel."""
    for name, scale in (("sesr-m3", 2), ("fsrcnn", 2)):
        net, other = trained(name, scale), build(replace(net_spec(name, scale), expansion=64))
        take_narrow(other, narrow_graph(net))
        x = np.random.default_rng(0).random((1, 12, 9, 1), np.float32)
        one, two = (run_float(narrow_graph(each), {"frame": x})["sr"] for each in (net, other))
        assert np.allclose(one, two, atol=1e-5)
        weights = {key: value.clone() for key, value in net.state_dict().items()}
        take_narrow(net, narrow_graph(net))
        assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())


def test_blocks_too_narrow_inside_are_named() -> None:
    spec = net_spec("sesr-m3", 2)
    wide, thin = trained("sesr-m3", 2), build(replace(spec, expansion=4))
    with pytest.raises(SpecError, match=r"layer 'first': 4 channels inside"):
        take_narrow(thin, narrow_graph(wide))


def test_another_structure_is_named() -> None:
    net = build(replace(net_spec("sesr-m5", 2), expansion=16))
    with pytest.raises(SpecError, match="'body3' of sesr-m5 is not in the narrow graph"):
        take_narrow(net, narrow_graph(trained("sesr-m3", 2)))
    with pytest.raises(SpecError, match=r"'last': expected a kernel \(4, 16, 5, 5\)"):
        take_narrow(
            build(replace(net_spec("sesr-m3", 2), expansion=64)),
            narrow_graph(trained("sesr-m3", 4)),
        )


def test_a_layer_that_ranges_made_a_relu_is_one() -> None:
    """A slope of zero leaves no leaky node, in either form."""
    net = trained("sesr-m3", 2)
    graph = narrow_graph(net)
    nodes = tuple(
        replace(node, attrs={"slope": 0.0}) if node.op == "leaky_relu" else node
        for node in graph.nodes
    )
    take_narrow(net, replace(graph, nodes=nodes))
    assert {node.op for node in narrow_graph(net).nodes} == {"conv2d", "add", "depth_to_space"}


def test_learning_brings_the_integers_nearer() -> None:
    """Twenty steps on one picture gain more than half a dB; slopes stay, ranges move."""
    net = trained("sesr-m3", 2)
    forward, _ = calibrated(net)
    frame = torch.from_numpy(clip_of((24, 24), 1, 1, 3).transpose(0, 3, 1, 2).copy())
    truth = torch.nn.functional.interpolate(frame, scale_factor=2, mode="bicubic").clamp(0, 1)
    acts = [module for module in net.modules() if isinstance(module, Slope)]
    slopes = [act.weight.clone() for act in acts]
    limits = forward.ranges.limits.clone()
    learning = [value for value in forward.parameters() if value.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=1e-3)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.mse_loss(forward(frame), truth)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.89 * losses[0]
    assert all(torch.equal(act.weight, old) for act, old in zip(acts, slopes, strict=True))
    assert not torch.equal(forward.ranges.limits, limits)


def test_ranges_move_together() -> None:
    """Images keep theirs, a leaky layer its one scale, what starts at zero its start."""
    forward, _ = calibrated(trained("sesr-m3", 2))
    before = forward.qparams
    bytes_of_images = QuantParams(float(np.float32(IMAGE.scale)), IMAGE.zero_point)
    with torch.no_grad():
        forward.ranges.limits.add_(float(np.log(2.0)))
    after = forward.qparams
    for name in ("frame", "image_residual", "sr"):
        assert after[name] == before[name] == bytes_of_images
    for name in ("first", "body1", "last"):
        assert after[name].scale == pytest.approx(2 * before[name].scale, rel=1e-6)
        assert abs(after[name].zero_point - before[name].zero_point) <= 1
    for name in ("first", "body0", "body1", "body2"):
        assert after[name].scale == after[f"{name}_act"].scale
    forward, _ = calibrated(trained("rsesr-f8-m2-s4", 2))
    with torch.no_grad():
        forward.ranges.limits.add_(torch.tensor([3.0, 1.0]))
    assert {forward.qparams[name] for name in ("joined", "state_in_0", "state_out_0")} == {
        bytes_of_images
    }
    assert forward.qparams["first_act"].zero_point == -128


def test_a_range_that_clips_grows() -> None:
    """Gradients reach the ends of a range: halved, it opens again."""
    net = trained("sesr-m3", 2)
    forward, _ = calibrated(net)
    frame = torch.from_numpy(clip_of((24, 24), 1, 1, 3).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        truth = forward(frame)
        forward.ranges.limits.sub_(float(np.log(8.0)))
    optimizer = torch.optim.Adam([forward.ranges.limits], lr=0.05)
    start = forward.ranges.limits.clone()
    for _ in range(10):
        loss = torch.nn.functional.mse_loss(forward(frame), truth)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert float((forward.ranges.limits - start).detach().mean()) > 0.1


def test_gradients_reach_back_as_far_as_the_window() -> None:
    net = trained("rsesr-f8-m2-s4", 2)
    forward, _ = calibrated(net)
    clip = torch.from_numpy(clip_of((16, 16), 1, 4, 3).transpose(0, 3, 1, 2).copy())
    gradients = []
    for window in (0, 1):
        net.zero_grad()
        torch.autograd.backward(forward(clip[None], window)[0, -1].sum())
        weight = blocks_of(net)["state"].expand.weight
        gradients.append(0.0 if weight.grad is None else float(weight.grad.abs().sum()))
    assert gradients[0] > 0.0
    assert gradients[1] == 0.0


@pytest.mark.parametrize(
    "change",
    [
        None,
        [],
        {"first": None},
        {"first": [0.0, 0]},
        {"first": [float("nan"), 0]},
        {"first": [0.1, 128]},
        {"first": [0.1, 1.5]},
        {"first": ["0.1", 0]},
        {"sr": [0.1, 0]},
    ],
)
def test_ranges_that_do_not_fit_are_refused(change: object) -> None:
    net = trained("sesr-m3", 2)
    _, int8 = calibrated(net)
    ranges: object = ranges_to_json(int8.qparams)
    if isinstance(change, dict):
        assert isinstance(ranges, dict)
        ranges = {**ranges, **change}
    else:
        ranges = change
    graph = narrow_graph(net).with_meta(**{RANGES_KEY: ranges})
    with pytest.raises(QuantizeError, match="tensor"):
        quantize_learned(graph)


def test_burnt_in_frames_are_rounded_alike_and_not_learned_from() -> None:
    net = trained("rsesr-f8-m2-mc", 2)
    forward, _ = calibrated(net)
    clip = torch.from_numpy(clip_of((28, 20), 1, FRAMES, 3).transpose(0, 3, 1, 2)[None].copy())
    whole, later = forward(clip), forward(clip, burn_in=4)
    assert torch.equal(whole[:, 4:], later)
    later.sum().backward()
    assert net.get_parameter("first.expand.weight").grad is not None
