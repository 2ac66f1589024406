"""The cost model: what is worked out by hand, and what must hold for every device and graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import BudgetError
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import count_graph
from edgevsr.profiling.devices import Device, Fact, device_names, load_device
from edgevsr.profiling.roofline import estimate
from edgevsr.profiling.work import ride_along, winograd_gain
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph

SIZE = (640, 360)
PIXELS = 640 * 360
M5 = quantized(sesr_graph(activation="relu"))
LEAKY_M5 = quantized(sesr_graph(activation="leaky"))


def device(**facts: float) -> Device:
    """A device of these facts: by default 1 TOP/s int8 and 1 GB/s."""
    facts = {"peak_int8_tops": 1.0, "dram_gb_s": 1.0, **facts}
    return Device(
        "toy", "Toy", {key: Fact(value, "test", "published") for key, value in facts.items()}
    )


def test_memory_bound_by_hand() -> None:
    """With endless arithmetic, time is bytes over bandwidth, layer by layer and in total."""
    found = estimate(M5, SIZE, device(peak_int8_tops=1e4))
    bytes_moved = 262 * PIXELS + 13_520 + 400
    assert found.dram_bytes == bytes_moved
    assert found.latency_ms == pytest.approx(bytes_moved / 1e9 * 1e3)
    assert found.bound_by == "memory"
    assert found.fps == pytest.approx(1e9 / bytes_moved)


def test_compute_bound_by_hand() -> None:
    """With endless bandwidth, time is two operations a MAC over the peak, at full utilisation."""
    found = estimate(M5, SIZE, device(dram_gb_s=1e9))
    assert found.latency_ms == pytest.approx(2 * 13_520 * PIXELS / 1e12 * 1e3, rel=1e-4)
    assert found.bound_by == "compute"
    assert found.utilisation == pytest.approx(1, rel=1e-4)


def test_padded_channels_by_hand() -> None:
    """On a 16x16 array the 5x5 from one channel and the 5x5 to four cost as 16 to 16."""
    found = estimate(
        M5, SIZE, device(dram_gb_s=1e9, in_channel_multiple=16, out_channel_multiple=16)
    )
    spent = (25 * 256 + 5 * 9 * 256 + 25 * 256) * PIXELS
    assert found.latency_ms == pytest.approx(2 * spent / 1e12 * 1e3, rel=1e-4)
    assert found.utilisation == pytest.approx(13_520 * PIXELS / spent, rel=1e-4)


def test_elementwise_rate_by_hand() -> None:
    """Two adds and the DEPTH_TO_SPACE leave 16 + 4 + 4 elements a pixel on the vector unit."""
    fast = {"peak_int8_tops": 1e4, "dram_gb_s": 1e9}
    found = estimate(M5, SIZE, device(**fast, elementwise_gops=1.0))
    assert found.bound_by == "elementwise"
    assert found.latency_ms == pytest.approx(24 * PIXELS / 1e9 * 1e3, rel=0.01)


@pytest.mark.parametrize(
    ("kernel", "gain"),
    # 16 products for 2x2 outputs a 3x3 piece, against 4·k² direct.
    [((3, 3), 36 / 16), ((5, 5), 100 / 64), ((9, 9), 324 / 144), ((1, 1), 1), ((2, 2), 1)],
)
def test_winograd_gain_by_hand(kernel: tuple[int, int], gain: float) -> None:
    """A 3x3 kernel takes 16 products where the direct form takes 36; small kernels gain nothing."""
    assert winograd_gain(*kernel) == gain


def test_winograd_gain_is_numerically_true() -> None:
    """F(2, 3) really gives two outputs of a 3-tap filter from four products (nested: 16 for 36)."""
    rng = np.random.default_rng(0)
    d, g = rng.normal(size=4), rng.normal(size=3)
    products = np.array(
        [
            (d[0] - d[2]) * g[0],
            (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2,
            (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2,
            (d[1] - d[3]) * g[2],
        ]
    )
    outputs = [products[0] + products[1] + products[2], products[1] - products[2] - products[3]]
    np.testing.assert_allclose(outputs, [d[:3] @ g, d[1:] @ g])
    assert winograd_gain(3, 3) == 36 / len(products) ** 2


def test_zero_insertion_costs_the_deconvolution_per_hr_pixel() -> None:
    """Only a device that inserts zeros pays FSRCNN's deconvolution four times at x2."""
    graph = quantized(fsrcnn_graph(activation="relu"))
    skips = estimate(graph, SIZE, device(dram_gb_s=1e9))
    inserts = estimate(graph, SIZE, device(dram_gb_s=1e9, deconvolution_per_hr_pixel=True))
    assert skips.latency_ms == pytest.approx(2 * 2_871_705_600 / 1e9, rel=1e-4)
    assert inserts.latency_ms == pytest.approx(2 * 6_006_988_800 / 1e9, rel=1e-4)


def test_activations_ride_along() -> None:
    """One slope a layer costs as much as a fused ReLU, and its rows are empty."""
    riding = estimate(LEAKY_M5, SIZE, device())
    fused = estimate(M5, SIZE, device())
    assert riding.latency_ms == pytest.approx(fused.latency_ms)
    for node, layer in zip(LEAKY_M5.nodes, riding.layers, strict=True):
        assert (layer.limit is None) == (node.op == "leaky_relu")


