"""Float graph to int8 graph: ranges, then layer by layer weights and biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import QuantizeError
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.normalise import used_once, with_nodes
from edgevsr.graph.quantize_int import tied_tensors
from edgevsr.graph.reference import run_float, run_node_float
from edgevsr.graph.streaming import is_recurrent
from edgevsr.progress import Bar, progress
from edgevsr.quantization import ranges as choosing
from edgevsr.quantization.copies import keep_copies
from edgevsr.quantization.equalization import equalize
from edgevsr.quantization.layerwise import ROUNDINGS, Layerwise, Rounding, Scheme
from edgevsr.quantization.ranges import IMAGE, Ranges
from edgevsr.quantization.recurrence import Feed, as_clips, fold_states, roll, states_as_images
from edgevsr.quantization.residual import in_picture_steps, residuals
from edgevsr.quantization.sensitivity import channel_weights
from edgevsr.quantization.slopes import on_slope_grid, rounded_once

__all__ = ["ROUNDINGS", "Rounding", "Scheme", "plan_and_quantize", "quantize_graph"]

_IMAGE_ROLES = ("frame", "previous_frame", "previous_sr", "sr")
_SAMPLES = 60_000
#: How often the scale behind a leaky layer may be halved: kernels keep such a factor exactly.
_FINER = (0, 1, 2)
#: Passes over a recurrent network: in each, layers see the state that the one before delivers.
_PASSES = 2


def quantize_graph(
    graph: Graph, frames: Sequence[NDArray[np.float32]], scheme: Scheme | None = None
) -> Graph:
    """Return the int8 graph of a float one, calibrated on LR frames (H, W, C) in [0, 1].

    A recurrent network is calibrated on clips (T, H, W, C) of frames in order. Images keep scale
    1/255 and zero point −128, and so do states, whose range goes into the weights; tensors that
    must share a scale do.

    Raises:
        QuantizeError: the graph is int8 already, no frame is given, or a state cannot be folded.
    """
    return plan_and_quantize(graph, frames, scheme)[1]


def plan_and_quantize(
    graph: Graph, frames: Sequence[NDArray[np.float32]], scheme: Scheme | None = None
) -> tuple[Graph, Graph]:
    """Return the equal float graph whose channels and states are in range, and its int8 graph.

    Raises:
        QuantizeError: as `quantize_graph`.
    """
    scheme = scheme or Scheme()
    check_quantizable(graph, frames)
    graph = on_slope_grid(graph)
    clips = as_clips(graph, frames)
    passes = _PASSES if is_recurrent(graph) and scheme.rounding == "together" else 1
    with progress("quantizing", (1 + passes) * len(graph.nodes)) as bar:
        rolled = list(roll(graph, clips))
        graph, qparams, feeds = _prepared(graph, [feed for feed, _ in rolled], scheme, bar)
        codes = [{name: qparams[name].quantize(x) for name, x in feed.items()} for feed in feeds]
        if passes == 1:
            return graph, Layerwise(graph, qparams, feeds, codes, scheme).run(bar)
        best, least = graph, np.inf
        for _ in range(passes):
            int8 = Layerwise(graph, qparams, feeds, codes, scheme).run(bar)
            streamed = list(roll(int8, clips))
            codes = [feed for feed, _ in streamed]
            error = _error([sr for _, sr in rolled], [sr for _, sr in streamed])
            if error < least:
                best, least = int8, error
        return graph, best


def check_quantizable(graph: Graph, frames: Sequence[NDArray[np.float32]]) -> None:
    """Refuse what is quantized already, and calibration on nothing.

    Raises:
        QuantizeError: says which of them it is.
    """
    if has_int16(graph):
        raise QuantizeError("the network is w8a16 already; give the float one it came from")
    if graph.quantized:
        raise QuantizeError("the network is int8 already; give the float one it came from")
    if not frames:
        raise QuantizeError("no calibration frame; give LR frames of what the device will see")


def _prepared(
    graph: Graph, feeds: Sequence[Feed], scheme: Scheme, bar: Bar
) -> tuple[Graph, dict[str, QuantParams], list[Feed]]:
    """Return the equal graph with its channels in range, its quantization, and its feeds."""
    graph, folded = fold_states(graph, feeds)
    samples = _sample(graph, folded, bar)
    weights = channel_weights(graph, folded)
    if scheme.equalize:
        graph, factors = equalize(graph, samples, weights)
        for name, factor in factors.items():
            samples[name] = samples[name] * factor.astype(np.float32)
            weights[name] = (weights[name] / factor**2).astype(np.float32)
    graph, qparams = _choose_ranges(graph, samples, scheme.ranges, weights)
    if scheme.equalize:
        graph = keep_copies(graph, qparams)
    return graph, qparams, folded


def _error(real: Sequence[Array], codes: Sequence[Array]) -> float:
    """Return the mean squared error of SR frames over those of the float network."""
    pairs = zip(real, codes, strict=True)
    return float(np.mean([np.mean((IMAGE.dequantize(c) - r.clip(0, 1)) ** 2) for r, c in pairs]))


def _sample(graph: Graph, feeds: Sequence[Feed], bar: Bar) -> dict[str, NDArray[np.float32]]:
    """Return pixels (samples, C) of every tensor over the frames, the same number of each."""
    rng = np.random.default_rng(0)
    taken: dict[str, list[Array]] = {name: [] for name in graph.tensors}
    for feed in feeds:
        tensors = run_float(graph, feed)
        for name, values in tensors.items():
            pixels = values.reshape(-1, values.shape[-1])
            count = min(len(pixels), _SAMPLES // (len(feeds) * values.shape[-1]) + 1)
            taken[name].append(pixels[rng.integers(0, len(pixels), count)])
        bar.advance(len(graph.nodes) / len(feeds))
    return {name: np.concatenate(parts) for name, parts in taken.items()}


def _choose_ranges(
    graph: Graph,
    samples: Mapping[str, NDArray[np.float32]],
    ranges: Ranges,
    weights: Mapping[str, NDArray[np.float32]],
) -> tuple[Graph, dict[str, QuantParams]]:
    """Return scale and zero point of every tensor; leaky layers best served as ReLU become so."""
    qparams = {name: IMAGE for name, role in graph.roles.items() if role in _IMAGE_ROLES}
    qparams |= states_as_images(graph)
    groups = tied_tensors(graph)
    for group in groups:
        if any(name in qparams for name in group):
            qparams |= dict.fromkeys(group, IMAGE)
        else:
            # What a clip cuts off is cut off by a range that ends where the clip does, too.
            cut = {n.inputs[0] for n in graph.nodes if n.op == "clip" and n.output in group}
            kept = sorted(name for name in group if not (name in cut and used_once(graph, name)))
            values = np.concatenate([samples[name].reshape(-1, 1) for name in kept])
            qparams |= dict.fromkeys(group, choosing.choose(values, ranges))
    for node in graph.nodes:
        if node.op not in ("leaky_relu", "prelu"):
            continue
        before, after = node.inputs[0], node.output
        if before in qparams or after in qparams or not used_once(graph, before):
            continue
        activate = _activation(node)
        given, made = choosing.choose_rectified(
            samples[before], ranges, activate, weights.get(after),
            _FINER if node.op == "leaky_relu" else (0,),
        )  # fmt: skip
        if given.zero_point == -128 and _fuse_target(graph, before) is not None:
            graph = _as_relu(graph, node)
            qparams[after] = given
        else:
            qparams[before] = given
            graph, qparams[after] = rounded_once(graph, node, given, made)
    added = residuals(graph, qparams)
    for name in graph.tensors:
        if name not in qparams:
            found = choosing.choose(samples[name], ranges, weights.get(name))
            qparams[name] = in_picture_steps(samples[name], found) if name in added else found
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
