"""Time in post-training quantization: clips rolled through the network with its state.

A state is fed back as bytes, so its input and output share one quantization, and beside the frame
in a CONCAT they share the frame's. Its range is therefore folded into the weights: behind a ReLU a
channel over s at the output and its readers' weights times s cancel exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import QuantizeError
from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.normalise import producer_of
from edgevsr.graph.quantize_int import tied_tensors
from edgevsr.graph.streaming import is_recurrent, state_pairs, stream
from edgevsr.quantization.ranges import IMAGE

#: The share of a state's values that may be clipped on the calibration clips: a fifth of what is
#: allowed on clips that were never seen.
_CLIPPED = 2e-4
#: No channel of a state is stretched further than this beyond the widest one.
_LARGEST_STRETCH = 64.0

#: Inputs (1, H, W, C) by tensor.
Feed = dict[str, Array]
Factors = NDArray[np.float64]


@dataclass(frozen=True)
class Rolled:
    """What a network took and gave on every frame of the calibration clips, in order."""

    feeds: list[Feed]
    sr: list[Array]


def as_clips(graph: Graph, frames: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return clips (T, H, W, C) of what `quantize_graph` was given; a frame is a clip of one.

    Raises:
        QuantizeError: the network is recurrent and these are single frames.
    """
    if is_recurrent(graph) and any(frame.ndim != 4 for frame in frames):
        raise QuantizeError(
            "the network is recurrent and is calibrated on clips (T, H, W, C), frames in order"
        )
    return [frame if frame.ndim == 4 else frame[None] for frame in frames]


def roll(graph: Graph, clips: Sequence[NDArray[np.float32]]) -> Iterator[tuple[Feed, Array]]:
    """Yield the inputs by tensor and the SR of every frame of every clip, the state carried.

    Both are codes for an int8 graph.
    """
    for clip in clips:
        values = IMAGE.quantize(clip) if graph.quantized else clip
        for inputs, outputs in stream(graph, (frame[None] for frame in values)):
            yield {name: inputs[graph.roles[name]] for name in graph.inputs}, outputs["sr"]


def fold_states(graph: Graph, feeds: Sequence[Feed]) -> tuple[Graph, list[Feed]]:
    """Return the equal graph whose states fill [0, 1] in every channel, and its feeds.

    A state that shares nothing with a frame and cannot be folded keeps a range of its own.

    Raises:
        QuantizeError: a state shares the frame's scale and may be negative, or is read by more
            than convolutions.
    """
    changed = list(feeds)
    for state, output in state_pairs(graph):
        problem = _why_not_foldable(graph, state, output)
        if problem is None:
            channels = graph.tensors[state].channels
            pixels = [feed[state].reshape(-1, channels) for feed in feeds]
            factors = _ranges_of(np.concatenate(pixels))
            graph = _folded(graph, state, output, factors)
            scaled = (1.0 / factors).astype(np.float32)
            changed = [{**feed, state: feed[state] * scaled} for feed in changed]
        elif _shares_with_image(graph, state):
            raise QuantizeError(
                f"state {output!r} → {state!r} shares the frame's scale through a concatenation "
                f"and {problem}; end the layers that make it in a ReLU and read it by convolutions"
            )
    return graph, changed


def states_as_images(graph: Graph) -> dict[str, QuantParams]:
    """Return the quantization of the states that `fold_states` brought to [0, 1]."""
    return {
        name: IMAGE
        for pair in state_pairs(graph)
        if _why_not_foldable(graph, *pair) is None
        for name in pair
    }


def _why_not_foldable(graph: Graph, state: str, output: str) -> str | None:
    maker = producer_of(graph, output)
    if maker is None or maker.op not in ("conv2d", "transpose_conv") or maker.activation != "relu":
        return "is not made by a convolution with a ReLU"
    if maker.attrs.get("groups", 1) != 1:
        return "is made by a grouped convolution"
    for name in (state, output):
        for reader, _ in _readers(graph, name):
            if reader is None or reader.op != "conv2d" or reader.attrs.get("groups", 1) != 1:
                return "is read by more than convolutions"
    return None


def _readers(graph: Graph, tensor: str) -> Iterator[tuple[Node | None, int]]:
    """Yield what reads the tensor, through concatenations, and its first channel there.

    None stands for the network's own output, where a concatenation ends there.
    """
    for node in graph.consumers(tensor):
        if node.op != "concat":
            yield node, 0
            continue
        before = 0
        for name in node.inputs:
            if name == tensor:
                if node.output in graph.outputs:
                    yield None, 0
                for reader, offset in _readers(graph, node.output):
                    yield reader, offset + before
            before += graph.tensors[name].channels


def _shares_with_image(graph: Graph, state: str) -> bool:
    images = {graph.input_of("frame"), graph.output_of("sr")}
    return any(state in group and group & images for group in tied_tensors(graph))


def _ranges_of(values: Array) -> Factors:
    """Return what each channel (n, C) of a state reaches, the rarest values left out."""
    highs = np.quantile(values, 1.0 - _CLIPPED, axis=0)
    if not highs.any():
        return np.ones_like(highs)  # nothing to stretch: the state is not used
    floor = float(highs.max()) / _LARGEST_STRETCH
    factors: Factors = np.maximum(highs, floor)
    return factors


def _folded(graph: Graph, state: str, output: str, factors: Factors) -> Graph:
    weights = {
        node.output: node.weight.astype(np.float64)
        for node in graph.nodes
        if node.weight is not None
    }
    biases = {node.output: node.bias for node in graph.nodes}
    weights[output] = weights[output] / factors.reshape(-1, 1, 1, 1)
    if (bias := biases[output]) is not None:
        biases[output] = (bias / factors).astype(np.float32)
    for tensor in (state, output):
        for reader, first in _readers(graph, tensor):
            assert reader is not None
            weight = weights[reader.output].copy()
            weight[..., first : first + len(factors)] *= factors
            weights[reader.output] = weight
    nodes = tuple(
        replace(node, weight=weights[node.output].astype(np.float32), bias=biases[node.output])
        if node.output in weights
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)
