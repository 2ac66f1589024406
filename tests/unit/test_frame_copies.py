"""FSRCNN's frame travels unchanged: through training, and in int8 code for code."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from edgevsr.collapsing import narrow_graph
from edgevsr.graph.ir import Graph
from edgevsr.graph.reference import run_float, run_int8
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build, net_spec
from edgevsr.quantization.calibration import load_calibration
from edgevsr.quantization.copies import keep_copies
from edgevsr.quantization.ptq import quantize_graph
from edgevsr.quantization.ranges import IMAGE
from edgevsr.zoo import calibration_frames

FRAMES = [frame[:32, :32] for frame in load_calibration(calibration_frames(), channels=1, limit=4)]


def trained(name: str, steps: int = 20, start: Net | None = None) -> Net:
    """A network after steps so large that whatever can change has changed."""
    torch.manual_seed(0)
    net = start or build(replace(net_spec(name, 2, "relu"), expansion=32))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        lr = torch.rand(2, net.spec.channels, 12, 12, generator=generator)
        optimizer.zero_grad()
        (net(lr) - F.interpolate(lr, scale_factor=2, mode="bicubic")).abs().mean().backward()
        optimizer.step()
    return net


@pytest.mark.parametrize("name", ["fsrcnn", "fsrcnn-s", "fsrcnn-rgb", "fsrcnn-s-rgb"])
def test_fsrcnn_starts_as_a_bilinear_upscale(name: str) -> None:
    net = build(replace(net_spec(name, 2), expansion=32))
    lr = torch.rand(1, net.spec.channels, 14, 16)
    expected = F.interpolate(lr, scale_factor=2, mode="bilinear", align_corners=False)
    with torch.no_grad():
        got = net(lr)
    # Beyond the frame it interpolates to zero, where torch repeats the edge.
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(got[inside], expected[inside], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "copies"), [("fsrcnn", 8), ("fsrcnn-s-rgb", 5)])
def test_training_changes_all_but_the_frame_on_its_way(name: str, copies: int) -> None:
    before, graph = narrow_graph(trained(name, steps=0)), narrow_graph(trained(name))
    again = narrow_graph(trained(name, start=deepcopy(trained(name, steps=0))))
    colours = graph.tensors["frame"].channels
    frame = np.random.default_rng(0).random((1, 10, 12, colours), np.float32)
    tensors = run_float(graph, {"frame": frame})
    for node, old, copied in zip(graph.nodes, before.nodes, again.nodes, strict=True):
        assert node.weight is not None
        assert old.weight is not None
        np.testing.assert_array_equal(copied.weight, node.weight)
        kept = int((node.weight == old.weight).all(axis=(1, 2, 3)).sum())
        if node.op == "conv2d":
            np.testing.assert_array_equal(tensors[node.output][..., :colours], frame)
            assert kept == colours * (copies if node.name == "grow" else 1)
        else:
            assert kept == 0


def _all_codes() -> NDArray[np.int8]:
    return np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)


def test_int8_hands_on_every_code_of_the_frame() -> None:
    int8 = quantize_graph(narrow_graph(trained("fsrcnn")), FRAMES)
    tensors = run_int8(int8, {"frame": _all_codes()})
    for node in int8.nodes[:-1]:
        np.testing.assert_array_equal(tensors[node.output][..., :1], _all_codes(), node.output)
    for copy in range(8):
        np.testing.assert_array_equal(tensors["grow_act"][..., copy], _all_codes()[..., 0])


def _psnr_db(graph: Graph, int8: Graph) -> float:
    errors = []
    for frame in FRAMES:
        expected = run_float(graph, {"frame": frame[None]})["sr"].clip(0, 1)
        codes = run_int8(int8, {"frame": IMAGE.quantize(frame[None])})["sr"]
        errors.append(np.mean((IMAGE.dequantize(codes) - expected) ** 2))
    return float(-10 * np.log10(np.mean(errors)))


def test_keeping_copies_keeps_the_function_and_brings_int8_nearer() -> None:
    graph = narrow_graph(trained("fsrcnn"))
    int8 = quantize_graph(graph, FRAMES)
    kept = keep_copies(graph, int8.qparams)
    for frame in FRAMES:
        given = {"frame": frame[None]}
        np.testing.assert_allclose(
            run_float(kept, given)["sr"], run_float(graph, given)["sr"], rtol=0, atol=1e-5
        )
    biased = replace(
        graph,
        nodes=tuple(
            replace(node, bias=node.bias + np.float32(1e-6)) if node.bias is not None else node
            for node in graph.nodes
        ),
    )
    assert _psnr_db(graph, int8) > _psnr_db(biased, quantize_graph(biased, FRAMES)) + 1.0
