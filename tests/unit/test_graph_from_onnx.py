"""Reading ONNX: our own files, files of onnxruntime's quantizer, and bad ones."""

from __future__ import annotations

import contextlib
import json
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgevsr.errors import EdgeVsrError, ExportError, SourceError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.reference import run_int8
from tests.graphs import (
    NETS,
    cell_graph,
    quantized,
    random_graph,
    random_inputs,
    sesr_graph,
)


@pytest.mark.parametrize("name", NETS)
def test_our_files_come_back_to_the_byte(name: str) -> None:
    graph = NETS[name]
    for form, size in ((graph, None), (quantized(graph), (24, 16))):
        data = onnx_bytes(form, size)
        read = graph_from_onnx(data)
        assert onnx_bytes(read, size) == data
        assert (read.roles, read.meta, read.size) == (form.roles, form.meta, size)
        assert read.qparams == form.qparams


@settings(max_examples=40, deadline=None)
@example(seed=9999)  # a bias of more than float32's 24 bits
@given(seed=st.integers(0, 10_000))
def test_any_graph_comes_back_to_the_byte(seed: int) -> None:
    graph = random_graph(seed)
    for form in (graph, quantized(graph, (12, 8))):
        data = onnx_bytes(form)
        assert onnx_bytes(graph_from_onnx(data)) == data


class Frames:
    """Feeds random frames to onnxruntime's quantizer."""

    def __init__(self, count: int) -> None:
        frames = [random_inputs(NETS["sesr"], seed=i)["frame"] for i in range(count)]
        self.frames = iter(frames)

    def get_next(self) -> dict[str, Any] | None:
        frame = next(self.frames, None)
        return None if frame is None else {"frame": frame.transpose(0, 3, 1, 2)}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", ["sesr", "sesr-relu"])
