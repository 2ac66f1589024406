"""Post-training quantization keeps the function: ranges, rounding, ties, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgevsr.errors import DataError, QuantizeError
from edgevsr.graph.ir import Graph, Node, QuantParams
from edgevsr.graph.quantize_int import tied_tensors
from edgevsr.graph.reference import run_float, run_int8, run_node_float
from edgevsr.quantization.calibration import load_calibration
from edgevsr.quantization.equalization import equalize
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.quantization.ranges import IMAGE, Activate, choose_rectified, params_for, round_trip
from edgevsr.quantization.rounding import (
    choose_scales,
    phase_taps,
    refit,
    round_together,
    windows,
)
from edgevsr.quantization.sensitivity import channel_weights
from edgevsr.zoo import calibration_frames
from tests.graphs import fsrcnn_graph, sesr_graph

FRAMES = [frame[:40, :48] for frame in load_calibration(calibration_frames(), channels=1, limit=6)]
FEEDS = [{"frame": frame[None]} for frame in FRAMES]


def psnr_db(graph: Graph, int8: Graph, frames: list[NDArray[np.float32]]) -> float:
    """PSNR of the int8 network against the float one, on images in [0, 1]."""
    errors = []
    for frame in frames:
        name, out = graph.inputs[0], graph.outputs[0]
        expected = np.clip(run_float(graph, {name: frame[None]})[out], 0, 1)
        codes = run_int8(int8, {name: IMAGE.quantize(frame[None])})[out]
        errors.append(np.mean((IMAGE.dequantize(codes) - expected) ** 2))
    return float(-10 * np.log10(np.mean(errors)))


@given(low=st.floats(-8, 0), high=st.floats(0, 8), values=st.lists(st.floats(-8, 8), min_size=1))
def test_values_in_range_come_back_within_half_a_step(
    low: float, high: float, values: list[float]
) -> None:
    params = params_for(low, high)
    inside = np.clip(np.array(values, np.float32), low, high)
    error = np.abs(round_trip(inside, params) - inside)
    assert np.all(error <= params.scale * 1.01 + 1e-6)
    assert round_trip(np.zeros(1, np.float32), params)[0] == 0


def test_a_negative_side_that_the_activation_discards_costs_no_codes() -> None:
    values = np.random.default_rng(0).normal(-0.5, 1.0, (4000, 8)).astype(np.float32)

    def leaky(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(x >= 0, x, x * np.float32(0.01))

    chosen = choose_rectified(values, "mse", leaky)
    plain = choose_rectified(values, "minmax", leaky)
    assert chosen[0].scale < 0.8 * plain[0].scale
    assert rectified_error(values, leaky, chosen) < 0.7 * rectified_error(values, leaky, plain)


def rectified_error(
    values: NDArray[np.float32], activate: Activate, sides: tuple[QuantParams, QuantParams]
) -> float:
    got = round_trip(activate(round_trip(values, sides[0])), sides[1])
    return float(np.mean((got - activate(values)) ** 2))


def test_channels_far_below_zero_get_a_finer_scale_behind_the_activation() -> None:
    """They make the scale before coarse; halving that behind spares their own values."""
    values = np.random.default_rng(0).normal(2.0, 1.0, (4000, 8)).astype(np.float32)
    values[:, :4] = -40.0 + 8.0 * values[:, :4]

    def leaky(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(x >= 0, x, x * np.float32(0.1))

    plain = choose_rectified(values, "mse", leaky)
    finer = choose_rectified(values, "mse", leaky, None, (0, 1, 2))
    assert plain[0].scale == plain[1].scale
    assert finer[0].scale / finer[1].scale in (2.0, 4.0)
    assert rectified_error(values, leaky, finer) < 0.9 * rectified_error(values, leaky, plain)


@settings(max_examples=25, deadline=None)
@given(outputs=st.integers(1, 6), inputs=st.integers(2, 30), seed=st.integers(0, 2**31))
@example(outputs=1, inputs=8, seed=539326)
def test_rounding_together_never_costs_the_output_more(
    outputs: int, inputs: int, seed: int
) -> None:
    """On strongly correlated inputs too."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(400, 3)) @ rng.normal(size=(3, inputs))
    data = mixed + 0.05 * rng.normal(size=(400, inputs))
    weight = rng.normal(size=(outputs, inputs))
    gram = data.T @ data / len(data)
    scales = np.full(outputs, 0.3, np.float32)
    together = round_together(weight, scales, gram) * scales[:, None].astype(np.float64)
    nearest = np.rint(weight / scales[:, None]) * scales[:, None]

    def cost(rounded: NDArray[np.float64]) -> float:
        return float(np.mean((data @ (rounded - weight).T) ** 2))

    assert cost(together) <= cost(nearest) * (1 + 1e-9)


