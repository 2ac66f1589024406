"""Reading ONNX: our own files, files of torch and of onnxruntime's quantizer, and bad ones."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from edgevsr.errors import EdgeVsrError, ExportError, SourceError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.reference import run_float, run_int8
from tests.graphs import (
    cell_graph,
    fsrcnn_graph,
    quantized,
    random_graph,
    random_inputs,
    sesr_graph,
)

EXPORTERS = ["legacy"] + (["dynamo"] if importlib.util.find_spec("onnxscript") else [])
OURS = {
    "sesr": sesr_graph(),
    "sesr-rgb-x3": sesr_graph(3, channels=3, scale=3),
    "sesr-prelu-x4": sesr_graph(activation="prelu", scale=4),
    "sesr-relu": sesr_graph(activation="relu"),
    "fsrcnn-x3": fsrcnn_graph(scale=3),
    "cell": cell_graph(),
}


class PlainNet(nn.Module):
    """What someone else might train: nothing of ours in it, most supported operators."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(channels, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.slopes = nn.PReLU(16)
        self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.grouped = nn.Conv2d(16, 16, 1, groups=4)
        self.slope = nn.PReLU()
        self.tail = nn.Conv2d(16 + channels, channels * scale**2, 3, padding=1)
        self.scale = scale
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.slopes(self.norm(self.head(x - 0.5)))
        h = F.relu(self.depthwise(h)) + h[:, :]
        h = F.leaky_relu(self.slope(self.grouped(h)) * 0.5, 0.05)
        y = F.pixel_shuffle(F.relu6(self.tail(torch.cat([h, x], 1))), self.scale)
        return torch.clamp(y + F.interpolate(x, scale_factor=self.scale), 0, 1)


class Deconvolution(nn.Module):
    """FSRCNN's ending."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 8, 5, padding=2)
        self.up = nn.ConvTranspose2d(8, 1, 9, stride=2, padding=4, output_padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(F.relu(self.head(x)))


def torch_onnx(
    net: nn.Module, x: torch.Tensor, *, exporter: str = "legacy", dynamic: bool = True, **rest: Any
) -> bytes:
    """Return what torch.onnx writes of a network."""
    file = io.BytesIO()
    names = {"input_names": ["x"], "output_names": ["y"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            side = torch.export.Dim("h", min=4), torch.export.Dim("w", min=4)
            shapes = ({2: side[0], 3: side[1]},) if dynamic else None
            program = torch.onnx.export(
                net.eval(), (x,), dynamo=True, dynamic_shapes=shapes, verbose=False, **names
            )
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
        axes = {"x": {2: "h", 3: "w"}, "y": {2: "H", 3: "W"}} if dynamic else None
        torch.onnx.export(
            net.eval(), (x,), file, dynamo=False, dynamic_axes=axes, **{**names, **rest}
        )
    return file.getvalue()


def assert_same_as_torch(data: bytes, net: nn.Module, x: torch.Tensor) -> None:
    graph = graph_from_onnx(data)
    frame = x.numpy().transpose(0, 2, 3, 1)
    found = run_float(graph, {graph.inputs[0]: frame})[graph.outputs[0]]
    wanted = net(x).detach().numpy().transpose(0, 2, 3, 1)
    assert np.abs(found - wanted).max() <= 2e-6


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_net_in_plain_torch_computes_the_same(exporter: str, channels: int, scale: int) -> None:
    torch.manual_seed(scale)
    net, x = PlainNet(channels, scale).eval(), torch.rand(1, channels, 10, 12)
    for dynamic in (False, True):
        data = torch_onnx(net, x, exporter=exporter, dynamic=dynamic)
        assert_same_as_torch(data, net, x)
        graph = graph_from_onnx(data)
        assert graph.size == (None if dynamic else (12, 10))
        assert graph.scale == scale
        assert graph.meta == {"scale": scale, "colour": "y" if channels == 1 else "rgb"}


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_old_and_new_opsets_are_read(opset: int) -> None:
    net, x = PlainNet(3, 2).eval(), torch.rand(1, 3, 10, 12)
    assert_same_as_torch(torch_onnx(net, x, opset_version=opset), net, x)


def test_batch_normalization_folds_into_the_convolution() -> None:
    net, x = PlainNet(1, 2).eval(), torch.rand(1, 1, 8, 8)
    training = torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = torch_onnx(net, x, training=training, do_constant_folding=False)
    kinds = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
    assert "BatchNormalization" in kinds
    assert_same_as_torch(data, net, x)
    # the 1×1 is the product by 0.5, which has no convolution before it to fold into
    depthwise = [n for n in graph_from_onnx(data).nodes if n.attrs.get("groups", 1) > 1]
    assert [node.weight.shape[1] for node in depthwise if node.weight is not None] == [5, 1]


def test_torch_transposed_convolution_keeps_its_padding() -> None:
    net, x = Deconvolution().eval(), torch.rand(1, 1, 7, 9)
    data = torch_onnx(net, x)
    assert_same_as_torch(data, net, x)
    last = graph_from_onnx(data).nodes[-1]
    assert (last.op, last.attrs) == ("transpose_conv", {"stride": 2, "pad": 4})


def test_relu_is_fused_only_where_its_producer_feeds_nothing_else() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.a(x)
            return F.pixel_shuffle(F.relu(self.b(F.relu(h) + h)), 2)

    graph = graph_from_onnx(torch_onnx(Net(), torch.rand(1, 1, 8, 8)))
    shape = [(node.op, node.activation) for node in graph.nodes]
    assert shape == [
        ("conv2d", "none"),
        ("relu", "none"),
        ("add", "none"),
        ("conv2d", "relu"),
        ("depth_to_space", "none"),
    ]


def test_pixel_shuffle_of_colours_moves_into_the_convolution() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tail = nn.Conv2d(3, 27, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.pixel_shuffle(F.leaky_relu(self.tail(x) + x[:, :]).relu(), 3)

    class Skip(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.pixel_shuffle(torch.cat([x] * 9, 1), 3)

    class Sum(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = F.leaky_relu(self.tail(x)) + torch.cat([x] * 9, 1)
            return F.pixel_shuffle(y, 3)

    x = torch.rand(1, 3, 6, 7)
    for net, kinds in (
        (Skip(), ["concat", "conv2d", "depth_to_space"]),
        (Sum(), ["conv2d", "leaky_relu", "concat", "conv2d", "add", "depth_to_space"]),
    ):
        data = torch_onnx(net, x)
        assert_same_as_torch(data, net, x)
        assert [node.op for node in graph_from_onnx(data).nodes] == kinds


@pytest.mark.parametrize("name", OURS)
def test_our_files_come_back_to_the_byte(name: str) -> None:
    graph = OURS[name]
    for form, size in ((graph, None), (quantized(graph), (24, 16))):
        data = onnx_bytes(form, size)
        read = graph_from_onnx(data)
        assert onnx_bytes(read, size) == data
        assert (read.roles, read.meta, read.size) == (form.roles, form.meta, size)
        assert read.qparams == form.qparams


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_any_graph_comes_back_to_the_byte(seed: int) -> None:
    graph = random_graph(seed)
    for form in (graph, quantized(graph, (12, 8))):
        data = onnx_bytes(form)
        assert onnx_bytes(graph_from_onnx(data)) == data


class Frames:
    """Feeds random frames to onnxruntime's quantizer."""

    def __init__(self, count: int) -> None:
        frames = [random_inputs(OURS["sesr"], seed=i)["frame"] for i in range(count)]
        self.frames = iter(frames)

    def get_next(self) -> dict[str, Any] | None:
        frame = next(self.frames, None)
        return None if frame is None else {"frame": frame.transpose(0, 3, 1, 2)}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("name", ["sesr", "sesr-relu"])
