"""Targets and their rewrites: exact in float, code for code in int8, a way out for the rest."""

from __future__ import annotations

from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgevsr.errors import ExportError, SpecError
from edgevsr.exporters import rewrites
from edgevsr.exporters.targets import load_target, lower, parse_target, target_names
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.from_tflite import graph_from_tflite
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float, run_int8
from tests.graphs import (
    Builder,
    cell_graph,
    fsrcnn_graph,
    quantized,
    random_codes,
    random_graph,
    random_inputs,
    sesr_graph,
)
from tests.litert import count_tflite_ops, run_tflite

SIZE = (12, 8)
NETS = {
    "sesr": sesr_graph(2),
    "sesr-x4": sesr_graph(2, scale=4),
    "sesr-rgb-x4": sesr_graph(1, channels=3, scale=4),
    "sesr-relu-x4": sesr_graph(2, scale=4, activation="relu"),
    "sesr-prelu-x4": sesr_graph(2, scale=4, activation="prelu"),
    "fsrcnn": fsrcnn_graph(12, 4, 1),
    "fsrcnn-x4": fsrcnn_graph(12, 4, 1, scale=4),
    "cell": cell_graph(),
}


def assert_same(before: Graph, after: Graph) -> None:
    """Hold the two graphs to the same values, and int8 ones to the same codes in LiteRT too."""
    if not before.quantized:
        inputs = random_inputs(before, SIZE)
        wanted, found = run_float(before, inputs), run_float(after, inputs)
        for name in before.outputs:
            assert np.abs(wanted[name] - found[name]).max() <= 5e-6
        return
    codes = random_codes(before, SIZE)
    exact, changed = run_int8(before, codes), run_int8(after, codes)
    ran = run_tflite(tflite_bytes(after, SIZE), list(codes.values()))
    for name, values in zip(before.outputs, ran, strict=True):
        assert np.array_equal(exact[name], changed[name])
        assert np.array_equal(exact[name], values)


def test_the_five_targets_ship() -> None:
    names = target_names()
    assert {"tflite", "tflite-gpu", "ethos-u", "onnx", "onnx-web"} <= set(names)
    for name in names:
        assert load_target(name).name == name


def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(ExportError, match="did you mean 'tflite'"):
        load_target("tflight")


@pytest.mark.parametrize("name", NETS)
def test_every_target_runs_the_same_function(name: str) -> None:
    for graph in (NETS[name], quantized(NETS[name], SIZE)):
        for target in (load_target(t) for t in target_names()):
            precision = "int8" if graph.quantized else "float"
            split = target.prelu == "split" and graph.quantized
            if precision not in target.precisions or (
                split and any(node.op == "prelu" for node in graph.nodes)
            ):
                with pytest.raises(ExportError):
                    lower(graph, target)
            else:
                assert_same(graph, lower(graph, target))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(rewrites.REWRITES)))
@example(seed=360, name="depth_to_space_as_transpose_conv")
def test_every_rewrite_is_exact(seed: int, name: str) -> None:
    graph = random_graph(seed)
    for form in (graph, quantized(graph, SIZE)):
        split = name == "split_prelu" and form.quantized
        if split and any(node.op == "prelu" for node in form.nodes):
            with pytest.raises(ExportError):
                rewrites.REWRITES[name](form)
        else:
            assert_same(form, rewrites.REWRITES[name](form))


@settings(max_examples=40, deadline=None)
@given(
    taps=st.integers(1, 9), stride=st.integers(1, 4), pad=st.integers(0, 4), out=st.integers(1, 3)
)
def test_subpixel_equals_the_transposed_convolution(
    taps: int, stride: int, pad: int, out: int
) -> None:
    b = Builder(taps)
    x = b.input("frame", out, "frame")
    y = b.transpose_conv("sr", x, out, taps, stride, pad)
    graph = b.graph((y, "sr"), scale=stride)
    for form in (graph, quantized(graph, SIZE)):
        changed = rewrites.subpixel(form)
        assert "transpose_conv" not in {node.op for node in changed.nodes}
        assert_same(form, changed)


