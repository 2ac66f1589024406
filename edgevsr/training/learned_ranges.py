"""Scales and zero points that are learned with the weights.

What is learned is where a tensor's codes end, below and above zero, each as a logarithm: a step
changes it by a share of itself. A range that begins at zero stays there; images and states keep
1/255 and −128; and behind a leaky rectifier the scale follows the one before it.

Source: learned step sizes, Esser et al., ICLR 2020; with offsets, Bhalgat et al., CVPRW 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from edgevsr.graph.ir import Graph, Node, QuantParams
from edgevsr.graph.quantize_int import tied_tensors
from edgevsr.quantization.ranges import IMAGE
from edgevsr.training.fake_quant import through

_RECTIFIERS = ("leaky_relu", "prelu")
#: How much of a range's gradient counts when a step's gradients are clipped together with the
#: weights': every pixel has a say in it, so that it is by far the largest.
_GRADIENT_SHARE = 1e-3


class Range(NamedTuple):
    """A tensor's quantization now: as the kernels have it, and as gradients reach it."""

    params: QuantParams
    scale: Tensor
    zero_point: Tensor


class LearnedRanges(nn.Module):
    """The quantization of every tensor of a graph; `limits` (G, 2) are the logarithms."""

    def __init__(self, graph: Graph, start: Mapping[str, QuantParams]) -> None:
        super().__init__()
        self._start = dict(start)
        self._rectified = {
            node.output: node
            for node in graph.nodes
            if node.op in _RECTIFIERS and not {node.output, node.inputs[0]} & _images(start)
        }
        self._group = _groups(graph, start, self._rectified)
        count = 1 + max(self._group.values(), default=-1)
        limits = torch.zeros(count, 2, dtype=torch.float64)
        below = torch.zeros(count, dtype=torch.bool)
        for name, group in self._group.items():
            low, high = _ends(start[name])
            limits[group, 0], limits[group, 1] = math.log(max(low, 1e-9)), math.log(high)
            below[group] = low > 0
        self.limits = nn.Parameter(limits)
        self._below = below

    def now(self) -> dict[str, Range]:
        """Return every tensor's quantization."""
        limits = through(self.limits * _GRADIENT_SHARE, self.limits)
        low = torch.where(self._below.to(limits.device), limits[:, 0].exp(), 0.0)
        scale = (low + limits[:, 1].exp()) / 255.0
        scale = through(scale, scale.float().double())
        zero = -128.0 + low / scale
        zero = through(zero, zero.round().clamp(-128, 127))
        found: dict[str, Range] = {}
        for name, params in self._start.items():
            if name in self._group:
                index = self._group[name]
                now = QuantParams(float(scale[index].detach()), round(float(zero[index].detach())))
                found[name] = Range(now, scale[index], zero[index])
            elif name not in self._rectified:
                found[name] = _fixed(params, limits)
        for name, node in self._rectified.items():
            found[name] = self._behind(node, found[node.inputs[0]])
        return found

    def _behind(self, node: Node, before: Range) -> Range:
        """Return the range behind a rectifier: the scale's share stays, the codes end where the
        negative side does."""
        started, after = self._start[node.inputs[0]], self._start[node.output]
        ratio = after.scale / started.scale
        same = after.scale == started.scale
        scale = before.scale * ratio
        scale = before.scale if same else through(scale, scale.float().double())
        slope = float(np.max(node.attrs["slope"] if node.weight is None else node.weight))
        lowest = max(0.0, (128 + before.params.zero_point) * slope / ratio)
        # A halved scale rounds as an equal one does; one that lifts a slope makes room.
        codes = round(lowest) if math.frexp(ratio)[0] == 0.5 else math.ceil(lowest)
        params = QuantParams(float(scale.detach()), min(127, -128 + codes))
        return Range(params, scale, scale.detach().new_tensor(params.zero_point))


def _images(start: Mapping[str, QuantParams]) -> set[str]:
    """Return the tensors at the quantization of images, where they stay."""
    return {
        name
        for name, params in start.items()
        if np.float32(params.scale) == np.float32(IMAGE.scale)
        and params.zero_point == IMAGE.zero_point
    }


def _groups(
    graph: Graph, start: Mapping[str, QuantParams], rectified: Mapping[str, Any]
) -> dict[str, int]:
    """Return the number of the range of every tensor that has one of its own or shares it."""
    tied = {name: min(group) for group in tied_tensors(graph) for name in group}
    fixed = _images(start) | set(rectified)
    heads = [tied.get(name, name) for name in start if name not in fixed]
    numbers = {head: number for number, head in enumerate(dict.fromkeys(heads))}
    return {name: numbers[tied.get(name, name)] for name in start if name not in fixed}


def _ends(params: QuantParams) -> tuple[float, float]:
    """Return how far codes reach below and above zero."""
    low = params.scale * (128 + params.zero_point)
    return low, params.scale * max(127 - params.zero_point, 1)


def _fixed(params: QuantParams, like: Tensor) -> Range:
    values = torch.tensor([params.scale, params.zero_point], dtype=torch.float64)
    scale, zero = values.to(like.device).unbind()
    return Range(params, scale, zero)
