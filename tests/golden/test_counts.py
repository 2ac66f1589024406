"""Weights, MACs and bytes of the published networks, counted by hand from their structure."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from edgevsr.graph.from_tflite import graph_from_tflite
from edgevsr.graph.ir import Graph
from edgevsr.profiling.counts import count_graph
from tests.graphs import fsrcnn_graph, quantized, sesr_graph

# (f, m): 25·f in the first convolution, 9·f² in each of m blocks, 25·f·scale² in the last.
SESR = {"m3": (16, 3), "m5": (16, 5), "m7": (16, 7), "m11": (16, 11), "xl": (32, 11)}
WEIGHTS_X2 = {"m3": 8_912, "m5": 13_520, "m7": 18_128, "m11": 27_344, "xl": 105_376}
WEIGHTS_X4 = {"m3": 13_712, "m5": 18_320, "m7": 22_928, "m11": 32_144, "xl": 114_976}
# For a 1280x720 SR frame, rounded as the papers round.
GMAC_X2 = {"m3": 2.05, "m5": 3.115, "m7": 4.18, "m11": 6.30, "xl": 24.28}
GMAC_X4 = {"m3": 0.79, "m5": 1.055, "m7": 1.32, "m11": 1.85, "xl": 6.62}


@pytest.mark.parametrize("activation", ["relu", "leaky", "prelu"])
@pytest.mark.parametrize("name", SESR)
@pytest.mark.parametrize(
    ("scale", "size", "weights", "gmac"),
    [(2, (640, 360), WEIGHTS_X2, GMAC_X2), (4, (320, 180), WEIGHTS_X4, GMAC_X4)],
)
def test_sesr_counts_as_published(
    name: str,
    activation: str,
    scale: int,
    size: tuple[int, int],
    weights: dict[str, int],
    gmac: dict[str, float],
) -> None:
    """Every SESR has the published weights and MACs, whatever its activation."""
    features, blocks = SESR[name]
    counts = count_graph(sesr_graph(blocks, features, scale, 1, activation), size)
    assert counts.params == weights[name]
    assert counts.gmac == weights[name] * size[0] * size[1] / 1e9
    assert counts.gmac == pytest.approx(gmac[name], abs=0.006)
    assert counts.gmac_per_hr_pixel == counts.gmac


@pytest.mark.parametrize(
    ("scale", "size", "per_lr_pixel", "per_hr_pixel"),
    # 7,928 weights ahead of the deconvolution's 4,536, at 230,400 or 57,600 LR pixels.
    [(2, (640, 360), 2_871_705_600, 6_006_988_800), (4, (320, 180), 717_926_400, 4_637_030_400)],
)
def test_fsrcnn_is_counted_both_ways(
    scale: int, size: tuple[int, int], per_lr_pixel: int, per_hr_pixel: int
) -> None:
    """FSRCNN has 12,464 weights; its deconvolution is counted per LR and per HR pixel."""
    counts = count_graph(fsrcnn_graph(56, 12, 4, scale), size)
    assert counts.params == 12_464
    assert round(counts.gmac * 1e9) == per_lr_pixel
    assert round(counts.gmac_per_hr_pixel * 1e9) == per_hr_pixel


def test_fsrcnn_s_weights() -> None:
    """FSRCNN-s (32, 5, 1) has 800 + 160 + 225 + 160 + 2,592 weights."""
    assert count_graph(fsrcnn_graph(32, 5, 1, 2), (64, 36)).params == 3_937


def test_int8_traffic_of_sesr_m5_at_1080p() -> None:
    """Layer by layer SESR-M5 x2 moves 262 bytes a pixel, its weights and its biases.

    Convolutions 17 + 5·32 + 20 channels, residual adds 48 and 9, DEPTH_TO_SPACE 8; 13,520 weights;
    100 biases of four bytes.
    """
    counts = count_graph(quantized(sesr_graph(activation="relu")), (1920, 1080))
    assert counts.dram_bytes == 262 * 1920 * 1080 + 13_520 + 400
    convolutions = [layer for layer in counts.layers if layer.node.op == "conv2d"]
    maps = sum(layer.bytes - layer.weight_bytes for layer in convolutions)
    assert maps == 408_499_200


def test_int8_traffic_of_fsrcnn_at_1080p() -> None:
    """With fused activations FSRCNN x2 moves 349 bytes a pixel between its convolutions.

    57 + 68 + 4·24 + 68 channels at LR, then 56 read and 4 written by the deconvolution.
    """
    graph = quantized(fsrcnn_graph(activation="relu"))
    counts = count_graph(graph, (1920, 1080))
    maps = sum(
        layer.bytes - layer.weight_bytes
        for layer in counts.layers
        if layer.node.op in ("conv2d", "transpose_conv")
    )
    assert maps == 349 * 1920 * 1080


@pytest.mark.parametrize(("make_int8", "element_bytes"), [(True, 1), (False, 4)])
def test_peak_of_sesr_m5(make_int8: bool, element_bytes: int) -> None:
    """At its widest SESR holds the frame, the long residual and two maps of 16 channels."""
    graph: Graph = sesr_graph(activation="relu")
    counts = count_graph(quantized(graph) if make_int8 else graph, (640, 360))
    assert counts.peak_activation_bytes == 49 * 640 * 360 * element_bytes


LATENCY = Path(__file__).resolve().parents[3] / "shared" / "data" / "latency"


@pytest.mark.shared
def test_files_that_others_published_count_as_they_say() -> None:
    """19 files of ETDS, ECBSR, ABPN and FSRCNN have the weights and MACs of their paper's table.

    The table's weights include biases and slopes, to two decimals of a thousand; its MACs count
    deconvolutions per HR pixel and slopes as MACs.
    """
    with (LATENCY / "etds_table2.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] != "ESPCN"]  # has TANH
    assert len(rows) == 19
    for row in rows:
        graph = graph_from_tflite(LATENCY / row["file"])
        assert graph.size == (640, 360)
        counts = count_graph(graph, graph.size)
        extra = sum(
            (node.bias.size if node.bias is not None else 0)
            + (node.weight.size if node.op == "prelu" and node.weight is not None else 0)
            for node in graph.nodes
        )
        assert (counts.params + extra) / 1e3 == pytest.approx(float(row["params_k"]), abs=0.006)
        assert counts.gmac_per_hr_pixel == pytest.approx(float(row["gmac"]), rel=0.01)
