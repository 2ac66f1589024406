"""Reading .tflite: what we write comes back to the byte; what others write, or break, is judged."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import EdgeVsrError, ExportError, SourceError
from edgevsr.exporters.flatbuffer import TfliteFile
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.from_tflite import graph_from_tflite
from edgevsr.graph.reference import run_float, run_int8
from tests.graphs import (
    NETS,
    quantized,
    random_codes,
    random_graph,
    random_inputs,
    sesr_graph,
)
from tests.litert import run_tflite

SIZE = (24, 16)
HOSTILE = [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x01"]


@pytest.mark.parametrize("name", NETS)
def test_a_float_file_comes_back_to_the_byte(name: str) -> None:
    graph = NETS[name]
    data = tflite_bytes(graph, SIZE)
    read = graph_from_tflite(data)
    assert tflite_bytes(read, SIZE) == data
    assert (read.size, read.roles, read.meta["io"]) == (SIZE, graph.roles, "float")
    assert {**graph.meta, "io": "float"} == read.meta


@pytest.mark.parametrize("io", ["int8", "uint8", "float"])
@pytest.mark.parametrize("name", NETS)
def test_an_int8_file_comes_back_to_the_byte(name: str, io: str) -> None:
    graph = quantized(NETS[name])
    data = tflite_bytes(graph, SIZE, io)
    read = graph_from_tflite(data)
    assert tflite_bytes(read, SIZE, io) == data
    assert (read.meta["io"], read.qparams, read.roles) == (io, graph.qparams, graph.roles)
    codes = random_codes(graph, SIZE)
    again, wanted = run_int8(read, codes), run_int8(graph, codes)
    assert all(np.array_equal(again[name], wanted[name]) for name in graph.outputs)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_file_comes_back_to_the_byte(seed: int) -> None:
    graph, size = random_graph(seed), (12, 8)
    for form in (graph, quantized(graph, size)):
        data = tflite_bytes(form, size)
        assert tflite_bytes(graph_from_tflite(data), size) == data


def test_the_padding_of_a_transposed_kernel_is_taken_off_again() -> None:
    read = graph_from_tflite(tflite_bytes(NETS["fsrcnn"], SIZE))
    last = read.nodes[-1]
    assert last.weight is not None
    assert (last.weight.shape[1:3], last.attrs["pad"]) == ((9, 9), 4)


class Foreign:
    """Writes files as another tool would: other names, fused RELU6, VALID 1×1, no metadata."""

    def __init__(self) -> None:
        self.file = TfliteFile("converted")
        self.frame = self.file.tensor("serving_default_x:0", (1, 16, 24, 1), np.float32)
        self.out = self.file.tensor("StatefulPartitionedCall:0", (1, 32, 48, 1), np.float32)

    def conv(
        self, source: int, weight: Any, act: int = 0, padding: int = 0, stride: int = 1
    ) -> int:
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = act
        name = f"conv{len(self.file._graph.tensors)}"
        kernel = self.file.tensor(f"{name}w", weight.shape, np.float32, weight)
        bias = np.zeros(len(weight), np.float32)
        bias_index = self.file.tensor(f"{name}b", bias.shape, np.float32, bias)
        output = self.file.tensor(name, (1, 16, 24, len(weight)), np.float32)
        self.file.operator("CONV_2D", 1, [source, kernel, bias_index], output, options)
        return output

    def finish(self, last: int) -> bytes:
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = 2
        self.file.operator("DEPTH_TO_SPACE", 1, [last], self.out, options)
        return self.file.finish({"x": self.frame}, {"y": self.out})


def test_a_foreign_file_computes_the_same() -> None:
    rng = np.random.default_rng(0)
    foreign = Foreign()
    h = foreign.conv(foreign.frame, rng.normal(0, 1, (8, 3, 3, 1)).astype(np.float32), act=3)
    h = foreign.conv(h, rng.normal(0, 1, (4, 1, 1, 8)).astype(np.float32), act=1, padding=1)
    data = foreign.finish(h)
    graph = graph_from_tflite(data)
    assert [node.op for node in graph.nodes] == ["conv2d", "clip", "conv2d", "depth_to_space"]
    assert graph.roles == {"x": "frame", "y": "sr"}
    frame = random_inputs(graph, SIZE)["x"]
    wanted = run_tflite(data, [frame])[0]
    assert np.abs(run_float(graph, {"x": frame})["y"] - wanted).max() <= 1e-5
    assert np.abs(run_tflite(tflite_bytes(graph, SIZE), [frame])[0] - wanted).max() <= 1e-6


def test_every_unsupported_operator_is_listed() -> None:
    rng = np.random.default_rng(0)
    foreign = Foreign()
    h = foreign.conv(foreign.frame, rng.normal(0, 1, (4, 3, 3, 1)).astype(np.float32), stride=2)
    for name in ("LOGISTIC", "TANH"):
        output = foreign.file.tensor(name.lower(), (1, 16, 24, 4), np.float32)
        foreign.file.operator(name, 1, [h], output)
        h = output
    with pytest.raises(ExportError) as caught:
        graph_from_tflite(foreign.finish(h))
    for part in ("CONV_2D", "strides 2, 2", "LOGISTIC 'logistic'", "TANH 'tanh'"):
        assert part in str(caught.value)


def test_nan_weights_are_refused() -> None:
    foreign = Foreign()
    h = foreign.conv(foreign.frame, np.full((4, 3, 3, 1), np.nan, np.float32))
    with pytest.raises(ExportError, match="NaN"):
        graph_from_tflite(foreign.finish(h))


def test_wrong_shapes_are_refused() -> None:
    foreign = Foreign()
    h = foreign.conv(foreign.frame, np.ones((16, 3, 3, 1), np.float32))
    with pytest.raises(SourceError, match=r"tensor 'y' is \[1, 32, 48, 1\]"):
        graph_from_tflite(foreign.finish(h))


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"\0\0\0\0TFL3" + b"\xff" * 64])
def test_what_is_no_tflite_file_gets_one_line(data: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        graph_from_tflite(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_gets_one_line(share: float) -> None:
    data = tflite_bytes(quantized(NETS["sesr"]), SIZE)
    with pytest.raises(SourceError, match="damaged"):
        graph_from_tflite(data[: int(len(data) * share)])


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_end_in_a_traceback_or_a_long_loop(data: st.DataObject) -> None:
    good = bytearray(tflite_bytes(quantized(sesr_graph(1, 2)), SIZE, "uint8"))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(8, len(good) - 4))
        good[at : at + 4] = data.draw(st.sampled_from(HOSTILE))
    with contextlib.suppress(EdgeVsrError):
        graph_from_tflite(bytes(good))
