"""The linter on hand-made files: each rule finds what it should, names it, and is silent else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edgevsr
from edgevsr.exporters.lint_facts import RULES
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.targets import load_target, lower, target_names
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import QuantParams
from tests.foreign_tflite import SHAPE, Net
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph

SIZE = (24, 16)
TFLITE_TARGETS = [name for name in target_names() if load_target(name).format == "tflite"]


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Lint bytes for a target and return the report's JSON."""

    def call(data: bytes, target: str = "tflite", card: Any = None) -> dict[str, Any]:
        path = tmp_path / f"net.{load_target(target).format}"
        path.write_bytes(data)
        if card is not None:
            path.with_suffix(".json").write_text(json.dumps({"file": path.name, **card}))
        return edgevsr.lint(path, target=target).to_json()

    return call


def rules(report: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    return [(each["rule"], each["operator"], each["tensor"]) for each in report["findings"]]


@pytest.mark.parametrize("target", TFLITE_TARGETS)
@pytest.mark.parametrize(
    "graph",
    [
        sesr_graph(m=2),
        sesr_graph(m=2, scale=3),
        fsrcnn_graph(m=1, activation="leaky"),
        cell_graph(),
    ],
)
def test_what_export_writes_has_no_findings(graph: Any, target: str, found: Any) -> None:
    """A file written for a target is clean there, whatever the operators it was lowered to."""
    report = found(tflite_bytes(lower(quantized(graph, SIZE), target), SIZE), target)
    assert rules(report) == []
    assert report["precision"] == "int8"


@pytest.mark.parametrize("target", ["onnx", "onnx-web"])
def test_qdq_files_of_ours_have_no_findings(target: str, found: Any) -> None:
    graph = quantized(sesr_graph(m=2, activation="relu"), SIZE)
    report = found(onnx_bytes(lower(graph, target), SIZE), target)
    assert rules(report) == []
    assert report["precision"] == "int8"


def test_operators_that_leave_the_npu_are_errors_with_the_fix(found: Any) -> None:
    data = tflite_bytes(quantized(sesr_graph(m=1), SIZE), SIZE, io="float")
    report = found(data, "ethos-u")
    assert rules(report) == [
        ("operator", "QUANTIZE", "frame_int8"),
        ("operator", "DEPTH_TO_SPACE", "sr_int8"),
        ("operator", "DEQUANTIZE", "sr"),
    ]
    assert report["errors"] == 3
    assert "--target ethos-u" in report["findings"][1]["fix"]
    assert "--target ethos-u85" in found(data, "ethos-u85")["findings"][1]["fix"]


def test_a_float_file_for_an_npu_is_one_error(found: Any) -> None:
    report = found(tflite_bytes(sesr_graph(m=1), SIZE), "ethos-u")
    assert rules(report) == [("float-file", None, None)]
    assert "edgevsr quantize" in report["findings"][0]["fix"]


@pytest.mark.parametrize(("io", "dtype"), [("uint8", "uint8"), ("float", "float32")])
def test_converted_ends_name_the_ends(io: str, dtype: str, found: Any) -> None:
    report = found(tflite_bytes(quantized(sesr_graph(m=1), SIZE), SIZE, io=io))
    assert {(rule, tensor) for rule, _, tensor in rules(report)} == {
        ("converted-end", "frame"),
        ("converted-end", "sr"),
    }
    assert all(dtype in each["why"] for each in report["findings"])


@pytest.mark.parametrize(("slopes", "expected"), [(4, ["prelu-per-channel"]), (1, [])])
def test_prelu_in_int8_is_found_where_it_has_several_slopes(
    slopes: int, expected: list[str], found: Any
) -> None:
    net = Net()
    net.prelu(net.tensor("x"), net.tensor("y"), slopes)
    report = found(net.done("x", "y"), "ethos-u")
    assert [rule for rule, *_ in rules(report)] == expected


def test_a_float_island_is_named_with_its_operator(found: Any) -> None:
    net = Net()
    x, inner = net.tensor("x"), net.tensor("wide", dtype=np.float32)
    net.file.operator("DEQUANTIZE", 2, [x], inner)
    tanh = net.tensor("tanh", dtype=np.float32)
    net.file.operator("TANH", 1, [inner], tanh)
    back = net.tensor("back")
    net.file.operator("QUANTIZE", 1, [tanh], back)
    net.leaky(back, net.tensor("y"))
    assert rules(found(net.done("x", "y"))) == [("float-island", "TANH", "tanh")]


def test_transposes_and_high_ranks_are_found(found: Any) -> None:
    net = Net()
    x, split = net.tensor("x"), net.tensor("split", shape=(1, 16, 24, 2, 2))
    shape = net.file.tensor("shape", (5,), np.int32, np.array([1, 16, 24, 2, 2]))
    net.file.operator("RESHAPE", 1, [x, shape], split)
    order = net.file.tensor("order", (5,), np.int32, np.array([0, 1, 3, 2, 4]))
    y = net.tensor("y", shape=(1, 16, 2, 24, 2))
    net.file.operator("TRANSPOSE", 2, [split, order], y)
    report = found(net.done("x", "y"), "tflite-gpu")
    assert rules(report) == [
        ("rank", "RESHAPE", "split"),
        ("rank", "TRANSPOSE", "y"),
        ("transpose", "TRANSPOSE", "y"),
    ]
    assert [each["severity"] for each in report["findings"]] == ["error", "error", "warning"]


def test_a_custom_operator_is_an_error_everywhere(found: Any) -> None:
    node = helper.make_node("Warp", ["x"], ["y"], domain="org.example")
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 4, 4]) for n in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)]
    data = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    report = found(data, "onnx")
    assert rules(report) == [("custom-operator", "org.example.Warp", "y")]
    assert report["errors"] == 1


