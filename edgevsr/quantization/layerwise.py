"""One layer after another, float and int8 side by side, each layer's integers fixed.

Each sees what the int8 layers before it really deliver, so it can make up for their errors: its
weights are fitted anew to the float network's outputs, rounded together, and its bias takes away
what mean error is left. In a recurrent network the state comes from the int8 network of the pass
before, rolled over the clips, so that the layers make up for what the loop does too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.quantize_int import quantize_bias, quantize_slopes, weight_scales
from edgevsr.graph.reference import run_node_float
from edgevsr.graph.reference_int8 import run_node
from edgevsr.progress import Bar
from edgevsr.quantization.ranges import Ranges
from edgevsr.quantization.recurrence import Feed
from edgevsr.quantization.rounding import (
    Matrix,
    Taps,
    choose_scales,
    nearest,
    phase_taps,
    refit,
    round_together,
    windows,
)

Rounding = Literal["nearest", "together"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "together")

_WINDOWS = 20_000
_LARGEST_BIAS = 2.0**30


@dataclass(frozen=True)
class Scheme:
    """How to quantize: w8a8, weights per output channel, activations per tensor.

    `ranges` picks activations' ranges. `rounding` "nearest" keeps each weight's nearest code;
    "together" refits and rounds a filter's weights jointly. `bias_correction` takes each output
    channel's mean error away. `equalize` first brings a tensor's channels to one range.
    """

    ranges: Ranges = "mse"
    rounding: Rounding = "together"
    bias_correction: bool = True
    equalize: bool = True


class Layerwise:
    """Walks the graph once, float and int8 side by side, fixing each layer's integers."""

    def __init__(
        self,
        graph: Graph,
        qparams: Mapping[str, QuantParams],
        feeds: Sequence[Feed],
        codes: Sequence[Feed],
        scheme: Scheme,
    ) -> None:
        """Take the inputs by tensor of every frame, as the float and as the int8 network."""
        self.graph, self.qparams, self.scheme = graph, qparams, scheme
        self.real: dict[str, list[Array]] = {n: [f[n] for f in feeds] for n in graph.inputs}
        self.codes: dict[str, list[Array]] = {n: [f[n] for f in codes] for n in graph.inputs}

    def run(self, bar: Bar) -> Graph:
        """Return the graph with integer weights and biases."""
        last = {name: i for i, node in enumerate(self.graph.nodes) for name in node.inputs}
        nodes: list[Node] = []
        for index, node in enumerate(self.graph.nodes):
            fixed = self._fix(node)
            nodes.append(fixed)
            count = len(self.real[node.inputs[0]])
            self.real[node.output] = [
                run_node_float(node, [self.real[name][i] for name in node.inputs])
                for i in range(count)
            ]
            self.codes[node.output] = [
                self.deliver(fixed, [self.codes[name][i] for name in node.inputs])
                for i in range(count)
            ]
            for name in node.inputs:
                if last[name] == index:
                    self.real.pop(name, None)
                    self.codes.pop(name, None)
            bar.advance(1)
        return replace(self.graph, nodes=tuple(nodes), qparams=dict(self.qparams))

    def deliver(self, fixed: Node, inputs: list[Array]) -> Array:
        """Return what the layer with its integers fixed gives."""
        return run_node(fixed, inputs, self.qparams)

    def values(self, name: str, given: Array) -> Array:
        """Return the real values of what was delivered for a tensor."""
        return self.qparams[name].dequantize(given)

    def _fix(self, node: Node) -> Node:
        """Return the node with int8 weights and int32 bias."""
        if node.op == "prelu":
            assert node.weight is not None
            slopes, scale = quantize_slopes(node.weight)
            return replace(node, weight=slopes, weight_scale=scale)
        if node.weight is None:
            return node
        if node.attrs.get("groups", 1) == 1:
            return self._fix_convolution(node)
        return self._fix_depthwise(node)

    def _fix_convolution(self, node: Node) -> Node:
        """Fix a convolution, or each phase of a transposed one, which is a convolution too."""
        assert node.weight is not None
        channels = node.weight.shape[0]
        source = self.qparams[node.inputs[0]]
        phases = phase_taps(node)
        weights, biases, grams, targets, givens = [], [], [], [], []
        for taps in phases:
            weight = node.weight.astype(np.float64)[:, taps.rows, taps.columns].reshape(
                channels, -1
            )
            real, given = self._windows(node.inputs[0], taps)
            target = real @ weight.T + _bias(node, channels)
            bias = _bias(node, channels)
            if self.scheme.rounding == "together":
                weight, bias = refit(weight, bias, given, target)
            weights.append(weight)
            biases.append(bias)
            grams.append(given.T @ given / len(given))
            targets.append(target)
            givens.append(given)
        bias = np.mean(biases, axis=0)
        floor = np.abs(bias) / (source.scale * _LARGEST_BIAS)
        together = self.scheme.rounding == "together"
        scales = choose_scales(weights, grams if together else None, floor)
        codes = np.zeros(node.weight.shape, np.int8)
        errors = []
        for taps, weight, gram, target, given in zip(
            phases, weights, grams, targets, givens, strict=True
        ):
            rounded = round_together(weight, scales, gram) if together else nearest(weight, scales)
            codes[:, taps.rows, taps.columns] = rounded.reshape(
                channels, len(taps.row_offsets), len(taps.column_offsets), -1
            )
            got = given @ (rounded * scales[:, None].astype(np.float64)).T + bias
            errors.append((target - got).mean(axis=0))
        if self.scheme.bias_correction:
            bias = bias + np.mean(errors, axis=0)
        return replace(
            node, weight=codes, weight_scale=scales, bias=quantize_bias(bias, source.scale, scales)
        )

    def _fix_depthwise(self, node: Node) -> Node:
        """Round to nearest and correct the bias."""
        assert node.weight is not None
        bias = _bias(node, node.weight.shape[0])
        source = self.qparams[node.inputs[0]]
        scales = weight_scales(node.weight, bias, source.scale)
        per_channel = scales.reshape(-1, 1, 1, 1)
        codes = np.clip(np.rint(node.weight / per_channel), -127, 127).astype(np.int8)
        if self.scheme.bias_correction:
            rounded = replace(node, weight=codes * per_channel, activation="none")
            exact = replace(node, activation="none")
            errors = []
            name = node.inputs[0]
            for real, given in zip(self.real[name], self.codes[name], strict=True):
                expected = run_node_float(exact, [real])
                got = run_node_float(rounded, [self.values(name, given)])
                errors.append((expected - got).mean(axis=(0, 1, 2), dtype=np.float64))
            bias = bias + np.mean(errors, axis=0)
        return replace(
            node, weight=codes, weight_scale=scales, bias=quantize_bias(bias, source.scale, scales)
        )

    def _windows(self, name: str, taps: Taps) -> tuple[Matrix, Matrix]:
        """Return the input's windows at random pixels, in float and as int8 delivers them."""
        rng = np.random.default_rng(1)
        frames = self.real[name]
        count = max(_WINDOWS, 4 * taps.count * frames[0].shape[3]) // len(frames) + 1
        real, given = [], []
        for exact, codes in zip(frames, self.codes[name], strict=True):
            height, width = exact.shape[1:3]
            pixels = min(count, height * width)  # a small frame has no more to say
            rows, columns = rng.integers(0, height, pixels), rng.integers(0, width, pixels)
            values = self.values(name, codes[0])
            real.append(windows(exact[0], rows, columns, taps))
            given.append(windows(values, rows, columns, taps))
        return np.concatenate(real), np.concatenate(given)


def _bias(node: Node, channels: int) -> Matrix:
    if node.bias is None:
        return np.zeros(channels)
    return node.bias.astype(np.float64)
