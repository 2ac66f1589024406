"""Writing .tflite: LiteRT's reference kernels and the graph's own reference runs are the judges."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import ExportError
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.exporters.tflite_ops import same_transpose_kernel
from edgevsr.graph.ir import Graph, Node, QuantParams
from edgevsr.graph.reference import run_float, run_int8
from tests.graphs import (
    NETS,
    Builder,
    fsrcnn_graph,
    quantized,
    random_codes,
    random_graph,
    random_inputs,
    sesr_graph,
)
from tests.litert import count_tflite_ops, open_tflite, run_tflite, worst_float_error

SIZE = (24, 16)
INT8 = {name: quantized(graph) for name, graph in NETS.items()}


def as_io(values: Any, io: str) -> Any:
    """Return int8 image codes as the file's frames have them."""
    if io == "uint8":
        return (values.astype(np.int16) + 128).astype(np.uint8)
    return (values.astype(np.float32) + 128) / 255 if io == "float" else values


@pytest.mark.parametrize("name", NETS)
def test_float_files_compute_what_the_graph_computes(name: str) -> None:
    assert worst_float_error(NETS[name], SIZE) <= 3e-6


@pytest.mark.parametrize("io", ["int8", "uint8", "float"])
@pytest.mark.parametrize("name", INT8)
def test_int8_files_equal_the_integer_reference(name: str, io: str) -> None:
    graph = INT8[name]
    codes = random_codes(graph, SIZE)
    wanted = run_int8(graph, codes)
    images = {key for key, role in graph.roles.items() if role in ("frame", "sr")}
    data = tflite_bytes(graph, SIZE, io)
    given_codes = [as_io(v, io) if key in images else v for key, v in codes.items()]
    for output, values in zip(graph.outputs, run_tflite(data, given_codes), strict=True):
        expected = as_io(wanted[output], io) if output in images else wanted[output]
        if io == "float" and output in images:
            assert np.abs(values - expected).max() <= 1e-6
        else:
            assert np.array_equal(values, expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_graph_is_exact(seed: int) -> None:
    graph, size = random_graph(seed), (12, 8)
    inputs = random_inputs(graph, size)
    found = run_tflite(tflite_bytes(graph, size), list(inputs.values()))
    assert np.abs(found[0] - run_float(graph, inputs)["sr"]).max() <= 1e-5
    integer = quantized(graph, size)
    codes = random_codes(integer, size)
    found = run_tflite(tflite_bytes(integer, size), list(codes.values()))
    assert np.array_equal(found[0], run_int8(integer, codes)["sr"])


def test_sesr_m5_is_exactly_its_operators() -> None:
    shared = {"CONV_2D": 7, "ADD": 2, "DEPTH_TO_SPACE": 1}
    assert count_tflite_ops(tflite_bytes(INT8["sesr"], SIZE)) == {**shared, "LEAKY_RELU": 6}
    assert count_tflite_ops(tflite_bytes(NETS["sesr"], SIZE)) == {**shared, "LEAKY_RELU": 6}
    assert count_tflite_ops(tflite_bytes(INT8["sesr-relu"], SIZE)) == shared
    prelu = quantized(sesr_graph(activation="prelu"))
    assert count_tflite_ops(tflite_bytes(prelu, SIZE)) == {**shared, "PRELU": 6}


@pytest.mark.parametrize(("io", "ends"), [("uint8", ("QUANTIZE", "QUANTIZE")),
                                          ("float", ("QUANTIZE", "DEQUANTIZE"))])  # fmt: skip
def test_other_frames_cost_one_conversion_at_each_end(io: str, ends: tuple[str, str]) -> None:
    operators = open_tflite(tflite_bytes(INT8["sesr-relu"], SIZE, io))._get_ops_details()
    names = [operator["op_name"] for operator in operators]
    assert (names[0], names[-1]) == ends
    assert sum(name in ("QUANTIZE", "DEQUANTIZE") for name in names) == 2


def test_states_stay_int8_and_share_their_scale() -> None:
    interpreter = open_tflite(tflite_bytes(INT8["cell"], SIZE, "float"))
    dtypes = [d["dtype"] for d in interpreter.get_input_details()]
    assert dtypes == [np.float32, np.int8]
    state_in, state_out = interpreter.get_input_details()[1], interpreter.get_output_details()[1]
    assert state_in["quantization"] == state_out["quantization"]


def test_a_state_with_two_scales_is_refused() -> None:
    graph = INT8["cell"]
    apart = {**graph.qparams, "next_state": QuantParams(0.5, 0)}
    with pytest.raises(ExportError, match="state 0: input 'state' and output 'next_state'"):
        tflite_bytes(replace(graph, qparams=apart), SIZE)


def test_the_same_graph_gives_the_same_bytes() -> None:
    for name in ("sesr", "cell"):
        assert tflite_bytes(INT8[name], SIZE) == tflite_bytes(quantized(NETS[name]), SIZE)


def test_chosen_outputs_are_emitted_in_their_order() -> None:
    graph = INT8["sesr"]
    codes = random_codes(graph, SIZE)
    wanted = run_int8(graph, codes)
    names = [node.output for node in graph.nodes]
    found = run_tflite(tflite_bytes(graph, SIZE, outputs=names), list(codes.values()))
    for name, values in zip(names, found, strict=True):
        assert np.array_equal(values, wanted[name])
    with pytest.raises(ExportError, match=r"'firts': no such tensor \(did you mean 'first'\?\)"):
        tflite_bytes(graph, SIZE, outputs=["firts"])


def test_signature_and_metadata_name_things() -> None:
    data = tflite_bytes(INT8["cell"], SIZE, "uint8")
    signatures = open_tflite(data).get_signature_list()
    assert signatures == {
        "serving_default": {"inputs": ["frame", "state"], "outputs": ["next_state", "sr"]}
    }
    model = schema.Model.GetRootAs(data, 0)
    assert model.Description().startswith(b"edgevsr ")
    entry = model.Metadata(0)
    told = json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    assert told["roles"]["next_state"] == "state_out:0"
    assert told["net"] == "cell"


def test_constants_start_at_multiples_of_sixteen() -> None:
    data = tflite_bytes(INT8["sesr"], SIZE)
    model = schema.Model.GetRootAs(data, 0)
    found = 0
    for index in range(model.BuffersLength()):
        payload = model.Buffers(index).DataAsNumpy()
        if isinstance(payload, np.ndarray):
            assert data.index(payload.tobytes()) % 16 == 0
            found += 1
    assert found > 14


def _clip_graph(low: float, high: float) -> Graph:
    b = Builder()
    x = b.input("frame", 1, "frame")
    h = b.conv("tail", x, 4)
    h = b.node("clip", "bounded", (h,), 4, attrs={"low": low, "high": high})
    return b.graph((b.depth_to_space("sr", h, 2), "sr"), net="clip", scale=2, colour="y")


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (0.0, 1.0, ["RELU_0_TO_1"]),
        (0.0, 6.0, ["RELU6"]),
        (-1.0, 1.0, ["RELU_N1_TO_1"]),
        (-0.5, 0.25, ["MAXIMUM", "MINIMUM"]),
        (-np.inf, 0.25, ["MINIMUM"]),
        (0.1, np.inf, ["MAXIMUM"]),
    ],
)
def test_clips_are_written_as_what_they_are(low: float, high: float, names: list[str]) -> None:
    graph = _clip_graph(low, high)
    data = tflite_bytes(graph, SIZE)
    assert sorted(count_tflite_ops(data)) == sorted([*names, "CONV_2D", "DEPTH_TO_SPACE"])
    inputs = random_inputs(graph, SIZE)
    found = run_tflite(data, list(inputs.values()))[0]
    assert np.abs(found - run_float(graph, inputs)["sr"]).max() <= 1e-6


