"""Reading what torch.onnx writes of others' networks: the same values, or a list of why not."""

from __future__ import annotations

import importlib.util
import io
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgevsr.errors import ExportError
from edgevsr.graph.from_onnx import graph_from_onnx
from edgevsr.graph.reference import run_float

EXPORTERS = ["legacy"] + (["dynamo"] if importlib.util.find_spec("onnxscript") else [])


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