def test_refit_mends_what_the_layers_before_did() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2000, 9))
    given_windows = real * 0.9 + 0.1  # a systematic error, as from coarse ranges
    weight, bias = rng.normal(size=(4, 9)), rng.normal(size=4)
    target = real @ weight.T + bias
    fitted, moved = refit(weight, bias, given_windows, target)
    before = np.mean((given_windows @ weight.T + bias - target) ** 2)
    after = np.mean((given_windows @ fitted.T + moved - target) ** 2)
    assert after < 0.01 * before


def test_scales_hold_the_largest_weight_unless_clipping_pays() -> None:
    weight = np.array([[1.0, 0.1, -0.2], [0.0, 0.0, 0.0]])
    scales = choose_scales([weight], [np.eye(3)], np.zeros(2))
    assert scales[0] <= 1.0 / 127 + 1e-9
    assert np.all(scales > 0)


def test_windows_are_those_of_a_convolution() -> None:
    frame = np.arange(20.0).reshape(4, 5, 1)
    node = Node("conv2d", "c", ("x",), "y", weight=np.zeros((1, 3, 3, 1)))
    (taps,) = phase_taps(node)
    (corner,) = windows(frame, np.array([0]), np.array([0]), taps)
    assert corner.tolist() == [0, 0, 0, 0, 0, 1, 0, 5, 6]