def test_fsrcnns_deconvolution_becomes_five_by_five() -> None:
    conv, shuffle = rewrites.subpixel(fsrcnn_graph()).nodes[-2:]
    assert conv.weight is not None
    assert conv.weight.shape == (4, 5, 5, 56)
    assert shuffle.attrs == {"block": 2}


def test_tflite_takes_the_subpixel_form_and_gpu_keeps_the_deconvolution() -> None:
    graph = NETS["fsrcnn"]
    assert "TRANSPOSE_CONV" not in count_tflite_ops(tflite_bytes(lower(graph, "tflite"), SIZE))
    gpu = count_tflite_ops(tflite_bytes(lower(graph, "tflite-gpu"), SIZE))
    assert gpu["TRANSPOSE_CONV"] == 1


@pytest.mark.parametrize(("name", "steps"), [("sesr", 1), ("sesr-x4", 2), ("sesr-rgb-x4", 2)])
def test_ethos_u_gets_one_hot_transposed_convolutions(name: str, steps: int) -> None:
    graph = quantized(NETS[name], SIZE)
    ops = count_tflite_ops(tflite_bytes(lower(graph, "ethos-u"), SIZE))
    assert ops["TRANSPOSE_CONV"] == steps
    assert "DEPTH_TO_SPACE" not in ops
    plain = count_tflite_ops(tflite_bytes(graph, SIZE))
    extra = 1 if name == "sesr-rgb-x4" else 0  # the tiled frame is reordered by a 1×1 convolution
    assert ops["CONV_2D"] == plain["CONV_2D"] + extra


@pytest.mark.parametrize(
    ("target", "scale", "channels"),
    [("ethos-u85", 2, 1), ("ethos-u85", 3, 3), ("ethos-u85", 4, 1), ("ethos-u", 3, 1)],
)
def test_rows_are_exact_and_read_back_as_depth_to_space(
    target: str, scale: int, channels: int
) -> None:
    """The U85 has whole rows moved, and so has every Ethos-U where the block is odd."""
    graph = quantized(sesr_graph(1, scale=scale, channels=channels), SIZE)
    data = tflite_bytes(lower(graph, target), SIZE)
    ops = count_tflite_ops(data)
    assert ops["STRIDED_SLICE"] == scale
    assert not ops.keys() & {"DEPTH_TO_SPACE", "TRANSPOSE_CONV", "TRANSPOSE"}
    again = graph_from_tflite(data)
    assert sum(node.op == "depth_to_space" for node in again.nodes) == 1
    codes = random_codes(graph, SIZE)
    wanted = run_int8(graph, codes)["sr"]
    assert np.array_equal(wanted, run_int8(again, codes)["sr"])
    assert np.array_equal(wanted, run_tflite(data, [codes["frame"]])[0])


def test_rows_that_are_read_elsewhere_are_not_taken_for_depth_to_space() -> None:
    """A file like ours but for one more output, which a depth_to_space would not have."""
    graph = lower(quantized(sesr_graph(1), SIZE), "ethos-u85")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite_bytes(graph, SIZE), 0))
    body = model.subgraphs[0]
    slice_0 = next(i for i, tensor in enumerate(body.tensors) if tensor.name == b"sr/slice_0")
    body.outputs = [*body.outputs, slice_0]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ExportError, match=r"STRIDED_SLICE 'sr/slice_0'"):
        graph_from_tflite(bytes(builder.Output()))


@pytest.mark.parametrize("target", ["ethos-u", "ethos-u85"])
def test_ethos_u_refuses_what_it_cannot_run(target: str) -> None:
    with pytest.raises(ExportError, match=r"int8 only.*edgevsr quantize"):
        lower(NETS["sesr"], target)
    b = Builder(0)
    h = b.conv("head", b.node("space_to_depth", "s2d", (b.input("frame", 1, "frame"),), 4,
                              (1, 2), attrs={"block": 2}), 16)  # fmt: skip
    graph = b.graph((b.depth_to_space("sr", h, 4), "sr"), net="n", scale=2, colour="y")
    with pytest.raises(ExportError, match=r"layer 's2d' \(space_to_depth\).*rearranged already"):
        lower(quantized(graph, SIZE), target)


