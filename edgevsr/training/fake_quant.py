"""The integer arithmetic of int8 kernels on tensors that gradients pass through.

Activations are centred codes, code − zero point: whole numbers that float32 holds exactly, zero
being zero, so that a convolution pads as it should and its sums are exact. Forward values are those
of `edgevsr.graph.reference_int8`, bit for bit; backward, rounding counts as the identity and a
saturated code lets nothing through.

Almost every result is far enough from the middle between two codes for float32 to decide it; the
few others are computed again in fixed point.

Source: straight-through estimator, Bengio, Léonard and Courville, 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevsr.graph.fixed_point import Multiplier, multiply, quantize_multiplier
from edgevsr.graph.ir import QuantParams

#: Centred codes lie this far from zero at most; whatever lies beyond is saturated.
_REACH = 256.0
#: The relative error of a product and two sums in float32, with room to spare.
FLOAT32_ERROR = 2.0**-21
#: Whole numbers up to here are exact in float32.
_FLOAT32_EXACT = 1 << 24
#: ADD works on inputs scaled up by this many bits.
_ADD_SHIFT = 20
#: Where zero stands in a table of centred codes.
TABLE_ZERO = 255
#: As `edgevsr.graph.quantize_int`: what a weight's scale is at least, and a bias at most.
_SMALLEST_SCALE = 1e-8
_LARGEST_BIAS = 2.0**30

#: Recomputes results in fixed point: flat positions, and their channels, to centred codes.
Exact = Callable[[Tensor, NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True)
class Limits:
    """The lowest and highest centred code of a tensor."""

    low: int
    high: int

    @staticmethod
    def of(params: QuantParams, relu: bool = False) -> Limits:
        """Return what int8 leaves of a tensor's codes, behind a fused ReLU from zero on."""
        return Limits(0 if relu else -128 - params.zero_point, 127 - params.zero_point)


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def through(values: Tensor, rounded: Tensor) -> Tensor:
    """Return `rounded`, exactly, with the gradient of `values`."""
    found: Tensor = _Through.apply(values, rounded)  # type: ignore[no-untyped-call]
    return found


