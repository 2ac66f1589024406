"""The integer arithmetic that training sees is the kernels', and its gradients are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from edgevsr.graph.fixed_point import quantize_multiplier
from edgevsr.graph.fixed_point import requantize as requantize_codes
from edgevsr.graph.ir import Node, QuantParams
from edgevsr.graph.quantize_int import quantize_node
from edgevsr.graph.reference_int8 import activation_table, product_multiplier, run_node
from edgevsr.training import fake_quant
from edgevsr.training.fake_quant import Limits, SumRule
from edgevsr.training.fake_rectify import rectifier_rule, rectify

seeds = st.integers(0, 2**32 - 1)
zero_points = st.integers(-128, 127)
scales = st.floats(1e-4, 0.1).map(lambda value: float(np.float32(value)))


def centred(codes: np.ndarray, params: QuantParams) -> torch.Tensor:
    """Return codes (N, H, W, C) as tensors (N, C, H, W) of code − zero point."""
    values = codes.astype(np.float32).transpose(0, 3, 1, 2) - params.zero_point
    return torch.from_numpy(np.ascontiguousarray(values))


@given(seed=seeds, zero_point=zero_points, real=st.floats(1e-5, 1.5), relu=st.booleans())
def test_requantize_is_the_kernels(seed: int, zero_point: int, real: float, relu: bool) -> None:
    """Multipliers from tiny to above one, sums that land on ties and beyond saturation."""
    rng = np.random.default_rng(seed)
    reals = real * rng.uniform(0.5, 1.0, 4)
    reals[0] = 2.0 ** np.floor(np.log2(real))  # every other sum of this channel is a tie
    reach = np.ceil(300.0 / reals.min())
    sums = rng.integers(-reach, reach, (2, 5, 7, 4), endpoint=True).clip(-(2**23), 2**23)
    bias = rng.integers(-1000, 1000, 4)
    params = QuantParams(1.0, zero_point)
    low = zero_point if relu else -128
    by = quantize_multiplier(reals)
    expected = requantize_codes(sums + bias, by, zero_point, low)
    got = fake_quant.requantize(
        torch.from_numpy(sums.astype(np.float32).transpose(0, 3, 1, 2)),
        torch.from_numpy(bias.astype(np.float64)),
        torch.from_numpy(reals),
        torch.tensor(float(zero_point)),
        by,
        Limits.of(params, relu),
    )
    assert torch.equal(got, centred(expected, params))


@given(seed=seeds, sources=st.tuples(scales, scales, scales), zeros=st.tuples(*[zero_points] * 3))
def test_add_is_the_kernels(
    seed: int, sources: tuple[float, float, float], zeros: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    x, y, out = (QuantParams(*pair) for pair in zip(sources, zeros, strict=True))
    a = rng.integers(-128, 128, (1, 6, 9, 3)).astype(np.int8)
    b = rng.integers(-128, 128, (1, 6, 9, 1 if seed % 2 else 3)).astype(np.int8)
    limits = Limits.of(out, relu=seed % 3 == 0)
    node = Node("add", "add", ("x", "y"), "out", activation="relu" if seed % 3 == 0 else "none")
    expected = run_node(node, [a, b], {"x": x, "y": y, "out": out})
    reals = torch.tensor([x.scale / out.scale, y.scale / out.scale])
    rule = SumRule.of(x, y, out, limits)
    got = fake_quant.add(centred(a, x), centred(b, y), reals, torch.zeros(()), rule)
    assert torch.equal(got, centred(expected, out))


@given(seed=seeds, sources=st.tuples(scales, scales, scales), zeros=st.tuples(*[zero_points] * 3))
def test_products_are_the_kernels(
    seed: int, sources: tuple[float, float, float], zeros: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    x, y, out = (QuantParams(*pair) for pair in zip(sources, zeros, strict=True))
    a, b = (rng.integers(-128, 128, (1, 6, 9, 3)).astype(np.int8) for _ in range(2))
    relu = seed % 3 == 0
    node = Node("mul", "mul", ("x", "y"), "out", activation="relu" if relu else "none")
    expected = run_node(node, [a, b], {"x": x, "y": y, "out": out})
    got = fake_quant.multiply_codes(
        centred(a, x),
        centred(b, y),
        torch.tensor(x.scale * y.scale / out.scale, dtype=torch.float64),
        torch.zeros(()),
        product_multiplier(x, y, out),
        Limits.of(out, relu),
    )
    assert torch.equal(got, centred(expected, out))


def test_gradients_of_a_product_are_those_of_its_real_value() -> None:
    """To both operands, to the multiplier and, where codes are saturated, to the zero point."""
    x = torch.tensor([[[[10.0, -20.0, 100.0]]]], requires_grad=True)
    y = torch.tensor([[[[4.0, 30.0, 90.0]]]], requires_grad=True)
    real = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    zero = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    by = quantize_multiplier(0.1)
    codes = fake_quant.multiply_codes(x, y, real, zero, by, Limits(-125, 130))
    assert codes.flatten().tolist() == [4.0, -60.0, 130.0]
    codes.sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(x.grad.flatten(), torch.tensor([0.4, 3.0, 0.0]))
    torch.testing.assert_close(y.grad.flatten(), torch.tensor([1.0, -2.0, 0.0]))
    assert real.grad == 10 * 4 - 20 * 30
    assert zero.grad == -1


@example(scale=9.999999747378752e-05, finer=0.9, zero_point=0, slope=243 / 256, lowest=0)  # a tie
@given(
    scale=scales,
    finer=st.sampled_from([1.0, 1.0, 0.9, 0.53]),
    zero_point=zero_points,
    slope=st.one_of(st.integers(-256, 512).map(lambda n: n / 256), st.floats(-1.0, 2.0)),
    lowest=zero_points,
)
def test_rectifiers_are_the_kernels(
    scale: float, finer: float, zero_point: int, slope: float, lowest: int
) -> None:
    """Computed where that gives the table's codes, looked up where it does not."""
    source = QuantParams(scale, zero_point)
    target = QuantParams(float(np.float32(scale * finer)), lowest)
    node = Node("leaky_relu", "act", ("x",), "y", {"slope": slope})
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
    expected = run_node(node, [codes], {"x": source, "y": target})
    limits = Limits.of(target)
    rule = rectifier_rule(node, source, target, limits)
    got = rectify(centred(codes, source), rule, limits)
    assert torch.equal(got, centred(expected, target))