def test_split_prelu_is_exact_to_the_bit() -> None:
    graph = sesr_graph(1, activation="prelu")
    inputs = random_inputs(graph, SIZE)
    changed = lower(graph, "onnx-web")
    assert "prelu" not in {node.op for node in changed.nodes}
    wanted, found = run_float(graph, inputs), run_float(changed, inputs)
    for name in ("first_act", "body0_act", "sr"):
        assert np.array_equal(wanted[name], found[name])
    with pytest.raises(ExportError, match=r"'first_act' \(prelu\).*--activation leaky"):
        lower(quantized(graph, SIZE), "onnx-web")


def test_an_output_that_is_also_read_gets_a_copy() -> None:
    cell = NETS["cell"]
    nodes = [replace(n, inputs=("next_state",)) if n.name == "last" else n for n in cell.nodes]
    graph = replace(cell, nodes=tuple(nodes))
    assert graph.consumers("next_state")
    for form in (graph, quantized(graph, SIZE)):
        changed = lower(form, "tflite-gpu")
        assert not any(changed.consumers(name) for name in changed.outputs)
        assert changed.roles == graph.roles
        assert_same(form, changed)


def test_a_refused_layer_is_named_with_the_way_out() -> None:
    target = replace(
        load_target("tflite"), operators=frozenset({"conv2d"}), way_out={"add": "do without"}
    )
    with pytest.raises(ExportError, match=r"'long_residual' \(add\): target tflite .*do without"):
        lower(sesr_graph(1, activation="relu"), target)
    with pytest.raises(ExportError, match=r"\(prelu\): target tflite"):
        lower(sesr_graph(1, activation="prelu"), replace(load_target("tflite"), prelu="refuse"))


GOOD = """schema_version = 1
name = "mine"
summary = "a runtime"
format = "tflite"
precisions = ["int8"]
io = ["int8"]
operators = ["conv2d"]
rewrites = []

[activations]
prelu = "keep"

[way_out]
add = "do without"
"""


def test_a_target_file_is_read() -> None:
    target = parse_target(GOOD, "mine")
    assert (target.format, target.io, target.rewrites) == ("tflite", ("int8",), ())
    assert target.way_out == {"add": "do without"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("[activations]", "[activations", "export/mine.toml: .*line 10"),
        ('format = "tflite"', 'format = "tflit"', "line 4: key 'format'.*did you mean 'tflite'"),
        ('["conv2d"]', '["conv3d"]', "line 7: key 'operators': unknown 'conv3d'.*'conv2d'"),
        ("rewrites = []", 'rewrites = ["subpixels"]', "line 8: .*did you mean 'subpixel'"),
        ('io = ["int8"]', "io = []", "line 6: key 'io': is empty"),
        ('io = ["int8"]', 'io = "int8"', "line 6: key 'io': expected list"),
        ('prelu = "keep"', 'prelu = "drop"', "line 11: key 'prelu'"),
        ('add = "do', 'ad = "do', "line 14: key 'ad'.*did you mean 'add'"),
        ("schema_version = 1", "schema_version = 2", "line 1: .*expected 1, got 2"),
        ('name = "mine"', 'name = "yours"', "line 2: key 'name'"),
        ('summary = "a runtime"\n', "", "key 'summary': is missing"),
        ("rewrites = []", "rewrites = []\ncolour = 1", "line 9: key 'colour': is not a key"),
    ],
)
def test_a_wrong_target_file_names_line_and_key(old: str, new: str, text: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError, match=text):
        parse_target(GOOD.replace(old, new), "mine")