def quantize_kernel(
    kernel: Tensor, bias: Tensor, input_scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return int8 codes (O, I, k, k), int32 bias codes (O) and weight scales (O) in float64.

    As `quantize_int.quantize_node`, from the same float32 weights: the largest of a filter is 127.
    """
    weight, offset = kernel.double(), bias.double()
    with torch.no_grad():
        largest = weight.abs().amax(dim=(1, 2, 3)) / 127.0
        scale = largest.clamp(min=_SMALLEST_SCALE)
        scale = torch.maximum(scale, offset.abs() / (input_scale * _LARGEST_BIAS))
        scale = scale.float().double()
    codes, bias_codes = weight / scale.view(-1, 1, 1, 1), offset / (input_scale * scale)
    codes = through(codes, codes.round()).clamp(-127, 127)
    return codes, through(bias_codes, bias_codes.round()), scale


def exact_dtype(codes: Tensor) -> torch.dtype:
    """Return the smallest float type whose sums of products with these codes (O, …) are exact."""
    largest = float(codes.detach().abs().flatten(1).sum(dim=1).max()) * 255.0
    return torch.float32 if largest < _FLOAT32_EXACT else torch.float64


@dataclass(frozen=True)
class SumRule:
    """How two tensors are added: their real factors, and the same as the kernels have it.

    `tables` hold each operand's shifted and scaled value by centred code, from −255 to 255; `by`
    takes their sum to the output's scale.
    """

    reals: tuple[float, float]
    tables: tuple[NDArray[np.int64], NDArray[np.int64]]
    by: Multiplier
    limits: Limits

    @staticmethod
    def of(x: QuantParams, y: QuantParams, out: QuantParams, limits: Limits) -> SumRule:
        """Return the rule of operands and output of these scales."""
        widest = 2.0 * max(x.scale, y.scale)
        shifted = np.arange(-TABLE_ZERO, TABLE_ZERO + 1) << _ADD_SHIFT
        return SumRule(
            (x.scale / out.scale, y.scale / out.scale),
            (
                multiply(shifted, quantize_multiplier(x.scale / widest)),
                multiply(shifted, quantize_multiplier(y.scale / widest)),
            ),
            quantize_multiplier(widest / ((1 << _ADD_SHIFT) * out.scale)),
            limits,
        )


class _Requantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        sums: Tensor,
        bias: Tensor,
        real: Tensor,
        zero_point: Tensor,
        by: Multiplier,
        limits: Limits,
    ) -> Tensor:
        factor = real.float().view(-1, 1, 1)
        start = (bias * real).float().view(-1, 1, 1)
        near = torch.addcmul(start, sums.float(), factor)

        def exact(where: Tensor, channels: NDArray[np.int64]) -> NDArray[np.int64]:
            picked = sums.flatten()[where].double().cpu().numpy()
            chosen = Multiplier(by.mantissa[channels], by.exponent[channels])
            return multiply(picked + bias.cpu().numpy()[channels], chosen)

        # Rounding twice moves a result by up to half a unit of the first rounding.
        twice = np.where(by.exponent < 0, 2.0 ** (by.exponent - 1.0), 0.0)
        margin = torch.from_numpy(twice).to(start).view(-1, 1, 1)
        margin = margin + (start.abs() + _REACH) * FLOAT32_ERROR
        codes = _settled(near, margin, exact, limits)
        learned = real.requires_grad and zero_point.requires_grad
        ctx.save_for_backward(codes, factor, near if learned else None)
        ctx.limits, ctx.dtype = limits, sums.dtype
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        codes, factor, near = ctx.saved_tensors
        grad = _unsaturated(grads[0], codes, ctx.limits)
        by_real = by_zero = None
        if near is not None:
            # A saturated code is where the range ends, which moves against the zero point.
            by_zero = (grad.sum() - grads[0].sum()).double()
            by_real = (grad * near).sum(dim=(0, 2, 3)).double() / factor.view(-1)
        grad = grad.mul_(factor)
        by_bias = grad.sum(dim=(0, 2, 3)).double()
        return grad.to(ctx.dtype), by_bias, by_real, by_zero, None, None


def requantize(
    sums: Tensor,
    bias: Tensor,
    real: Tensor,
    zero_point: Tensor,
    by: Multiplier,
    limits: Limits,
) -> Tensor:
    """Return centred codes of sums of products (N, C, H, W) and int32 bias codes (C).

    `real` (C, float64) is the multiplier to the output's scale, `by` its fixed-point form. Both it
    and `zero_point`, of the output, get gradients where both ask for them.
    """
    codes: Tensor = _Requantize.apply(  # type: ignore[no-untyped-call]
        sums.contiguous(), bias, real, zero_point, by, limits
    )
    return codes


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, reals: Tensor, zero_point: Tensor, rule: SumRule
    ) -> Tensor:
        near = torch.add(x * rule.reals[0], y, alpha=rule.reals[1])

        def exact(where: Tensor, channels: NDArray[np.int64]) -> NDArray[np.int64]:
            del channels
            total: NDArray[Any] = np.zeros((), np.int64)
            for operand, table in zip((x, y), rule.tables, strict=True):
                codes = operand.expand_as(near).reshape(-1)[where].cpu().numpy()
                total = total + table[codes.astype(np.int64) + TABLE_ZERO]
            return multiply(total, rule.by)

        # Each operand was rounded to a unit or less, which is the output's 2^exponent.
        unit = 2.0 ** min(int(rule.by.exponent), 0)
        operands = _REACH * (rule.reals[0] + rule.reals[1])
        margin = near.new_full((), 3.0 * unit + operands * FLOAT32_ERROR)
        codes = _settled(near, margin, exact, rule.limits)
        learned = reals.requires_grad
        ctx.save_for_backward(codes, *((x, y) if learned else ()))
        ctx.rule, ctx.broadcast = rule, y.shape[1] != x.shape[1]
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        codes, *operands = ctx.saved_tensors
        grad = _unsaturated(grads[0], codes, ctx.rule.limits)
        by_reals = by_zero = None
        if operands:
            by_reals = torch.stack([(grad * x).sum().double() for x in operands])
            by_zero = (grad.sum() - grads[0].sum()).double()
        first, second = ctx.rule.reals
        grad_y = None
        if ctx.needs_input_grad[1]:
            grad_y = (grad.sum(dim=1, keepdim=True) if ctx.broadcast else grad) * second
        return grad * first, grad_y, by_reals, by_zero, None


def add(x: Tensor, y: Tensor, reals: Tensor, zero_point: Tensor, rule: SumRule) -> Tensor:
    """Return the centred codes of a sum; `y` may have one channel.

    `reals` (2, float64) and `zero_point`, the output's, are for gradients; `rule` has the values.
    """
    codes: Tensor = _Add.apply(x.contiguous(), y, reals, zero_point, rule)  # type: ignore[no-untyped-call]
    return codes


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        real: Tensor,
        zero_point: Tensor,
        by: Multiplier,
        limits: Limits,
    ) -> Tensor:
        products = x * y
        factor = float(real.detach())
        near = products * factor

        def exact(where: Tensor, channels: NDArray[np.int64]) -> NDArray[np.int64]:
            del channels
            return multiply(products.reshape(-1)[where].cpu().numpy().astype(np.int64), by)

        twice = 2.0 ** (int(by.exponent) - 1) if by.exponent < 0 else 0.0
        margin = near.new_full((), twice + _REACH * FLOAT32_ERROR)
        codes = _settled(near, margin, exact, limits)
        learned = real.requires_grad and zero_point.requires_grad
        ctx.save_for_backward(codes, x, y)
        ctx.factor, ctx.limits, ctx.learned = factor, limits, learned
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        codes, x, y = ctx.saved_tensors
        grad = _unsaturated(grads[0], codes, ctx.limits)
        by_real = by_zero = None
        if ctx.learned:
            by_real = (grad * x * y).sum().double()
            by_zero = (grad.sum() - grads[0].sum()).double()
        grad = grad * ctx.factor
        return grad * y, grad * x, by_real, by_zero, None, None


def multiply_codes(
    x: Tensor, y: Tensor, real: Tensor, zero_point: Tensor, by: Multiplier, limits: Limits
) -> Tensor:
    """Return the centred codes of a product of two tensors of one shape.

    `real` (float64) is the multiplier to the output's scale, `by` its fixed-point form; both it and
    `zero_point`, of the output, get gradients where both ask for them.
    """
    codes: Tensor = _Multiply.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), y.contiguous(), real, zero_point, by, limits
    )
    return codes


def _settled(near: Tensor, margin: Tensor, exact: Exact, limits: Limits) -> Tensor:
    """Return `near` (N, C, H, W) rounded and saturated, by `exact` where it may be a tie.

    `margin` is how far from the middle between two codes a result must be to be safe.
    """
    codes = near.round()
    doubtful = (near - codes).abs_() > 0.5 - margin
    where = doubtful.view(-1).nonzero().view(-1)
    if len(where):
        _, count, height, width = near.shape
        channels = (where // (height * width) % count).cpu().numpy()
        codes.view(-1)[where] = torch.from_numpy(exact(where, channels)).to(codes)
    return codes.clamp_(limits.low, limits.high)


def _unsaturated(grad: Tensor, codes: Tensor, limits: Limits) -> Tensor:
    """Return the gradient where codes are inside their limits, zero where they are at one."""
    passed: Tensor = torch.ops.aten.hardtanh_backward(grad, codes, limits.low, limits.high)
    return passed
