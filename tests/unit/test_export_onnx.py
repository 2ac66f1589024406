"""Writing ONNX: its checker and onnxruntime are the judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import ExportError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float, run_int8
from tests.graphs import (
    NETS,
    Builder,
    quantized,
    random_graph,
    random_inputs,
)


def run_onnx(data: bytes, inputs: dict[str, Any], optimised: bool = True) -> dict[str, Any]:
    """Return onnxruntime's outputs, NHWC."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options)
    feeds = {name: values.transpose(0, 3, 1, 2) for name, values in inputs.items()}
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, feeds)
    return {name: v.transpose(0, 2, 3, 1) for name, v in zip(names, found, strict=True)}


def assert_float_equal(graph: Graph, size: tuple[int, int], tolerance: float) -> None:
    inputs = random_inputs(graph, size)
    wanted, found = run_float(graph, inputs), run_onnx(onnx_bytes(graph), inputs)
    for name in graph.outputs:
        assert np.abs(found[name] - wanted[name]).max() <= tolerance


@pytest.mark.parametrize("name", NETS)
def test_float_files_pass_the_checker_and_compute_the_same(name: str) -> None:
    graph = NETS[name]
    data = onnx_bytes(graph)
    onnx.checker.check_model(data, full_check=True)
    assert data == onnx_bytes(graph)
    for size in ((24, 16), (17, 31)):
        assert_float_equal(graph, size, 1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_float_graph_computes_the_same(seed: int) -> None:
    assert_float_equal(random_graph(seed), (12, 8), 1e-5)


@pytest.mark.parametrize("name", NETS)
def test_qdq_files_stay_within_rounding_of_the_integer_reference(name: str) -> None:
    graph = quantized(NETS[name])
    data = onnx_bytes(graph, (24, 16))
    onnx.checker.check_model(data, full_check=True)
    inputs = random_inputs(graph)
    codes = {key: graph.qparams[key].quantize(values) for key, values in inputs.items()}
    wanted = run_int8(graph, codes)
    found = run_onnx(data, inputs, optimised=False)
    for output in graph.outputs:
        q = graph.qparams[output]
        apart = np.abs(q.quantize(found[output]).astype(int) - wanted[output])
        assert apart.max() <= 4
        assert np.mean(apart > 0) < 0.35


def test_only_standard_operators_of_an_old_opset_are_used() -> None:
    for form in (NETS["cell"], quantized(NETS["cell"])):
        model = onnx.load_model_from_string(onnx_bytes(form))
        assert model.ir_version == 8
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
        assert {node.domain for node in model.graph.node} == {""}


def test_dimensions_are_dynamic_unless_a_size_is_given() -> None:
    def dims(value: Any) -> list[Any]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    model = onnx.load_model_from_string(onnx_bytes(NETS["sesr"]))
    assert dims(model.graph.input[0]) == [1, 1, "height", "width"]
    assert dims(model.graph.output[0]) == [1, 1, "height_x2", "width_x2"]
    model = onnx.load_model_from_string(onnx_bytes(NETS["sesr"], (640, 360)))
    assert dims(model.graph.input[0]) == [1, 1, 360, 640]
    assert dims(model.graph.output[0]) == [1, 1, 720, 1280]


def test_a_deconvolution_without_an_onnx_form_is_refused() -> None:
    b = Builder()
    x = b.input("frame", 1, "frame")
    graph = b.graph((b.transpose_conv("sr", x, 1, 1, 2, 4), "sr"), scale=2)
    with pytest.raises(ExportError, match=r"layer 'sr'.*no ONNX form"):
        onnx_bytes(graph)


def test_metadata_that_is_not_json_is_refused() -> None:
    with pytest.raises(ExportError, match="JSON"):
        onnx_bytes(NETS["sesr"].with_meta(when=object()))
