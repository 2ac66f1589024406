"""Runs .tflite files in LiteRT, with its reference kernels or its fast ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float
from tests.graphs import random_inputs


def run_tflite(data: bytes, inputs: list[Any], reference: bool = True) -> list[Any]:
    """Return the outputs, in the file's order."""
    interpreter = open_tflite(data, reference)
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def open_tflite(data: bytes, reference: bool = True) -> Any:
    """Return an allocated interpreter."""
    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=kernels, num_threads=1
    )
    interpreter.allocate_tensors()
    return interpreter


def count_tflite_ops(data: bytes) -> dict[str, int]:
    """Return LiteRT's own count of the operators in a file."""
    operators = open_tflite(data)._get_ops_details()
    return dict(Counter(operator["op_name"] for operator in operators))


def worst_float_error(graph: Graph, size: tuple[int, int]) -> float:
    """Return how far LiteRT, by either kernels, is from the graph's own run on random frames."""
    inputs = random_inputs(graph, size)
    wanted = run_float(graph, inputs)
    data = tflite_bytes(graph, size)
    return max(
        float(np.abs(values - wanted[output]).max())
        for reference in (True, False)
        for output, values in zip(
            graph.outputs, run_tflite(data, list(inputs.values()), reference), strict=True
        )
    )
