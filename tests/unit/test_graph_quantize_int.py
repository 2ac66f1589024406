"""Weights, biases and slopes as integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.graph.quantize_int import (
    quantize_bias,
    quantize_slopes,
    quantize_weight,
    tied_tensors,
    weight_scales,
)
from tests.graphs import cell_graph, quantized, sesr_graph


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), magnitude=st.floats(1e-6, 1e3), scale=st.floats(1e-6, 1))
def test_codes_stand_for_the_weights_and_biases(seed: int, magnitude: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, magnitude, (4, 3, 3, 2)).astype(np.float32)
    weight[0] = 0
    bias = rng.normal(0, 1, 4).astype(np.float32)
    by = weight_scales(weight, bias, scale)
    codes, biases = quantize_weight(weight, by), quantize_bias(bias, scale, by)
    assert (codes.dtype, biases.dtype) == (np.int8, np.int32)
    assert codes.min() >= -127
    steps = by.astype(np.float64).reshape(-1, 1, 1, 1)
    assert (np.abs(codes * steps - weight) <= 0.501 * steps).all()
    bias_steps = scale * by.astype(np.float64)
    assert (np.abs(biases * bias_steps - bias) <= 0.501 * bias_steps + 1e-9).all()


def test_the_largest_weight_of_a_channel_takes_the_largest_code() -> None:
    graph = quantized(sesr_graph())
    for node in graph.nodes:
        if node.op == "conv2d":
            assert node.weight is not None
            assert (np.abs(node.weight.astype(int)).max(axis=(1, 2, 3)) == 127).all()


def test_slopes_share_one_scale() -> None:
    codes, scale = quantize_slopes(np.array([0.5, -0.25, 0.0], np.float32))
    assert codes.tolist() == [127, -64, 0]
    assert scale.shape == (1,)


def test_what_only_moves_codes_is_tied_and_so_is_state() -> None:
    groups = {frozenset(group) for group in tied_tensors(cell_graph())}
    assert groups == {
        frozenset({"frame", "state", "joined", "next_state"}),
        frozenset({"residual", "sr"}),
    }
