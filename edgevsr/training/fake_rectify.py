"""Rectifiers of int8 kernels on tensors that gradients pass through (see `fake_quant`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgevsr.graph.ir import Node, QuantParams
from edgevsr.graph.quantize_int import quantize_node
from edgevsr.graph.reference_int8 import activation_table
from edgevsr.training.fake_quant import FLOAT32_ERROR, TABLE_ZERO, Limits


@dataclass(frozen=True)
class RectifierRule:
    """A rectifier by its table: centred codes out (C, 511) for centred codes in, from −255.

    C is one or the number of channels; `positive` and `negative` (C) are the real factors of both
    sides. With an `offset`, rounding the factors' product plus it gives the table's very codes.
    """

    table: Tensor
    positive: float
    negative: Tensor
    offset: float | None


def rectifier_rule(
    node: Node, source: QuantParams, target: QuantParams, limits: Limits
) -> RectifierRule:
    """Return the rule of a relu, leaky_relu or prelu node of float slopes.

    One slope a layer is computed, not looked up, where that gives the same codes.
    """
    node = quantize_node(node, source.scale)
    codes = activation_table(node, source, target).astype(np.int64).T - target.zero_point
    slopes = np.array([float(node.attrs.get("slope", 0.0))])
    if node.weight is not None and node.weight_scale is not None:
        slopes = node.weight.reshape(-1) * float(node.weight_scale[0])
    first = -128 - source.zero_point
    table = np.zeros((len(codes), 2 * TABLE_ZERO + 1), np.float32)
    table[:, first + TABLE_ZERO : first + TABLE_ZERO + 256] = codes
    positive = source.scale / target.scale
    negative = positive * slopes
    offset = None
    if len(codes) == 1:
        given = torch.arange(first, first + 256, dtype=torch.float32)
        # Rounding twice favours the far side of zero by up to half a unit of the first rounding.
        twice = 2.0 ** (float(np.frexp(negative[0])[1]) - 1.0) * (1.0 - 2.0**-8)
        for candidate in (0.0, -twice, twice):
            near = _scaled(given, positive, float(negative[0])).add_(candidate)
            found = near.round().clamp_(limits.low, limits.high)
            # A tie would be broken by how a tensor's layout has its products rounded.
            certain = (near - near.round()).abs() < 0.5 - (near.abs() + 1.0) * FLOAT32_ERROR
            saturated = (near < limits.low - 1) | (near > limits.high + 1)
            if (certain | saturated).all() and np.array_equal(found.numpy(), codes[0]):
                offset = candidate
                break
    real = torch.from_numpy(negative.astype(np.float32))
    return RectifierRule(torch.from_numpy(table), positive, real, offset)


def _scaled(x: Tensor, positive: float, negative: float) -> Tensor:
    values = F.leaky_relu(x, negative / positive)
    return values.mul_(positive) if positive != 1.0 else values


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: RectifierRule, limits: Limits) -> Tensor:
        if rule.offset is not None:
            near = _scaled(x, rule.positive, float(rule.negative[0])).add_(rule.offset)
            codes = near.round_().clamp_(limits.low, limits.high)
        else:
            width = rule.table.shape[1]
            first = torch.arange(len(rule.table), device=x.device) * width + TABLE_ZERO
            codes = rule.table.to(x.device).take(x.long() + first.view(-1, 1, 1))
        ctx.save_for_backward(x)
        ctx.rule = rule
        return codes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        rule: RectifierRule = ctx.rule
        if len(rule.negative) == 1:
            slope = float(rule.negative[0]) / rule.positive
            grad = torch.ops.aten.leaky_relu_backward(grads[0], x, slope, False)
            return grad * rule.positive if rule.positive != 1.0 else grad, None, None
        negative = rule.negative.to(x.device).view(-1, 1, 1)
        return grads[0] * torch.where(x > 0, rule.positive, negative), None, None


def rectify(x: Tensor, rule: RectifierRule, limits: Limits) -> Tensor:
    """Return the centred codes of an element-wise rectifier."""
    codes: Tensor = _Rectify.apply(x, rule, limits)  # type: ignore[no-untyped-call]
    return codes