def recurrent(**state: Any) -> Net:
    """Frame and state in, both through a layer and out; `state` says how state_in is quantized."""
    net = Net()
    net.leaky(net.tensor("frame"), net.tensor("sr"))
    net.leaky(net.tensor("state_in_0", **state), net.tensor("state_out_0"))
    return net


ENDS = ("frame state_in_0", "sr state_out_0")


def test_tied_states_are_clean_and_untied_ones_named(found: Any) -> None:
    assert rules(found(recurrent().done(*ENDS))) == []
    for odd in ({"scale": 0.03}, {"zero": 0}):
        report = found(recurrent(**odd).done(*ENDS))
        assert rules(report) == [("state-untied", None, "state_in_0")]
        assert "'state_out_0'" in report["findings"][0]["why"]
        assert report["errors"] == 1
    report = found(recurrent(dtype=np.float32).done(*ENDS))
    assert ("state-untied", None, "state_in_0") in rules(report)


def test_states_with_one_end_or_two_shapes_are_errors(found: Any) -> None:
    assert rules(found(recurrent().done("frame state_in_0", "sr"))) == [
        ("state-unpaired", None, "state_in_0")
    ]
    assert rules(found(recurrent(shape=(1, 8, 24, 4)).done(*ENDS))) == [
        ("state-unpaired", None, "state_in_0")
    ]


def test_roles_come_from_the_card_where_names_tell_nothing(found: Any) -> None:
    net = Net()
    for source, made in (("a", "c"), ("b", "d")):
        net.leaky(net.tensor(source), net.tensor(made, scale=0.02 if made == "c" else 0.5))
    data = net.done("a b", "c d")
    assert rules(found(data)) == []
    card = {
        "inputs": [{"name": "a", "role": "frame"}, {"name": "b", "role": "state_in:0"}],
        "outputs": [{"name": "c", "role": "sr"}, {"name": "d", "role": "state_out:0"}],
    }
    assert rules(found(data, card=card)) == [("state-untied", None, "b")]


def test_roles_come_from_our_metadata(found: Any) -> None:
    """The recurrent cell's state is called `state` and `next_state`; only the metadata knows."""
    graph = quantized(cell_graph(), SIZE)
    untied = replace(graph, qparams={**graph.qparams, "state": QuantParams(0.5, 3)})
    report = found(onnx_bytes(untied, SIZE), "onnx")
    assert ("state-untied", None, "state") in rules(report)


