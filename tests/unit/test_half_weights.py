"""Float16 weights: half the bytes, and what runtimes compute is the rounded network exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgevsr.errors import ExportError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.from_tflite import graph_from_tflite
from edgevsr.graph.half import full_weights, half_weights, has_half_weights
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float
from edgevsr.runtime.verify import verify_file
from tests.graphs import NETS, quantized, random_inputs
from tests.litert import worst_float_error

SIZE = (24, 16)


def learned(graph: Graph) -> list[np.ndarray]:
    return [v for node in graph.nodes for v in (node.weight, node.bias) if v is not None]


@pytest.mark.parametrize("name", NETS)
def test_litert_computes_the_rounded_network(name: str) -> None:
    assert worst_float_error(half_weights(NETS[name]), SIZE) <= 3e-6


@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_computes_the_rounded_network(name: str) -> None:
    graph = half_weights(NETS[name])
    inputs = random_inputs(graph, SIZE)
    wanted = run_float(graph, inputs)
    session = ort.InferenceSession(onnx_bytes(graph), providers=["CPUExecutionProvider"])
    feed = {key: values.transpose(0, 3, 1, 2) for key, values in inputs.items()}
    for output, values in zip(graph.outputs, session.run(list(graph.outputs), feed), strict=True):
        assert np.abs(values.transpose(0, 2, 3, 1) - wanted[output]).max() <= 3e-6


@pytest.mark.parametrize("name", NETS)
def test_both_files_are_read_back_as_they_were_written(name: str, tmp_path: Path) -> None:
    graph = half_weights(NETS[name])
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(graph, SIZE))
    for again in (graph_from_tflite(path), graph_from_onnx(onnx_bytes(graph))):
        assert has_half_weights(again)
        for one, two in zip(learned(graph), learned(again), strict=True):
            assert np.array_equal(one.reshape(-1), two.reshape(-1))
        assert not has_half_weights(full_weights(again))
    assert verify_file(path, NETS[name]).passed


def test_weights_take_half_the_bytes() -> None:
    graph = NETS["sesr"]
    constants = onnx.load_model_from_string(onnx_bytes(half_weights(graph))).graph.initializer
    assert {c.data_type for c in constants} == {onnx.TensorProto.FLOAT16}
    assert sum(len(c.raw_data) for c in constants) == sum(v.size for v in learned(graph)) * 2
    small, large = (len(tflite_bytes(g, SIZE)) for g in (half_weights(graph), graph))
    assert small < large


def test_what_float16_cannot_hold_is_refused() -> None:
    graph = NETS["sesr"]
    node = next(node for node in graph.nodes if node.weight is not None)
    assert node.weight is not None
    huge = replace(node, weight=np.full_like(node.weight, 7e4))
    with pytest.raises(ExportError, match=f"{node.name}.*beyond float16"):
        half_weights(replace(graph, nodes=(huge,)))


def test_an_int8_network_has_int8_weights() -> None:
    graph = quantized(NETS["sesr"])
    for change in (half_weights, full_weights):
        with pytest.raises(ExportError, match="its weights are int8"):
            change(graph)