def test_an_activation_does_not_ride_where_its_input_is_read_elsewhere() -> None:
    """A value that something else reads must be written before its activation."""
    graph = sesr_graph(1, 4, activation="leaky")
    first = graph.nodes[0]
    assert first.name == "first"
    nodes = tuple(
        replace(node, inputs=(node.inputs[0], first.output)) if node.op == "add" else node
        for node in graph.nodes
    )
    shared = replace(graph, nodes=nodes)
    assert len(ride_along(graph).nodes) == len(graph.nodes) - 2
    assert "first_act" in {node.name for node in ride_along(shared).nodes}


def test_sram_keeps_what_fits() -> None:
    """With SRAM for every live tensor only the frame, the weights and the SR frame cross DRAM."""
    peak = count_graph(M5, SIZE).peak_activation_bytes
    roomy = estimate(M5, SIZE, device(sram_bytes=peak))
    assert (
        roomy.dram_bytes == PIXELS * (1 + 1 + 4) + 13_520 + 400
    )  # frame: convolution and residual
    tight = estimate(M5, SIZE, device(sram_bytes=peak - 1))
    assert roomy.dram_bytes < tight.dram_bytes < estimate(M5, SIZE, device()).dram_bytes


def test_state_always_crosses_dram() -> None:
    """Recurrent state is an input and an output: no SRAM holds it from frame to frame."""
    cell = quantized(cell_graph(f=8))
    found = estimate(cell, SIZE, device(sram_bytes=1 << 30))
    weights = sum(layer.weight_bytes for layer in count_graph(cell, SIZE).layers)
    assert found.dram_bytes == PIXELS * (1 + 8 + 8 + 1 + 4) + weights


def test_given_bandwidth_replaces_the_profiles() -> None:
    """--dram-gb-s takes the assumed number's place, also in what is printed."""
    ethos = load_device("ethos-n78-4tops")
    assumed = estimate(M5, SIZE, ethos)
    given_ = estimate(M5, SIZE, ethos, dram_gb_s=1.0)
    assert any(line.startswith("assumed: dram_gb_s = 17.07") for line in assumed.assumptions)
    assert not any(line.startswith("assumed: dram_gb_s") for line in given_.assumptions)
    assert "given: dram_gb_s = 1 (--dram-gb-s)" in given_.assumptions
    assert given_.latency_ms > assumed.latency_ms


def test_what_a_profile_lacks_is_said() -> None:
    """No float peak, no bandwidth, or a nonsensical one: an error with the way out."""
    with pytest.raises(BudgetError, match=r"no float peak; quantize .*edgevsr quantize"):
        estimate(sesr_graph(), SIZE, device())
    bare = replace(device(), facts={"peak_int8_tops": Fact(1.0, "test", "published")})
    with pytest.raises(BudgetError, match=r"no source states its memory bandwidth.*--dram-gb-s"):
        estimate(M5, SIZE, bare)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BudgetError, match=r"--dram-gb-s .*positive"):
            estimate(M5, SIZE, device(), dram_gb_s=wrong)


@pytest.mark.parametrize("name", device_names())
def test_every_shipped_device_estimates(name: str) -> None:
    """Times are positive, add up, and grow with the frame; or the profile says what is missing."""
    profile = load_device(name)
    if profile.value("peak_int8_tops") is None:
        with pytest.raises(BudgetError, match=r"publishes n.*edgevsr calibrate"):
            estimate(M5, SIZE, profile)
        return
    if profile.value("dram_gb_s") is None:
        with pytest.raises(BudgetError, match=r"--dram-gb-s.*edgevsr calibrate"):
            estimate(M5, SIZE, profile)
        return
    small = estimate(M5, (320, 180), profile)
    large = estimate(M5, SIZE, profile)
    assert 0 < small.latency_ms < large.latency_ms
    layers_ms = sum(layer.ms for layer in large.layers)
    assert layers_ms + large.overhead_ms == pytest.approx(large.latency_ms)
    assert large.utilisation > 0


GRAPHS = [M5, LEAKY_M5, quantized(fsrcnn_graph(8, 4, 1)), quantized(cell_graph())]
POSITIVE = st.floats(0.01, 1e3)
FACTS = st.fixed_dictionaries(
    {"peak_int8_tops": POSITIVE, "dram_gb_s": POSITIVE},
    optional={
        "sram_bytes": st.integers(1024, 1 << 24),
        "elementwise_gops": POSITIVE,
        "in_channel_multiple": st.sampled_from([1, 8, 16]),
        "out_channel_multiple": st.sampled_from([1, 8, 16]),
        "winograd": st.booleans(),
        "deconvolution_per_hr_pixel": st.booleans(),
    },
)
BETTER = ["peak_int8_tops", "dram_gb_s", "sram_bytes", "elementwise_gops"]


@settings(deadline=None)
@given(st.sampled_from(GRAPHS), FACTS, st.sampled_from(BETTER), st.floats(1, 100))
def test_a_better_device_is_never_slower(
    graph: Graph, facts: dict[str, Any], key: str, times: float
) -> None:
    """More of any resource never makes the estimate longer."""
    better = {**facts, key: facts[key] * times} if key in facts else facts
    before, after = (estimate(graph, (64, 48), device(**each)) for each in (facts, better))
    assert after.latency_ms <= before.latency_ms * (1 + 1e-12)


@settings(deadline=None)
@given(st.sampled_from(GRAPHS), FACTS)
def test_no_estimate_beats_the_roof(graph: Graph, facts: dict[str, Any]) -> None:
    """A frame takes at least its own traffic and, without Winograd, its own MACs."""
    found = estimate(graph, (64, 48), device(**facts))
    assert found.latency_ms >= found.dram_bytes / (facts["dram_gb_s"] * 1e6) * (1 - 1e-12)
    if not facts.get("winograd"):
        assert found.utilisation <= 1 + 1e-12