def test_onnxruntimes_quantized_files_become_int8(signed: bool, name: str, tmp_path: Any) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    path, out = tmp_path / "float.onnx", tmp_path / "qdq.onnx"
    path.write_bytes(onnx_bytes(NETS[name]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_static(
            path,
            out,
            Frames(3),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    graph = graph_from_onnx(out)
    assert graph.quantized
    frame = random_inputs(graph, seed=9)["frame"]
    options = onnxruntime.SessionOptions()  # its fused uint8 kernels stray by several steps
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(out, options)
    wanted = session.run(None, {"frame": frame.transpose(0, 3, 1, 2)})[0].transpose(0, 2, 3, 1)
    codes = run_int8(graph, {"frame": graph.qparams["frame"].quantize(frame)})["sr"]
    found = graph.qparams["sr"].dequantize(codes)
    step = graph.qparams["sr"].scale
    assert np.abs(found - wanted).max() <= 2.01 * step
    assert np.mean(np.abs(found - wanted) > 0.5 * step) < 0.3


def _model(nodes: list[Any], initializers: list[Any], shape: tuple[Any, ...]) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [value], [out], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def _conv_model(weight: Any, shape: tuple[Any, ...] = (1, 1, "h", "w"), **attrs: Any) -> bytes:
    node = helper.make_node("Conv", ["x", "w"], ["y"], "the_conv", **attrs)
    return _model([node], [numpy_helper.from_array(np.float32(weight), "w")], shape)


def _mul_model() -> bytes:
    """Return a model that multiplies three channels by one."""
    weights = [numpy_helper.from_array(np.ones((n, 1, 1, 1), np.float32), f"w{n}") for n in (1, 3)]
    nodes = [
        helper.make_node("Conv", ["x", "w3"], ["a"], "wide"),
        helper.make_node("Conv", ["x", "w1"], ["b"], "narrow"),
        helper.make_node("Mul", ["a", "b"], ["y"], "the_mul"),
    ]
    return _model(nodes, weights, (1, 1, "h", "w"))


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", SourceError, "empty"),
        (b"not a model at all", SourceError, "not an ONNX file"),
        (onnx_bytes(NETS["sesr"])[:-2000], SourceError, "not an ONNX file"),
        (_conv_model(np.full((1, 1, 3, 3), np.nan), pads=[1] * 4), ExportError, "NaN"),
        (_conv_model(np.full((1, 1, 3, 3), np.inf), pads=[1] * 4), ExportError, "NaN or inf"),
        (_conv_model(np.ones((1, 1, 3, 3))), ExportError, "expected [1, 1, 1, 1]"),
        (_conv_model(np.ones((1, 1, 2, 2))), ExportError, "even kernel 2x2"),
        (_conv_model(np.ones((1, 2, 1, 1))), ExportError, "given 1"),
        (_mul_model(), ExportError, "of 3 and 1 channels"),
        (_conv_model(np.ones((1, 1, 1, 1)), (4, 1, 8, 8)), SourceError, "--size"),
        (_conv_model(np.ones((1, 1, 1, 1)), (1, "c", 8, 8)), SourceError, "--size"),
        (_conv_model(np.ones((1, 1, 1, 1)), (1, 8, 8)), SourceError, "--size"),
        (_conv_model(np.ones((1, 1, 1, 1)), (1, 360, 640, 3)), SourceError, "NHWC"),
    ],
)  # fmt: skip
def test_bad_files_get_one_clear_line(data: bytes, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text.replace("[", r"\[").replace("]", r"\]")) as caught:
        graph_from_onnx(data)
    assert "\n" not in str(caught.value)


def test_weights_in_another_file_are_refused() -> None:
    model = onnx.load_model_from_string(onnx_bytes(NETS["sesr"]))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(SourceError, match="another file"):
        graph_from_onnx(model.SerializeToString())


def test_a_partly_quantized_file_names_what_is_missing() -> None:
    data = onnx_bytes(quantized(NETS["sesr"]))
    model = onnx.load_model_from_string(data)
    for node in model.graph.node:
        node.input[:] = ["body0" if name == "body0/dq" else name for name in node.input]
    kept = [n for n in model.graph.node if not {"body0/dq", "body0/codes"} & set(n.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    with pytest.raises(ExportError, match="no scale for 'body0'"):
        graph_from_onnx(model.SerializeToString())


def test_an_output_that_is_an_input_is_refused() -> None:
    model = onnx.load_model_from_string(onnx_bytes(cell_graph()))
    model.graph.output[1].name = "state"
    with pytest.raises(SourceError, match="repeats an input"):
        graph_from_onnx(model.SerializeToString())


def test_foreign_recurrent_nets_are_told_by_their_names() -> None:
    model = onnx.load_model_from_string(onnx_bytes(cell_graph()))
    del model.metadata_props[:]
    with pytest.raises(SourceError, match="roles of the 2 inputs"):
        graph_from_onnx(model.SerializeToString())
    text = model.SerializeToString()
    renamed = onnx.load_model_from_string(text)
    names = {"state": "state_in_0", "next_state": "state_out_0"}
    for value in (*renamed.graph.input, *renamed.graph.output):
        value.name = names.get(value.name, value.name)
    for node in renamed.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    graph = graph_from_onnx(renamed.SerializeToString())
    assert graph.roles == {
        "frame": "frame",
        "state_in_0": "state_in:0",
        "sr": "sr",
        "state_out_0": "state_out:0",
    }


def test_damaged_metadata_is_disregarded() -> None:
    for value in ("{", "[1]", json.dumps({"roles": {"frame": "sr"}})):
        model = onnx.load_model_from_string(onnx_bytes(NETS["sesr"]))
        model.metadata_props[0].value = value
        graph = graph_from_onnx(model.SerializeToString())
        assert graph.roles == {"frame": "frame", "sr": "sr"}
        assert graph.scale == 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_end_in_a_traceback(data: st.DataObject) -> None:
    good = bytearray(onnx_bytes(quantized(sesr_graph(1, 2))))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 1)) * data.draw(st.integers(0, len(good)))
    with contextlib.suppress(EdgeVsrError):
        graph_from_onnx(bytes(good[cut:]))
