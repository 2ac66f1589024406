"""Runs a graph in numpy: float, and int8 bit for bit as LiteRT's reference kernels.

These runs judge every file that is written and every runtime that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import SpecError
from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.graph.reference_int8 import run_node as run_node_int8
from edgevsr.graph.sampling import (
    Kernel,
    convolve,
    depth_to_space,
    resize_nearest,
    same_kernel,
    space_to_depth,
    subpixel_kernel,
)


def run_float(
    graph: Graph, inputs: Mapping[str, Array], keep: Collection[str] | None = None
) -> dict[str, Array]:
    """Return every tensor of a float graph as float32 (N, H, W, C).

    `keep` names the tensors to return; the others are let go as soon as nothing reads them.

    Raises:
        SpecError: the graph is quantized, or an input is missing or has the wrong shape.
    """
    if graph.quantized:
        raise SpecError("run_float: the graph is int8; run it with run_int8")
    frames = _checked(graph, inputs, np.float32)
    return _run(graph, frames, keep, lambda node, tensors: run_node_float(node, tensors))


def run_int8(
    graph: Graph, inputs: Mapping[str, NDArray[np.int8]], keep: Collection[str] | None = None
) -> dict[str, NDArray[np.int8]]:
    """Return every tensor of an int8 graph as codes (N, H, W, C), bit-exact with LiteRT's
    reference kernels.

    `keep` names the tensors to return; the others are let go as soon as nothing reads them.

    Raises:
        SpecError: the graph is float, or an input is missing or has the wrong shape or dtype.
    """
    if not graph.quantized:
        raise SpecError("run_int8: the graph is float; quantize it first, or run run_float")
    frames = _checked(graph, inputs, np.int8)
    return _run(
        graph, frames, keep, lambda node, tensors: run_node_int8(node, tensors, graph.qparams)
    )


def _run(
    graph: Graph,
    tensors: dict[str, Array],
    keep: Collection[str] | None,
    step: Callable[[Node, list[Array]], Array],
) -> dict[str, Array]:
    last_reader = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        tensors[node.output] = step(node, [tensors[name] for name in node.inputs])
        if keep is not None:
            for name in {*node.inputs, node.output}:
                if last_reader.get(name, -1) <= i and name not in keep:
                    tensors.pop(name, None)
    return tensors if keep is None else {name: tensors[name] for name in keep}


def _checked(graph: Graph, inputs: Mapping[str, Array], dtype: Any) -> dict[str, Array]:
    """Return the inputs as contiguous (N, H, W, C) arrays of `dtype`, or say what is wrong."""
    tensors: dict[str, Array] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise SpecError(f"input {name!r} is missing; expected {', '.join(graph.inputs)}")
        array = np.asarray(inputs[name])
        channels = graph.tensors[name].channels
        if array.ndim != 4 or array.shape[3] != channels or 0 in array.shape:
            raise SpecError(
                f"input {name!r}: expected shape (N, H, W, {channels}), got {array.shape}"
            )
        if dtype is np.int8 and array.dtype != np.int8:
            raise SpecError(f"input {name!r}: expected int8 codes, got {array.dtype}")
        tensors[name] = np.ascontiguousarray(array, dtype)
    return tensors


def run_node_float(node: Node, inputs: list[Array]) -> Array:
    """Return the output of one float node."""
    x = inputs[0]
    match node.op:
        case "conv2d":
            out = _convolve_float(x, same_kernel(_weight(node), node.attrs.get("groups", 1)), node)
        case "transpose_conv":
            stride = int(node.attrs["stride"])
            kernel = subpixel_kernel(_weight(node), stride, int(node.attrs["pad"]))
            out = depth_to_space(_convolve_float(x, kernel, node), stride)
        case "relu":
            out = np.maximum(x, 0)
        case "leaky_relu":
            out = np.where(x >= 0, x, x * np.float32(node.attrs["slope"]))
        case "prelu":
            out = np.where(x >= 0, x, x * _weight(node).reshape(-1))
        case "add":
            out = x + inputs[1]
        case "mul":
            out = x * inputs[1]
        case "concat":
            out = np.concatenate(inputs, axis=3)
        case "depth_to_space":
            out = depth_to_space(x, int(node.attrs["block"]))
        case "space_to_depth":
            out = space_to_depth(x, int(node.attrs["block"]))
        case "resize_nearest":
            out = resize_nearest(x, int(node.attrs["factor"]))
        case "clip":
            out = np.clip(x, np.float32(node.attrs["low"]), np.float32(node.attrs["high"]))
    return np.maximum(out, 0) if node.activation == "relu" else out


def _weight(node: Node) -> Array:
    assert node.weight is not None, node.name
    return node.weight.astype(np.float32, copy=False)


def _convolve_float(x: Array, kernel: Kernel, node: Node) -> Array:
    out_channels = kernel.weight.shape[3]
    out = np.empty((*x.shape[:3], out_channels), np.float32)
    for image, target in zip(x, out, strict=True):
        for rows, sums in convolve(image, kernel):
            target[rows] = sums
    if node.bias is not None:
        out += np.tile(node.bias.astype(np.float32), out_channels // node.bias.size)
    return out
