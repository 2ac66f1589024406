"""Wide and narrow networks are the same function, borders and biases included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.collapsing import collapse_net, narrow_graph, wide_params
from edgevsr.errors import CollapseError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, FixedFilters
from edgevsr.nets.checkpoint import save_net
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import NETS, build, net_spec
from edgevsr.spec import ACTIVATIONS, SCALES, Activation
from edgevsr.training.growing import warm_start
from edgevsr.zoo import zoo_path

BOUND = 1e-5
#: One of each kind of block that a name can ask for.
BLOCKS = [
    "sesr-f12-m3-ecb", "sesr-f12-m3-dw", "sesr-f6-m2-ecb-rgb", "sesr-f6-m2-dw-rgb",
    "sesr-f12-m3-gate", "sesr-f6-m2-dw-gate-rgb",
]  # fmt: skip


def random_net(name: str, scale: int, activation: str, seed: int, expansion: int = 24) -> Net:
    """A network whose biases and slopes are anything but zero."""
    torch.manual_seed(seed)
    net = build(replace(net_spec(name, scale, activation), expansion=expansion))  # type: ignore[arg-type]
    with torch.no_grad():
        for key, value in net.named_parameters():
            if key.endswith(("bias", "filtered.scale")):
                value.normal_(std=0.1)
            elif key.endswith("project.weight"):
                value += 0.02 * torch.randn_like(value)
            elif "acts" in key:
                value.uniform_(-0.3, 0.5)
    return net


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    channels_in=st.integers(1, 8),
    channels_out=st.integers(1, 8),
    expansion=st.integers(1, 32),
    residual=st.booleans(),
    groups=st.integers(1, 4),
    filtered=st.booleans(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
)
def test_a_block_collapses_exactly(
    kernel: int,
    channels_in: int,
    channels_out: int,
    expansion: int,
    residual: bool,
    groups: int,
    filtered: bool,
    size: tuple[int, int],
    seed: int,
) -> None:
    torch.manual_seed(seed)
    kernel, groups = (3, 1) if filtered else (kernel, groups)
    channels_in *= groups
    channels_out = channels_in if residual else channels_out * groups
    block = CollapsibleConv(
        channels_in, channels_out, kernel, expansion, residual, groups=groups, filtered=filtered
    ).double()
    biases = [block.expand.bias, block.project.bias]
    for value in (*biases, *([block.filtered.scale] if block.filtered else [])):
        torch.nn.init.normal_(value)  # type: ignore[arg-type]
    x = torch.randn(2, channels_in, *size, dtype=torch.float64)
    with torch.no_grad():
        narrow = block(x)
        block.form = "expanded"
        torch.testing.assert_close(narrow, block(x), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    stride=st.sampled_from([2, 3, 4]),
    kernel=st.sampled_from([5, 7, 9]),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    seed=st.integers(0, 2**31),
)
def test_a_deconvolution_collapses_to_its_subpixel_form(
    stride: int, kernel: int, channels: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    block = CollapsibleDeconv(*channels, kernel, stride, expansion=8).double()
    for bias in (block.expand.bias, block.project.bias):
        torch.nn.init.normal_(bias)  # type: ignore[arg-type]
    x = torch.randn(1, channels[0], *size, dtype=torch.float64)
    with torch.no_grad():
        narrow = block(x)
        block.form = "expanded"
        torch.testing.assert_close(narrow, block(x), rtol=0, atol=1e-12)
    assert narrow.shape[2:] == (size[0] * stride, size[1] * stride)


@pytest.mark.parametrize("name", [*NETS, *BLOCKS])
@pytest.mark.parametrize("scale", SCALES)
def test_every_listed_net_collapses_within_the_bound(name: str, scale: int) -> None:
    collapsed = collapse_net(random_net(name, scale, "leaky", seed=scale, expansion=64))
    assert 0 < collapsed.max_abs_err <= BOUND
    assert collapsed.params_narrow == collapsed.graph.params < collapsed.params_wide


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["sesr-m3", "sesr-m3-rgb", "fsrcnn-s", *BLOCKS])
def test_onnxruntime_gives_the_wide_networks_output(name: str, activation: str) -> None:
    net = random_net(name, 2, activation, seed=7)
    frame = torch.rand(1, net.spec.channels, 13, 18)
    with torch.no_grad():
        expected = net.set_form("expanded")(frame).numpy()
    session = onnxruntime.InferenceSession(onnx_bytes(narrow_graph(net)))
    (got,) = session.run(None, {session.get_inputs()[0].name: frame.numpy()})
    np.testing.assert_allclose(got, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", ["sesr-f8-m2", "sesr-f6-m2-dw", "sesr-f6-m2-ecb"])
def test_a_gate_starts_half_open_everywhere(name: str) -> None:
    """A gated network begins as the one without, because its last block makes up for the half."""
    frame, outputs = torch.rand(1, 1, 12, 10), []
    for gate in ("", "-gate"):
        torch.manual_seed(4)
        net = build(replace(net_spec(f"{name}{gate}", 2), expansion=32))
        with torch.no_grad():
            outputs.append(net(frame))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-6)


def test_gradients_reach_every_wide_weight_through_the_narrow_form() -> None:
    for name in ("sesr-m3", "fsrcnn-s", *BLOCKS):
        net = random_net(name, 2, "leaky", seed=3)
        net(torch.rand(1, net.spec.channels, 12, 12)).square().mean().backward()
        assert all(float(value.grad.abs().max()) > 0 for value in net.parameters())  # type: ignore[union-attr]


def test_collapse_leaves_the_wide_network_as_it_was() -> None:
    net = random_net("sesr-m3", 2, "prelu", seed=1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    collapse_net(net)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(
        module.form == "collapsed"
        for module in net.modules()
        if isinstance(module, CollapsibleConv)
    )


def test_golden_weights_and_macs() -> None:
    """SESR-M5 ×2: 13,520 narrow weights; 41.775 GMAC wide for 32 patches of 64×64, 1.772 narrow."""
    net = build(net_spec("sesr-m5", 2))
    pixels = 32 * 64 * 64
    assert narrow_graph(net).params == 13_520
    assert round(wide_params(net) * pixels / 1e9, 3) == 41.775
    assert round(13_520 * pixels / 1e9, 3) == 1.772
    assert narrow_graph(build(net_spec("fsrcnn", 2))).params == 12_464
    assert narrow_graph(build(net_spec("fsrcnn-s", 2))).params == 3_937


@pytest.mark.parametrize(
    ("name", "wide", "narrow"),
    # By the layers of SESR-M5: 25·16 + 5·9·16² + 25·16·4 narrow, and wide for each of the blocks
    # (25 + 16)·256 + 5·(9·16 + 16)·256 + (25·16 + 4)·256.
    [
        ("sesr-f16-m5", 318_720, 13_520),
        # Four times 16² weights and 16 scales in each block, which cost nothing later.
        ("sesr-f16-m5-ecb", 318_720 + 5 * (4 * 16 * 16 + 4 * 16), 13_520),
        # (9 + 1)·256 and (16 + 16)·256 wide in each block, 9·16 + 16² narrow.
        ("sesr-f16-m5-dw", 318_720 - 5 * (160 - 42) * 256, 400 + 5 * (144 + 256) + 1_600),
        ("sesr-f32-m7-dw", 353_024, 13_184),
        ("sesr-f16-m5-gate", 318_720 + 2 * 16 * 256, 13_520 + 256),
    ],
)
def test_blocks_of_each_kind_have_the_weights_counted_by_hand(
    name: str, wide: int, narrow: int
) -> None:
    net = build(net_spec(name, 2))
    assert wide_params(net) == wide
    assert narrow_graph(net).params == narrow


def test_fixed_filters_start_from_a_net_without_them(tmp_path: Path) -> None:
    """At first it is the same function."""
    plain = random_net("sesr-f12-m3", 2, "leaky", seed=5)
    save_net(tmp_path / "plain.safetensors", plain, plain.spec, {})
    net = build(replace(net_spec("sesr-f12-m3-ecb", 2), expansion=24))
    assert sum(isinstance(module, FixedFilters) for module in net.modules()) == 3
    warm_start(net, tmp_path / "plain.safetensors")
    frame = torch.rand(1, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(net(frame), plain(frame), rtol=0, atol=1e-6)
        expanded = net.set_form("expanded")(frame)
    torch.testing.assert_close(expanded, plain(frame), rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", ["sesr-f12-m3", "fsrcnn"])
def test_a_wider_expansion_starts_from_a_smaller_one(name: str, tmp_path: Path) -> None:
    """At first it is the same function, and what was added learns."""
    small = random_net(name, 2, "relu", seed=5)
    save_net(tmp_path / "small.safetensors", small, small.spec, {})
    net = build(replace(small.spec, expansion=40))
    warm_start(net, tmp_path / "small.safetensors")
    frame = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(net(frame), small(frame), rtol=0, atol=1e-5)
    net(frame).square().mean().backward()
    for block in net.modules():
        if isinstance(block, CollapsibleConv | CollapsibleDeconv):
            wide = small.spec.expansion
            assert block.project.weight.grad is not None
            assert block.project.weight.grad[:, wide:].abs().max() > 0
            assert block.expand.weight.std() > 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("smaller", "larger", "expansion"),
    [
        ("sesr-f12-m3", "sesr-f12-m5", 24),
        ("sesr-f12-m3", "sesr-f20-m3", 24),
        ("sesr-f12-m3-gate", "sesr-f20-m5-gate", 40),
        ("sesr-f12-m3-dw", "sesr-f12-m4-dw", 24),
    ],
)
def test_a_larger_net_starts_from_a_smaller_one(
    smaller: str, larger: str, expansion: int, activation: Activation, tmp_path: Path
) -> None:
    """At first it is the same function, and every layer learns."""
    small = random_net(smaller, 2, activation, seed=5)
    save_net(tmp_path / "small.safetensors", small, small.spec, {})
    net = build(replace(net_spec(larger, 2, activation), expansion=expansion))
    warm_start(net, tmp_path / "small.safetensors")
    frame = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(net(frame), small(frame), rtol=0, atol=1e-5)
    before = [value.clone() for value in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        net(frame).square().mean().backward()
        optimizer.step()
    for (name, value), old in zip(net.named_parameters(), before, strict=True):
        assert not torch.equal(value, old), name


def test_one_slope_a_layer_starts_one_a_channel(tmp_path: Path) -> None:
    small = random_net("sesr-f12-m3", 2, "leaky", seed=5)
    save_net(tmp_path / "small.safetensors", small, small.spec, {})
    net = build(replace(net_spec("sesr-f20-m5", 2, "prelu"), expansion=24))
    warm_start(net, tmp_path / "small.safetensors")
    frame = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(net(frame), small(frame), rtol=0, atol=1e-5)


def test_a_larger_net_of_another_scale_takes_no_smaller_features(tmp_path: Path) -> None:
    small = random_net("sesr-f12-m3", 2, "relu", seed=5)
    save_net(tmp_path / "small.safetensors", small, small.spec, {})
    with pytest.raises(SpecError, match="no weight"):
        warm_start(
            build(replace(net_spec("sesr-f20-m3", 4, "relu"))), tmp_path / "small.safetensors"
        )


@pytest.mark.parametrize("name", ["sesr-f12-m3", "sesr-f12-m3-ecb", "fsrcnn-s", "rsesr-f8-m2-s4"])
def test_a_narrow_network_starts_a_wide_one(name: str, tmp_path: Path) -> None:
    net = random_net(name, 2, "relu", seed=5)
    collapsed = collapse_net(net).graph
    path = tmp_path / "narrow.onnx"
    path.write_bytes(onnx_bytes(collapsed))
    again = build(replace(net.spec, expansion=40))
    warm_start(again, path)
    for one, two in zip(narrow_graph(again).nodes, collapsed.nodes, strict=True):
        if two.weight is not None and one.weight is not None:
            np.testing.assert_allclose(one.weight, two.weight, rtol=0, atol=1e-5)


def test_what_is_not_a_float_network_of_ours_starts_nothing(tmp_path: Path) -> None:
    net = random_net("sesr-f12-m3", 2, "relu", seed=5)
    with pytest.raises(SpecError, match="quantized; give the float"):
        warm_start(net, zoo_path("sesr-m3-x2-w8a8"))
    path = tmp_path / "other.onnx"
    path.write_bytes(onnx_bytes(replace(collapse_net(net).graph, meta={})))
    with pytest.raises(SpecError, match="does not say which network"):
        warm_start(net, path)


def test_another_scale_widens_what_it_shares(tmp_path: Path) -> None:
    small = random_net("sesr-f12-m3", 2, "relu", seed=5)
    save_net(tmp_path / "small.safetensors", small, small.spec, {})
    net = build(replace(small.spec, scale=4, expansion=40))
    own = {name: value.clone() for name, value in net.state_dict().items()}
    warm_start(net, tmp_path / "small.safetensors")
    same = {name for name, value in net.state_dict().items() if torch.equal(value, own[name])}
    assert "last.project.weight" in same
    assert not any(name.startswith("first.") and name.endswith("weight") for name in same)


def test_filters_fit_3x3_kernels_over_all_channels() -> None:
    for kernel_size, groups in ((5, 1), (3, 4)):
        with pytest.raises(ValueError, match="3×3"):
            CollapsibleConv(4, 4, kernel_size, groups=groups, filtered=True)


def _not_a_number(net: Net) -> None:
    with torch.no_grad():
        next(net.parameters())[0] = torch.nan


def _another_function(net: Net) -> None:
    """Make weights so large that float32 cannot hold the output to 1e-5."""
    with torch.no_grad():
        for value in net.parameters():
            value *= 30.0


@pytest.mark.parametrize(
    ("spoil", "message"), [(_not_a_number, "not finite"), (_another_function, "differ by")]
)
def test_what_is_not_the_same_function_is_refused(
    spoil: Callable[[Net], None], message: str
) -> None:
    net = random_net("sesr-m3", 2, "leaky", seed=0)
    spoil(net)
    with pytest.raises(CollapseError, match=message):
        collapse_net(net)