def test_a_common_leaky_layer_is_computed() -> None:
    source, target = QuantParams(0.02, -40), QuantParams(0.02, -119)
    for slope in (0.0, 26 / 256, 64 / 256, -13 / 256):
        node = Node("leaky_relu", "act", ("x",), "y", {"slope": slope})
        rule = rectifier_rule(node, source, target, Limits.of(target))
        assert rule.offset is not None


def test_slopes_of_each_channel_are_the_kernels() -> None:
    rng = np.random.default_rng(0)
    source, target = QuantParams(0.02, -40), QuantParams(0.015, -60)
    slopes = rng.uniform(-0.5, 1.2, 5).astype(np.float32)
    node = Node("prelu", "act", ("x",), "y", weight=slopes)
    codes = np.repeat(np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1), 5, axis=3)
    int8 = quantize_node(node, source.scale)
    table = activation_table(int8, source, target)
    limits = Limits.of(target)
    rule = rectifier_rule(node, source, target, limits)
    got = rectify(centred(codes, source), rule, limits)
    assert torch.equal(got, centred(table.reshape(1, 16, 16, 5), target))


@given(seed=seeds, input_scale=scales, size=st.floats(-9.0, 1.0))
def test_weights_and_biases_are_the_quantizers(seed: int, input_scale: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    weight = (10.0**size * rng.standard_normal((4, 3, 3, 2))).astype(np.float32)
    weight[0] = 0.0
    bias = rng.standard_normal(4).astype(np.float32)
    node = Node("conv2d", "conv", ("x",), "y", {"groups": 1}, weight, bias)
    int8 = quantize_node(node, input_scale)
    kernel = torch.from_numpy(np.ascontiguousarray(weight.transpose(0, 3, 1, 2)))
    codes, offsets, scale = fake_quant.quantize_kernel(
        kernel, torch.from_numpy(bias), torch.tensor(input_scale, dtype=torch.float64)
    )
    assert int8.weight is not None
    assert int8.weight_scale is not None
    assert np.array_equal(codes.numpy(), int8.weight.transpose(0, 3, 1, 2))
    assert np.array_equal(scale.numpy(), int8.weight_scale.astype(np.float64))
    assert int8.bias is not None
    assert np.array_equal(offsets.numpy(), int8.bias)


def test_sums_that_float32_would_round_go_through_float64() -> None:
    small, large = torch.full((1, 500, 1, 1), 127.0), torch.full((1, 600, 1, 1), 127.0)
    assert fake_quant.exact_dtype(small) is torch.float32  # 500 · 127 · 255 is below 2^24
    assert fake_quant.exact_dtype(large) is torch.float64


def test_gradients_of_a_requantized_sum() -> None:
    """By hand: a half inside the codes, nothing at either end; a bias gathers its pixels'.

    The multiplier gathers sums inside; where codes end moves against the zero point.
    """
    sums = torch.tensor([-600.0, -3.0, 8.0, 600.0]).view(1, 1, 1, 4).requires_grad_()
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    real = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    zero = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    by = quantize_multiplier([0.5])
    codes = fake_quant.requantize(sums, bias, real, zero, by, Limits(-128, 127))
    assert codes.flatten().tolist() == [-128.0, -1.0, 4.0, 127.0]  # −1.5 goes up
    torch.autograd.backward(codes, torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 1, 1, 4))
    gradients = [tensor.grad for tensor in (sums, bias, real, zero)]
    found = [None if each is None else each.flatten().tolist() for each in gradients]
    assert found == [[0.0, 1.0, 2.0, 0.0], [3.0], [26.0], [-9.0]]