def test_a_clip_that_int8_does_already_is_dropped() -> None:
    data = tflite_bytes(quantized(_clip_graph(0.0, 1.0)), SIZE)
    assert sorted(count_tflite_ops(data)) == ["CONV_2D", "DEPTH_TO_SPACE"]
    graph = quantized(_clip_graph(0.2, 0.7))
    data = tflite_bytes(graph, SIZE)
    assert "MAXIMUM" in count_tflite_ops(data)
    codes = random_codes(graph, SIZE)
    found = run_tflite(data, list(codes.values()))[0]
    assert np.array_equal(found, run_int8(graph, codes)["sr"])


def test_scales_that_others_left_apart_are_brought_together() -> None:
    graph = INT8["cell"]
    apart = {**graph.qparams, "joined": QuantParams(0.02, -100)}
    graph = replace(graph, qparams=apart)
    codes = random_codes(graph, SIZE)
    wanted = run_int8(graph, codes)
    found = run_tflite(tflite_bytes(graph, SIZE), list(codes.values()))
    for name, values in zip(graph.outputs, found, strict=True):
        assert np.array_equal(values, wanted[name])


@settings(max_examples=60, deadline=None)
@given(taps=st.integers(1, 11), stride=st.integers(1, 4), pad=st.integers(0, 5))
def test_padded_kernels_cut_what_tensorflow_cuts(taps: int, stride: int, pad: int) -> None:
    weight = np.ones((1, taps, taps, 1), np.float32)
    padded = same_transpose_kernel(weight, stride, pad)
    size = padded.shape[1]
    front = int(np.flatnonzero(padded[0].any(axis=(1, 2)))[0])
    assert size >= stride
    assert (size - stride) // 2 == pad + front
    assert padded.sum() == taps * taps


def test_fsrcnns_kernel_is_padded_by_one() -> None:
    assert same_transpose_kernel(np.ones((1, 9, 9, 56)), 2, 4).shape == (1, 10, 10, 56)


@pytest.mark.parametrize(("size", "text"), [((25, 16), "multiples of 2"), ((0, 16), "at least 1")])
def test_sizes_that_do_not_fit_are_refused(size: tuple[int, int], text: str) -> None:
    b = Builder()
    x = b.input("frame", 1, "frame")
    h = b.node("space_to_depth", "folded", (x,), 4, (1, 2), attrs={"block": 2})
    y = b.depth_to_space("sr", b.conv("tail", h, 16), 4)
    with pytest.raises(ExportError, match=text):
        tflite_bytes(b.graph((y, "sr"), scale=2), size)


def test_unknown_frames_are_refused() -> None:
    with pytest.raises(ExportError, match=r"io 'uint9'.*did you mean 'uint8'"):
        tflite_bytes(INT8["sesr"], SIZE, "uint9")


def test_a_relu_behind_a_transposed_convolution_is_fused() -> None:
    graph = fsrcnn_graph(8, 4, 1)
    last: Node = replace(graph.nodes[-1], activation="relu", bias=np.array([-0.05], np.float32))
    graph = replace(graph, nodes=(*graph.nodes[:-1], last))
    data = tflite_bytes(graph, SIZE)
    assert "RELU" not in count_tflite_ops(data)
    inputs = random_inputs(graph, SIZE)
    found = run_tflite(data, list(inputs.values()))[0]
    assert found.min() == 0 < found.max()
    assert np.abs(found - run_float(graph, inputs)["sr"]).max() <= 3e-6
