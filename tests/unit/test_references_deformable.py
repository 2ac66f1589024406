"""Deformable convolution against a direct float64 loop, and as an ONNX DeformConv."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from edgevsr.nets.references.deformable import ModulatedDeformConv, deform_conv2d


def direct(
    x: torch.Tensor,
    offset: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    mask: torch.Tensor | None,
    stride: int,
    padding: int,
    dilation: int,
) -> np.ndarray:
    """The definition, one multiplication at a time, in float64."""
    values, moves, kernel = (t.double().numpy() for t in (x, offset, weight))
    n, channels, height, width = values.shape
    outputs, _, size, _ = kernel.shape
    rows, columns = moves.shape[2:]
    groups = moves.shape[1] // (2 * size * size)

    def at(image: np.ndarray, y: float, x: float) -> float:
        total, top, left = 0.0, math.floor(y), math.floor(x)
        for row in (top, top + 1):
            for column in (left, left + 1):
                if 0 <= row < height and 0 <= column < width:
                    total += image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
        return total

    out = np.zeros((n, outputs, rows, columns))
    for b, o, r, c in np.ndindex(*out.shape):
        total = 0.0 if bias is None else float(bias[o])
        for i, ky, kx in np.ndindex(channels, size, size):
            tap = (i // (channels // groups)) * size * size + ky * size + kx
            y = r * stride - padding + ky * dilation + moves[b, 2 * tap, r, c]
            x_ = c * stride - padding + kx * dilation + moves[b, 2 * tap + 1, r, c]
            gate = 1.0 if mask is None else float(mask[b, tap, r, c])
            total += kernel[o, i, ky, kx] * at(values[b, i], y, x_) * gate
        out[b, o, r, c] = total
    return out


CASES = [
    # channels in, out, groups, kernel, stride, padding, dilation, bias, mask
    (4, 3, 1, 3, 1, 1, 1, False, False),
    (4, 2, 2, 3, 1, 1, 1, True, True),
    (2, 2, 2, 3, 2, 0, 1, True, False),
    (2, 3, 1, 3, 1, 2, 2, False, True),
    (3, 2, 3, 1, 1, 0, 1, True, True),
]


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_definition(case: tuple[int, ...]) -> None:
    channels, outputs, groups, size, stride, padding, dilation, with_bias, with_mask = case
    generator = torch.Generator().manual_seed(sum(case))

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    x = draw(2, channels, 6, 5)
    rows, columns = ((s + 2 * padding - dilation * (size - 1) - 1) // stride + 1 for s in (6, 5))
    # Offsets of several pixels: many samples fall beyond the frame.
    offset = 3.0 * draw(2, groups * size * size * 2, rows, columns)
    weight = draw(outputs, channels, size, size)
    bias = draw(outputs) if with_bias else None
    mask = torch.rand(2, groups * size * size, rows, columns, generator=generator)
    arguments = (weight, bias, mask if with_mask else None, stride, padding, dilation)
    got = deform_conv2d(x, offset, *arguments).numpy()
    expected = direct(x, offset, *arguments)
    assert np.abs(got - expected).max() < 1e-4
    double = deform_conv2d(
        x.double(), offset.double(), weight.double(), bias if bias is None else bias.double(),
        mask.double() if with_mask else None, stride, padding, dilation,
    )  # fmt: skip
    assert np.abs(double.numpy() - expected).max() < 1e-12


def test_without_offsets_it_is_a_convolution() -> None:
    x, weight = torch.randn(1, 4, 7, 9), torch.randn(5, 4, 3, 3)
    plain = torch.nn.functional.conv2d(x, weight, padding=1)
    moved = deform_conv2d(x, torch.zeros(1, 36, 7, 9), weight, padding=1)
    assert torch.allclose(plain, moved, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((1, 2, 3, 4), (1, 36, 3, 4), (2, 2, 3, 3), (1, 18, 3, 4))
    x, offset, weight, mask = (
        torch.rand(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    )
    assert torch.autograd.gradcheck(
        lambda *a: deform_conv2d(a[0], a[1], a[2], None, a[3], padding=1), (x, offset, weight, mask)
    )


class _V1(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 3, 3))

    def forward(self, x: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        return deform_conv2d(x, offset, self.weight, padding=1)


def exported(net: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> onnx.ModelProto:
    with warnings.catch_warnings():
        # The tracing exporter is what needs no further package; torch calls it legacy.
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), inputs, str(path), opset_version=19, dynamo=False)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("version", [1, 2])
def test_it_exports_as_one_deformconv(version: int, tmp_path: Path) -> None:
    torch.manual_seed(version)
    x = torch.rand(1, 4, 6, 7)
    if version == 1:
        net: nn.Module = _V1()
        inputs = (x, 2.0 * torch.randn(1, 36, 6, 7))
    else:
        net = ModulatedDeformConv(4, groups=2)
        nn.init.normal_(net.conv_offset.weight)
        inputs = (x, torch.rand(1, 4, 6, 7))
    model = exported(net, inputs, tmp_path / "net.onnx")
    assert [node.op_type for node in model.graph.node].count("DeformConv") == 1
    assert model.opset_import[0].version >= 19
    feeds = {
        value.name: tensor.numpy() for value, tensor in zip(model.graph.input, inputs, strict=True)
    }
    (got,) = ReferenceEvaluator(model).run(None, feeds)
    with torch.no_grad():
        assert np.abs(got - net(*inputs).numpy()).max() < 1e-4