def test_gradients_of_a_weight() -> None:
    """A code is a weight over its scale; the scale is the largest weight over 127."""
    kernel = torch.tensor([1.27, 0.306]).view(1, 2, 1, 1).requires_grad_()
    bias = torch.tensor([0.1], requires_grad=True)
    codes, offsets, _ = fake_quant.quantize_kernel(kernel, bias, torch.tensor(0.5))
    assert codes.flatten().tolist() == [127.0, 31.0]
    assert offsets.tolist() == [20.0]
    torch.autograd.backward(codes.sum() + offsets.sum())
    assert kernel.grad is not None
    assert bias.grad is not None
    assert kernel.grad.flatten().tolist() == pytest.approx([100.0, 100.0], rel=1e-6)
    assert bias.grad.tolist() == pytest.approx([200.0], rel=1e-6)


def test_gradients_of_a_sum_and_a_rectifier() -> None:
    source, target = QuantParams(0.02, 0), QuantParams(0.04, 0)
    x = torch.tensor([10.0, -100.0]).view(1, 2, 1, 1).requires_grad_()
    y = torch.tensor([7.0]).view(1, 1, 1, 1).requires_grad_()
    reals = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    zero = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    limits = Limits.of(target)
    total = fake_quant.add(x, y, reals, zero, SumRule.of(source, source, target, limits))
    assert total.flatten().tolist() == [9.0, -47.0]  # 8.5 away from zero; −46.5 likewise
    node = Node("leaky_relu", "act", ("x",), "y", {"slope": 0.25})
    rule = rectifier_rule(node, target, target, limits)
    out = rectify(total, rule, limits)
    assert out.flatten().tolist() == [9.0, -12.0]
    torch.autograd.backward(out, torch.ones(1, 2, 1, 1))
    gradients = [tensor.grad for tensor in (x, y, reals, zero)]
    found = [None if each is None else each.flatten().tolist() for each in gradients]
    assert found == [[0.5, 0.125], [0.625], [10.0 - 25.0, 7.0 + 1.75], [0.0]]
