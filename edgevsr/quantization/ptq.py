"""Float graph to int8 graph: ranges, then layer by layer weights and biases.

Layers are taken in order and each sees what the int8 layers before it really deliver, so it can
make up for their errors: its weights are fitted anew to the float network's outputs, rounded
together, and its bias takes away what mean error is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import QuantizeError
from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.normalise import used_once, with_nodes
from edgevsr.graph.quantize_int import quantize_bias, quantize_slopes, tied_tensors, weight_scales
from edgevsr.graph.reference import run_float, run_node_float
from edgevsr.graph.reference_int8 import run_node
from edgevsr.progress import Bar, progress
from edgevsr.quantization import ranges as choosing
from edgevsr.quantization.equalization import equalize
from edgevsr.quantization.ranges import IMAGE, Ranges
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
from edgevsr.quantization.sensitivity import channel_weights
from edgevsr.quantization.slopes import on_slope_grid, rounded_once

Rounding = Literal["nearest", "together"]
ROUNDINGS: tuple[Rounding, ...] = ("nearest", "together")

_IMAGE_ROLES = ("frame", "previous_frame", "sr")
_SAMPLES = 60_000
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


def quantize_graph(
    graph: Graph, frames: Sequence[NDArray[np.float32]], scheme: Scheme | None = None
) -> Graph:
    """Return the int8 graph of a float one, calibrated on LR frames (H, W, C) in [0, 1].

    Images keep scale 1/255 and zero point −128; tensors that must share a scale do.

    Raises:
        QuantizeError: the graph is int8 already, carries state, or no frame is given.
    """
    scheme = scheme or Scheme()
    if graph.quantized:
        raise QuantizeError("the network is int8 already; give the float one it came from")
    if len(graph.inputs) != 1:
        raise QuantizeError(
            f"the network takes {len(graph.inputs)} inputs ({', '.join(graph.inputs)}); "
            "post-training quantization calibrates single-image networks"
        )
    if not frames:
        raise QuantizeError("no calibration frame; give LR frames of what the device will see")
    graph = on_slope_grid(graph)
    with progress("quantizing", 2 * len(graph.nodes)) as bar:
        samples = _sample(graph, frames, bar)
        weights = channel_weights(graph, frames)
        if scheme.equalize:
            graph, factors = equalize(graph, samples, weights)
            for name, factor in factors.items():
                samples[name] = samples[name] * factor.astype(np.float32)
                weights[name] = (weights[name] / factor**2).astype(np.float32)
        graph, qparams = _choose_ranges(graph, samples, scheme.ranges, weights)
        return _Layerwise(graph, qparams, frames, scheme).run(bar)


def _sample(
    graph: Graph, frames: Sequence[NDArray[np.float32]], bar: Bar
) -> dict[str, NDArray[np.float32]]:
    """Return pixels (samples, C) of every tensor over the frames, the same number of each."""
    rng = np.random.default_rng(0)
    taken: dict[str, list[Array]] = {name: [] for name in graph.tensors}
    for frame in frames:
        tensors = run_float(graph, {graph.inputs[0]: frame[None]})
        for name, values in tensors.items():
            pixels = values.reshape(-1, values.shape[-1])
            count = min(len(pixels), _SAMPLES // (len(frames) * values.shape[-1]) + 1)
            taken[name].append(pixels[rng.integers(0, len(pixels), count)])
        bar.advance(len(graph.nodes) / len(frames))
    return {name: np.concatenate(parts) for name, parts in taken.items()}


def _choose_ranges(
    graph: Graph,
    samples: Mapping[str, NDArray[np.float32]],
    ranges: Ranges,
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[Graph, dict[str, QuantParams]]:
    """Return scale and zero point of every tensor; leaky layers best served as ReLU become so."""
    qparams = {name: IMAGE for name, role in graph.roles.items() if role in _IMAGE_ROLES}
    groups = tied_tensors(graph)
    for group in groups:
        if any(name in qparams for name in group):
            qparams |= dict.fromkeys(group, IMAGE)
        else:
            values = np.concatenate([samples[name].reshape(-1, 1) for name in sorted(group)])
            qparams |= dict.fromkeys(group, choosing.choose(values, ranges))
    for node in graph.nodes:
        if node.op not in ("leaky_relu", "prelu"):
            continue
        before, after = node.inputs[0], node.output
        if before in qparams or after in qparams or not used_once(graph, before):
            continue
        activate = _activation(node)
        params = choosing.choose(samples[before], ranges, activate, weights.get(after))
        if params.zero_point == -128 and _fuse_target(graph, before) is not None:
            graph = _as_relu(graph, node)
            qparams[after] = params
        else:
            qparams[before] = params
            qparams[after] = choosing.after_activation(params, activate)
            graph, qparams[after] = rounded_once(graph, node, params, qparams[after])
    for name in graph.tensors:
        if name not in qparams:
            qparams[name] = choosing.choose(samples[name], ranges, None, weights.get(name))
    return graph, {name: qparams[name] for name in graph.tensors}


def _activation(node: Node) -> choosing.Activate:
    def activate(values: NDArray[Any]) -> NDArray[Any]:
        return run_node_float(node, [values])

    return activate


def _fuse_target(graph: Graph, tensor: str) -> Node | None:
    """Return the node that can take a fused ReLU for this tensor, if there is one."""
    return next(
        (
            node
            for node in graph.nodes
            if node.output == tensor
            and node.op in ("conv2d", "transpose_conv", "add")
            and node.activation == "none"
        ),
        None,
    )


def _as_relu(graph: Graph, leaky: Node) -> Graph:
    producer = _fuse_target(graph, leaky.inputs[0])
    assert producer is not None
    fused = replace(producer, output=leaky.output, activation="relu")
    nodes = [fused if node is producer else node for node in graph.nodes if node is not leaky]
    return with_nodes(graph, nodes)


class _Layerwise:
    """Walks the graph once, float and int8 side by side, fixing each layer's integers."""

    def __init__(
        self,
        graph: Graph,
        qparams: Mapping[str, QuantParams],
        frames: Sequence[NDArray[np.float32]],
        scheme: Scheme,
    ) -> None:
        self.graph, self.qparams, self.scheme = graph, qparams, scheme
        name = graph.inputs[0]
        self.real: dict[str, list[Array]] = {name: [frame[None] for frame in frames]}
        self.codes = {name: [qparams[name].quantize(frame[None]) for frame in frames]}

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
                run_node(fixed, [self.codes[name][i] for name in node.inputs], self.qparams)
                for i in range(count)
            ]
            for name in node.inputs:
                if last[name] == index:
                    self.real.pop(name, None)
                    self.codes.pop(name, None)
            bar.advance(1)
        return replace(self.graph, nodes=tuple(nodes), qparams=dict(self.qparams))

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
                got = run_node_float(rounded, [source.dequantize(given)])
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
            rows = rng.integers(0, exact.shape[1], count)
            columns = rng.integers(0, exact.shape[2], count)
            values = self.qparams[name].dequantize(codes[0])
            real.append(windows(exact[0], rows, columns, taps))
            given.append(windows(values, rows, columns, taps))
        return np.concatenate(real), np.concatenate(given)


def _bias(node: Node, channels: int) -> Matrix:
    if node.bias is None:
        return np.zeros(channels)
    return node.bias.astype(np.float64)
