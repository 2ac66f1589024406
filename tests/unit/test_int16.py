"""int8 weights under int16 activations: onnxruntime runs the file, the float graph judges it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgevsr.errors import ExportError, QuantizeError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.half import half_weights
from edgevsr.graph.int16 import INT16_KEY, has_int16
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float
from edgevsr.graph.streaming import is_recurrent
from edgevsr.quantization.int16 import quantize_int16
from edgevsr.quantization.layerwise import Scheme
from edgevsr.quantization.ptq import quantize_graph
from tests.graphs import NETS, random_inputs, sesr_graph

QUICK = Scheme(ranges="minmax", rounding="nearest", equalize=False)
SOME = {name: NETS[name] for name in ("sesr", "sesr-prelu-x4", "fsrcnn", "cell")}


def frames_for(graph: Graph) -> list[NDArray[np.float32]]:
    shape = (4, 24, 32, graph.channels) if is_recurrent(graph) else (24, 32, graph.channels)
    return [np.random.default_rng(i).random(shape, np.float32) for i in range(4)]


@pytest.fixture(scope="module")
def quantized() -> dict[str, Graph]:
    return {name: quantize_int16(graph, frames_for(graph), QUICK) for name, graph in SOME.items()}


def run_onnx(data: bytes, graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    feed = {key: values.transpose(0, 3, 1, 2) for key, values in inputs.items()}
    found = session.run(list(graph.outputs), feed)
    return [values.transpose(0, 2, 3, 1) for values in found]


@pytest.mark.parametrize("name", SOME)
def test_the_file_is_as_good_as_its_weights_in_float(
    name: str, quantized: dict[str, Graph]
) -> None:
    graph = quantized[name]
    data = onnx_bytes(graph)
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    inputs = random_inputs(graph, (32, 24))
    wanted = run_float(graph, inputs)
    for output, values in zip(graph.outputs, run_onnx(data, graph, inputs), strict=True):
        reach = np.abs(wanted[output]).max()
        assert np.abs(values - wanted[output]).max() <= 2e-3 * reach
        assert values.std() > 0.01 * reach


@pytest.mark.parametrize("name", SOME)
def test_what_it_loses_is_far_less_than_int8_loses(name: str, quantized: dict[str, Graph]) -> None:
    graph = SOME[name]
    inputs = random_inputs(graph, (32, 24))
    sr = graph.output_of("sr")
    wanted = run_float(graph, inputs)[sr]
    int8 = quantize_graph(graph, frames_for(graph), QUICK)
    found = run_onnx(onnx_bytes(quantized[name]), quantized[name], inputs)
    coarse = run_onnx(onnx_bytes(int8), int8, inputs)
    place = graph.outputs.index(sr)
    inside = (wanted > 0) & (wanted < 1)
    errors = [float(np.std((each[place] - wanted)[inside])) for each in (found, coarse)]
    assert errors[0] < 0.5 * errors[1]


def test_weights_rounded_together_lose_less() -> None:
    graph = sesr_graph(1, 4)
    inputs = random_inputs(graph, (32, 24))
    wanted = run_float(graph, inputs)["sr"]
    errors = []
    for rounding in ("nearest", "together"):
        scheme = Scheme(rounding=rounding)
        found = run_float(quantize_int16(graph, frames_for(graph), scheme), inputs)["sr"]
        errors.append(float(np.std(found - wanted)))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", SOME)
def test_reading_and_writing_it_again_changes_no_byte(
    name: str, quantized: dict[str, Graph]
) -> None:
    data = onnx_bytes(quantized[name])
    again = graph_from_onnx(data)
    assert has_int16(again)
    assert not again.quantized
    assert onnx_bytes(again) == data


def test_the_file_holds_int8_weights_and_int16_zero_points(quantized: dict[str, Graph]) -> None:
    model = onnx.load_model_from_string(onnx_bytes(quantized["sesr"]))
    assert model.opset_import[0].version == 21
    kinds = {each.name: each.data_type for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert kinds[node.input[2]] == TensorProto.INT16
    weights = [kind for name, kind in kinds.items() if name.endswith("/weight")]
    assert weights == [TensorProto.INT8] * 7


def test_pixels_of_the_frame_are_codes(quantized: dict[str, Graph]) -> None:
    graph = quantized["sesr"]
    scale = graph.meta[INT16_KEY]["activations"][graph.input_of("frame")]
    assert 1 / 255 / scale == pytest.approx(128, rel=1e-6)


def test_what_cannot_be_done_with_it_is_said(quantized: dict[str, Graph]) -> None:
    graph = quantized["sesr"]
    with pytest.raises(ExportError, match="no int16 DEPTH_TO_SPACE; export to target onnx"):
        tflite_bytes(graph, (32, 24))
    with pytest.raises(ExportError, match="its weights are int8"):
        half_weights(graph)
    for quantize in (quantize_int16, quantize_graph):
        with pytest.raises(QuantizeError, match="w8a16 already"):
            quantize(graph, frames_for(graph))


def damaged(graph: Graph, change: str) -> bytes:
    model = onnx.load_model_from_string(onnx_bytes(graph))
    entry = model.metadata_props[0]
    if change == "foreign":
        del model.metadata_props[:]
    elif change == "another scale":
        scale = next(each for each in model.graph.initializer if each.name == "frame/scale")
        scale.CopyFrom(numpy_helper.from_array(np.float32(0.5), "frame/scale"))
    elif change == "zero point":
        zero = next(each for each in model.graph.initializer if each.name == "frame/zero_point")
        zero.CopyFrom(numpy_helper.from_array(np.int16(3), "frame/zero_point"))
    else:
        known = json.loads(entry.value)
        scales = known[INT16_KEY]
        if change == "no tensor":
            del scales["activations"]["frame"]
        elif change == "text":
            scales["activations"]["frame"] = "1"
        elif change == "no list":
            known[INT16_KEY] = 3
        else:
            scales["weights"]["first"] = [0.9] * len(scales["weights"]["first"])
        entry.value = json.dumps(known)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("foreign", "no word of edgevsr's"),
        ("another scale", "not those that its metadata has"),
        ("zero point", "zero point 3: expected 0"),
        ("no tensor", "'frame' of an int16 network has no scale"),
        ("text", "'frame' of an int16 network has a damaged scale"),
        ("no list", "has no scale"),
        ("weights", "'first': its weights are not int8 at its scales"),
    ],
)
def test_a_damaged_file_is_refused(quantized: dict[str, Graph], change: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        graph_from_onnx(damaged(quantized["sesr"], change))


def test_a_float_file_that_claims_int16_is_float() -> None:
    claimed = replace(NETS["sesr"]).with_meta(**{INT16_KEY: {}})
    plain = onnx.load_model_from_string(onnx_bytes(NETS["sesr"]))
    known = json.loads(plain.metadata_props[0].value)
    plain.metadata_props[0].value = json.dumps({**known, INT16_KEY: claimed.meta[INT16_KEY]})
    assert not has_int16(graph_from_onnx(bytes(plain.SerializeToString())))
