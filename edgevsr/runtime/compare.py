"""Running a file on the tensors of a graph, and telling how far the results are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgevsr.errors import SourceError
from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.graph.reference import run_int8
from edgevsr.graph.streaming import Tensors, inputs_by_role
from edgevsr.runtime.frames import codes_of, pixels_of
from edgevsr.runtime.model import SrModel, emit_runner
from edgevsr.runtime.runners import Runner

Size = tuple[int, int]


@dataclass(frozen=True)
class LayerError:
    """The largest difference of one layer in a runtime, given the reference's inputs."""

    name: str
    op: str
    max_lsb: int


def run_model_by_role(model: SrModel, size: Size, inputs: Mapping[str, Array]) -> Tensors:
    """Return the outputs, by role, of a file run on NHWC arrays by role.

    Arrays are float32 for a float network and int8 codes for an int8 one, whatever the file's own
    ends are.
    """
    graph = model.graph
    arrays = [inputs[graph.roles[name]] for name in graph.inputs]
    outputs = _run(graph, model.prepare(size), model.runtime == "onnxruntime", arrays)
    return {graph.roles[name]: array for name, array in zip(graph.outputs, outputs, strict=True)}


def _run(graph: Graph, runner: Runner, nchw: bool, arrays: list[Array]) -> list[Array]:
    """Run a file on NHWC float32 values or int8 codes, brought to the type of its ends."""
    given = []
    for name, spec, array in zip(graph.inputs, runner.inputs, arrays, strict=True):
        if graph.quantized and spec.dtype == "float32":
            array = graph.qparams[name].dequantize(array)
        elif spec.dtype == "uint8":
            array = pixels_of(array)
        given.append(np.ascontiguousarray(array.transpose(0, 3, 1, 2) if nchw else array))
    outputs = []
    for name, array in zip(graph.outputs, runner.run(given), strict=True):
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1) if nchw else array)
        if graph.quantized and array.dtype == np.float32:
            array = graph.qparams[name].quantize(array)
        elif array.dtype == np.uint8:
            array = codes_of(array)
        outputs.append(array)
    return outputs


def layer_errors(model: SrModel, frame: Array) -> tuple[LayerError, ...]:
    """Return every layer's error in the model's runtime, given the reference's inputs for `frame`
    (1, H, W, C) of codes; states are zero.
    """
    graph = model.graph
    by_role = inputs_by_role(graph, frame, {})
    tensors = run_int8(graph, {name: by_role[graph.roles[name]] for name in graph.inputs})
    apart = taken_apart(graph)
    arrays = [tensors[name] for node in graph.nodes for name in node.inputs]
    size = (frame.shape[2], frame.shape[1])
    runner = emit_runner(apart, size, model.runtime, model.threads)
    outputs = _run(apart, runner, model.runtime == "onnxruntime", arrays)
    return tuple(
        LayerError(node.name, node.op, max_lsb(output, tensors[node.output]))
        for node, output in zip(graph.nodes, outputs, strict=True)
    )


def taken_apart(graph: Graph) -> Graph:
    """Return a graph of the same layers with nothing joined: every layer has its own inputs, in
    the order of the nodes, and its own output.
    """
    nodes: list[Node] = []
    inputs: dict[str, str] = {}
    for index, node in enumerate(graph.nodes):
        own = tuple(f"layer{index}_input{i}" for i in range(len(node.inputs)))
        inputs |= dict(zip(own, node.inputs, strict=True))
        nodes.append(replace(node, inputs=own))
    outputs = tuple(node.output for node in nodes)
    origin = inputs | {name: name for name in outputs}
    return Graph(
        inputs=tuple(inputs),
        outputs=outputs,
        nodes=tuple(nodes),
        tensors={name: graph.tensors[old] for name, old in origin.items()},
        roles={name: name for name in origin},
        qparams={name: graph.qparams[old] for name, old in origin.items()},
    )


def max_abs(a: Array, b: Array) -> float:
    """Return the largest difference of two arrays, infinite where either is NaN.

    Raises:
        SourceError: the shapes differ.
    """
    _check_shapes(a, b)
    worst = float(np.max(np.abs(a.astype(np.float64) - b)))
    return float("inf") if np.isnan(worst) else worst


def max_lsb(a: Array, b: Array) -> int:
    """Return the largest difference of two arrays of codes.

    Raises:
        SourceError: the shapes differ.
    """
    _check_shapes(a, b)
    return int(np.max(np.abs(a.astype(np.int16) - b.astype(np.int16))))


def psnr_of(a: Array, b: Array, peak: float) -> float:
    """Return the PSNR in dB of two arrays whose values span `peak`, infinite when equal.

    Raises:
        SourceError: the shapes differ.
    """
    _check_shapes(a, b)
    error = float(np.mean(np.square(a.astype(np.float64) - b.astype(np.float64))))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def _check_shapes(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise SourceError(f"the file gives {a.shape} where its source gives {b.shape}")