def test_onnxruntimes_quantized_files_become_int8(signed: bool, name: str, tmp_path: Any) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    path, out = tmp_path / "float.onnx", tmp_path / "qdq.onnx"
    path.write_bytes(onnx_bytes(OURS[name]))
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


def test_every_unsupported_operator_and_attribute_is_listed() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(1, 4, 3, stride=2, padding=1)
            self.b = nn.Conv2d(4, 4, 3, padding=2, dilation=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.pixel_shuffle(self.b(torch.sigmoid(self.a(x))).tanh(), 2)

    with pytest.raises(ExportError) as caught:
        graph_from_onnx(torch_onnx(Bad(), torch.rand(1, 1, 8, 8)))
    text = str(caught.value)
    for part in ("/a/Conv", "strides [2, 2]", "Sigmoid", "/b/Conv", "dilations [2, 2]", "Tanh"):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", SourceError, "empty"),
        (b"not a model at all", SourceError, "not an ONNX file"),
        (onnx_bytes(OURS["sesr"])[:-2000], SourceError, "not an ONNX file"),
        (_conv_model(np.full((1, 1, 3, 3), np.nan), pads=[1] * 4), ExportError, "NaN"),
        (_conv_model(np.full((1, 1, 3, 3), np.inf), pads=[1] * 4), ExportError, "NaN or inf"),
        (_conv_model(np.ones((1, 1, 3, 3))), ExportError, "expected [1, 1, 1, 1]"),
        (_conv_model(np.ones((1, 1, 2, 2))), ExportError, "even kernel 2x2"),
        (_conv_model(np.ones((1, 2, 1, 1))), ExportError, "given 1"),
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
    model = onnx.load_model_from_string(onnx_bytes(OURS["sesr"]))
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(SourceError, match="another file"):
        graph_from_onnx(model.SerializeToString())


def test_a_partly_quantized_file_names_what_is_missing() -> None:
    data = onnx_bytes(quantized(OURS["sesr"]))
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
        model = onnx.load_model_from_string(onnx_bytes(OURS["sesr"]))
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
