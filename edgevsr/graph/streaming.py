"""A network run frame after frame: what it takes at each, and the reference run with its state.

The first frame has zero state, is its own previous frame, and stands for the SR before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from edgevsr.alignment import compensated, unmoved
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.reference import run_float, run_int8
from edgevsr.motion import motion_since

#: Arrays (1, H, W, C) by role.
Tensors = dict[str, Array]


def state_pairs(graph: Graph) -> list[tuple[str, str]]:
    """Return each state's (input, output) tensors; empty for a single-image network."""
    outputs = {graph.roles.get(name): name for name in graph.outputs}
    pairs = []
    for name in graph.inputs:
        _, _, index = graph.roles.get(name, "").partition("state_in:")
        output = outputs.get(f"state_out:{index}")
        if index and output is not None:
            pairs.append((name, output))
    return pairs


def fed_back(graph: Graph) -> list[tuple[str, str]]:
    """Return the (input, output) tensors whose codes go from one frame to the next: states, and
    the SR frame."""
    pairs = state_pairs(graph)
    if "previous_sr" in graph.roles.values():
        pairs.append((graph.input_of("previous_sr"), graph.output_of("sr")))
    return pairs


def is_recurrent(graph: Graph) -> bool:
    """Whether an SR frame depends on more than its LR frame."""
    return len(graph.inputs) > 1


def inputs_by_role(graph: Graph, frame: Array, before: Mapping[str, Array]) -> Tensors:
    """Return what a graph takes, by role, for a frame (1, H, W, C).

    `before` holds the outputs of the frame before and that frame itself, by role; without them
    states are zero and the previous frame is the frame.

    Raises:
        EdgeVsrError: the graph takes the previous SR, and OpenCV is not installed.
    """
    inputs: Tensors = {}
    for name in graph.inputs:
        role = graph.roles[name]
        if role == "frame":
            inputs[role] = frame
        elif role == "previous_frame":
            inputs[role] = before.get("frame", frame)
        elif role == "previous_sr":
            inputs[role] = _previous_sr(graph, frame, before)
        elif (carried := before.get(role.replace("state_in", "state_out"))) is not None:
            inputs[role] = carried
        else:
            shape = graph.shape(name, (frame.shape[2], frame.shape[1]))
            zero = graph.qparams[name].zero_point if graph.quantized else 0
            inputs[role] = np.full(shape, zero, frame.dtype)
    return inputs


def _previous_sr(graph: Graph, frame: Array, before: Mapping[str, Array]) -> Array:
    if "sr" not in before:
        return unmoved(frame, graph.scale)
    sr = before["sr"]
    motion = motion_since(frame[0], before["frame"][0], graph.scale)
    return compensated(sr if graph.quantized else sr.clip(0.0, 1.0), motion, graph.scale)


def run_graph_by_role(graph: Graph, inputs: Mapping[str, Array]) -> Tensors:
    """Return the outputs, by role, of the numpy reference."""
    run = run_int8 if graph.quantized else run_float
    named = {name: inputs[graph.roles[name]] for name in graph.inputs}
    outputs = run(graph, named, keep=graph.outputs)
    return {graph.roles[name]: array for name, array in outputs.items()}


def stream(graph: Graph, frames: Iterable[Array]) -> Iterator[tuple[Tensors, Tensors]]:
    """Yield the reference's inputs and outputs, by role, for every frame (1, H, W, C) of a clip.

    Frames are float32 in [0, 1] for a float graph and int8 codes for an int8 one.
    """
    before: Tensors = {}
    for frame in frames:
        inputs = inputs_by_role(graph, frame, before)
        outputs = run_graph_by_role(graph, inputs)
        yield inputs, outputs
        before = {**outputs, "frame": frame}