@pytest.mark.parametrize(("target", "level"), [("tflite", "warning"), ("tflite-gpu", "error")])
def test_outputs_passed_through_or_consumed(target: str, level: str, found: Any) -> None:
    net = Net()
    net.leaky(net.tensor("frame"), net.tensor("state_out_0"))
    net.leaky(net.names["state_out_0"], net.tensor("sr"))
    report = found(net.done("frame", "sr state_out_0"), target)
    assert ("output-consumed", "LEAKY_RELU", "state_out_0") in rules(report)
    passed = found(net.done("frame", "sr frame"), target)
    assert ("state-passed-through", None, "frame") in rules(passed)
    for each in (*report["findings"], *passed["findings"]):
        if each["rule"] in ("output-consumed", "state-passed-through"):
            assert each["severity"] == level


def test_a_reshape_does_not_hide_what_is_passed_through(found: Any) -> None:
    net = Net()
    net.leaky(net.tensor("frame"), net.tensor("sr"))
    shape = net.file.tensor("shape", (4,), np.int32, np.array(SHAPE))
    net.file.operator("RESHAPE", 1, [net.names["frame"], shape], net.tensor("kept"))
    assert ("state-passed-through", None, "kept") in rules(found(net.done("frame", "sr kept")))


def test_dynamic_shapes_are_found_in_both_formats(found: Any) -> None:
    open_size = onnx_bytes(quantized(sesr_graph(m=1, activation="relu")))
    assert rules(found(open_size, "onnx")) == [("dynamic-shape", None, "frame")]
    net = Net()
    net.leaky(net.tensor("x"), net.tensor("y"))
    net.file._graph.tensors[net.names["x"]].shapeSignature = np.array([1, -1, -1, 4], np.int32)
    report = found(net.done("x", "y"), "ethos-u")
    assert rules(report) == [("dynamic-shape", None, "x")]
    assert report["errors"] == 1


def test_int8_onnx_islands_and_operators(found: Any) -> None:
    """A convolution whose output nobody quantized is an island; ConvTranspose is converted."""
    model = onnx.load_model_from_string(
        onnx_bytes(quantized(fsrcnn_graph(m=1, activation="leaky"), SIZE), SIZE)
    )
    report = found(model.SerializeToString(), "onnx")
    assert [operator for rule, operator, _ in rules(report) if rule == "operator"] == [
        "ConvTranspose"
    ]
    quantizers = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    between = next(n for n in quantizers if n.input[0] != "frame")
    dequantizer = next(n for n in model.graph.node if n.input[:1] == [between.output[0]])
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == dequantizer.output[0]:
                node.input[index] = between.input[0]
    model.graph.node.remove(between)
    model.graph.node.remove(dequantizer)
    islands = rules(found(model.SerializeToString(), "onnx"))
    assert any(rule == "float-island" for rule, *_ in islands)


def test_every_finding_says_why_and_what_to_do(found: Any) -> None:
    report = found(tflite_bytes(quantized(sesr_graph(m=1), SIZE), SIZE, io="float"), "ethos-u")
    for each in report["findings"]:
        assert set(each) == {"severity", "rule", "operator", "tensor", "why", "fix"}
        assert each["rule"] in RULES
        assert each["why"]
        assert each["fix"]


@pytest.mark.shared
def test_the_published_files_are_all_read(shared: Path) -> None:
    """All 21 files of others: each has its conversions and what its activations cost."""
    paths = sorted((shared / "data" / "latency").rglob("*.tflite"))
    assert len(paths) == 21
    for path in paths:
        for target in TFLITE_TARGETS:
            report = edgevsr.lint(path, target=target).to_json()
            names = [operator for _, operator, _ in rules(report)]
            assert report["precision"] == "int8"
            assert names.count("QUANTIZE") == 2
            slow = report["operators"].get("PRELU", 0) if target != "tflite-gpu" else 0
            assert names.count("PRELU") == slow