@settings(max_examples=20, deadline=None)
@given(
    stride=st.sampled_from([2, 3, 4]), kernel=st.sampled_from([5, 8, 9]), seed=st.integers(0, 99)
)
def test_phases_of_a_transposed_convolution_make_its_output(
    stride: int, kernel: int, seed: int
) -> None:
    """Each tap belongs to one phase, and a phase's windows times its taps are its pixels."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(2, kernel, kernel, 3)).astype(np.float32)
    node = Node("transpose_conv", "d", ("x",), "y", {"stride": stride, "pad": kernel // 2}, weight)
    frame = rng.normal(size=(1, 6, 7, 3)).astype(np.float32)
    expected = run_node_float(node, [frame])[0]
    used = np.zeros((kernel, kernel), int)
    rows, columns = (axis.ravel() for axis in np.mgrid[0:6, 0:7])
    for index, taps in enumerate(phase_taps(node)):
        used[taps.rows, taps.columns] += 1
        flat = weight[:, taps.rows, taps.columns].reshape(2, -1)
        got = windows(frame[0], rows, columns, taps) @ flat.T
        pixels = expected[index // stride :: stride, index % stride :: stride]
        np.testing.assert_allclose(got.reshape(pixels.shape), pixels, atol=1e-4)
    assert np.all(used == 1)


@pytest.mark.parametrize("make", [sesr_graph, fsrcnn_graph])
def test_equalization_keeps_the_function(make: object) -> None:
    graph = make(seed=4)  # type: ignore[operator]
    rng = np.random.default_rng(0)
    tensors = run_float(graph, {"frame": FRAMES[0][None]})
    samples = {name: values.reshape(-1, values.shape[3]) for name, values in tensors.items()}
    weights = channel_weights(graph, FEEDS)
    equal, factors = equalize(graph, samples, weights)
    assert factors
    assert all(np.all(factor >= 1) and np.any(factor > 1) for factor in factors.values())
    frame = rng.random((1, 20, 24, 1), np.float32)
    out = graph.outputs[0]
    expected, got = (run_float(g, {"frame": frame})[out] for g in (graph, equal))
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_equalization_undoes_a_channel_that_is_only_loud() -> None:
    """A channel thirty times as large, and read thirty times as softly, costs hardly anything."""
    graph = sesr_graph(m=1, f=4, seed=7)
    factor = np.array([30.0, 1.0, 1.0, 1.0])
    nodes = {node.name: node for node in graph.nodes}
    first, body, last = (nodes[name] for name in ("first", "body0", "last"))
    along = (-1, 1, 1, 1)
    loud = {
        "first": replace(
            first, weight=first.weight * factor.reshape(along), bias=first.bias * factor
        ),
        "body0": replace(
            body,
            weight=body.weight * factor.reshape(along) / factor,
            bias=body.bias * factor,
        ),
        "last": replace(last, weight=last.weight / factor),
    }
    changed = replace(
        graph,
        nodes=tuple(
            replace(
                node,
                weight=np.asarray(loud[node.name].weight, np.float32),
                bias=np.asarray(loud[node.name].bias, np.float32),
            )
            if node.name in loud
            else node
            for node in graph.nodes
        ),
    )
    before, after, without = (
        psnr_db(net, quantize_graph(net, FRAMES, Scheme(equalize=on)), FRAMES)
        for net, on in ((graph, True), (changed, True), (changed, False))
    )
    assert after > before - 0.5
    assert after > without + 3


def test_an_error_where_the_picture_hangs_on_it_counts_more() -> None:
    """Nudging the first feature through a strong filter costs what the filter says."""
    graph = sesr_graph(m=1, f=4, seed=0)
    last = graph.nodes[[node.name for node in graph.nodes].index("last")]
    assert last.weight is not None
    weight = last.weight.copy()
    weight[..., 2] *= 10.0
    louder = tuple(replace(n, weight=weight) if n is last else n for n in graph.nodes)
    before = channel_weights(graph, FEEDS)[last.inputs[0]]
    after = channel_weights(replace(graph, nodes=louder), FEEDS)[last.inputs[0]]
    np.testing.assert_allclose(after[2] / before[2], 100.0, rtol=1e-2)
    np.testing.assert_allclose(after[[0, 1, 3]], before[[0, 1, 3]], rtol=1e-2)


@pytest.mark.parametrize("make", [sesr_graph, fsrcnn_graph])
@pytest.mark.parametrize("scheme", [Scheme("minmax", "nearest", False), Scheme()])
def test_int8_stays_near_the_float_network(make: object, scheme: Scheme) -> None:
    graph = make(seed=5)  # type: ignore[operator]
    int8 = quantize_graph(graph, FRAMES, scheme)
    assert int8.qparams.keys() == int8.tensors.keys()
    assert int8.qparams["frame"] == int8.qparams[int8.outputs[0]] == IMAGE
    for group in tied_tensors(int8):
        assert len({int8.qparams[name] for name in group}) == 1
    assert psnr_db(graph, int8, FRAMES) > 35


def test_the_default_scheme_beats_min_max() -> None:
    graph = sesr_graph(seed=2)
    plain = quantize_graph(graph, FRAMES, Scheme("minmax", "nearest", False))
    assert psnr_db(graph, quantize_graph(graph, FRAMES), FRAMES) > psnr_db(graph, plain, FRAMES)


def test_bias_correction_takes_the_mean_error_away() -> None:
    graph = sesr_graph(seed=3)
    out = graph.outputs[0]

    def mean_error(scheme: Scheme) -> float:
        int8 = quantize_graph(graph, FRAMES, scheme)
        errors = [
            np.mean(
                IMAGE.dequantize(run_int8(int8, {"frame": IMAGE.quantize(frame[None])})[out])
                - np.clip(run_float(graph, {"frame": frame[None]})[out], 0, 1)
            )
            for frame in FRAMES
        ]
        return abs(float(np.mean(errors)))

    corrected = mean_error(Scheme("minmax", "nearest", True))
    assert corrected < max(mean_error(Scheme("minmax", "nearest", False)), 2e-4)


def test_quantization_is_repeatable() -> None:
    graph = sesr_graph(m=2, seed=1)
    first, second = quantize_graph(graph, FRAMES), quantize_graph(graph, FRAMES)
    for one, two in zip(first.nodes, second.nodes, strict=True):
        np.testing.assert_array_equal(one.weight, two.weight)
        np.testing.assert_array_equal(one.bias, two.bias)
    assert first.qparams == second.qparams


def test_what_cannot_be_quantized_is_refused() -> None:
    graph = sesr_graph(m=1)
    with pytest.raises(QuantizeError, match="int8 already"):
        quantize_graph(quantize_graph(graph, FRAMES, Scheme("minmax", "nearest")), FRAMES)
    with pytest.raises(QuantizeError, match="no calibration frame"):
        quantize_graph(graph, [])


def test_calibration_takes_luma_as_a_decoder_delivers_it() -> None:
    frames = load_calibration(calibration_frames(), channels=1, limit=5)
    assert len(frames) == 5
    for frame in frames:
        assert frame.dtype == np.float32
        assert frame.shape[2] == 1
        codes = frame * 255
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        assert codes.min() >= 16
        assert codes.max() <= 235


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{index}.png")
    with pytest.raises(DataError, match="3 frames"):
        load_calibration(tmp_path, 1)


def test_a_steep_slope_is_rounded_alike_by_fast_and_reference_kernels() -> None:
    """Slopes of 0.4 keep both factors on the grid of 1/256, the negative one just over a half."""
    graph = sesr_graph(seed=6)
    nodes = tuple(
        replace(n, attrs={**n.attrs, "slope": 0.4}) if n.op == "leaky_relu" else n
        for n in graph.nodes
    )
    int8 = quantize_graph(replace(graph, nodes=nodes), FRAMES)
    leaky = [node for node in int8.nodes if node.op == "leaky_relu"]
    lifted = 0
    for node in leaky:
        before, after = (int8.qparams[name].scale for name in (node.inputs[0], node.output))
        factors = np.array([before / after, before / after * node.attrs["slope"]]) * 256
        if before != after:
            np.testing.assert_allclose(factors, np.rint(factors), atol=1e-3)
            assert round(factors[1]) == 129
            lifted += 1
    assert lifted
