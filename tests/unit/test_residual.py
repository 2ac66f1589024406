"""What is added to a picture is quantized in the picture's own steps, and rounds once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgevsr.collapsing import untrained_graph
from edgevsr.graph.reference import run_int8
from edgevsr.quantization.calibration import load_calibration
from edgevsr.quantization.ptq import Scheme, quantize_graph
from edgevsr.quantization.ranges import IMAGE, RANGES, Ranges, params_for
from edgevsr.quantization.residual import RESIDUAL, in_picture_steps, residuals
from edgevsr.sources import open_source
from edgevsr.zoo import calibration_frames, zoo_names

INT8 = [name for name in zoo_names() if name.startswith("sesr") and name.endswith("w8a8")]


def frames(channels: int) -> list[NDArray[np.float32]]:
    shown = load_calibration(calibration_frames(), channels, limit=4)
    return [frame[40:88, 40:88] for frame in shown]


@pytest.mark.parametrize("name", ["sesr-m3-x2", "sesr-m5-rgb-x2", "sesr-m5-x3", "sesr-m3-x4"])
@pytest.mark.parametrize("ranges", RANGES)
def test_a_shipped_network_adds_its_detail_to_the_frame_unrounded(
    name: str, ranges: Ranges
) -> None:
    graph = open_source(name).graph
    shown = frames(graph.channels)
    int8 = quantize_graph(graph, shown, Scheme(ranges=ranges, rounding="nearest"))
    added = next(node for node in int8.nodes if node.name == "image_residual")
    for frame in shown:
        tensors = run_int8(int8, {"frame": IMAGE.quantize(frame[None])})
        detail, image = (tensors[name].astype(int) for name in added.inputs)
        exact = np.clip(detail + image, -128, 127)
        np.testing.assert_array_equal(tensors[added.output], exact)
        assert detail.std() > 0.5


@pytest.mark.parametrize("name", INT8)
def test_every_shipped_int8_network_adds_in_steps_of_the_picture(name: str) -> None:
    graph = open_source(name).graph
    added = next(node for node in graph.nodes if node.name == "image_residual")
    detail, image = (graph.qparams[name] for name in added.inputs)
    assert detail.scale == image.scale == pytest.approx(RESIDUAL.scale, rel=1e-6)
    assert (detail.zero_point, image.zero_point) == (RESIDUAL.zero_point, IMAGE.zero_point)


@given(spread=st.floats(1e-3, 0.12), reach=st.floats(0.001, 0.5), samples=st.integers(1, 4000))
def test_details_within_half_of_the_range_take_the_steps_of_the_picture(
    spread: float, reach: float, samples: int
) -> None:
    """Nothing of them is cut off, so no other steps can be better."""
    values = np.random.default_rng(samples).normal(0.0, spread, (samples, 4))
    values = values.clip(-reach, min(reach, 127 / 255)).astype(np.float32)
    otherwise = params_for(float(values.min()), float(values.max()))
    assert in_picture_steps(values, otherwise) == RESIDUAL


def test_wide_details_keep_the_range_that_was_searched_for_them() -> None:
    values = np.linspace(-1.0, 1.0, 4000, dtype=np.float32).reshape(-1, 4)
    otherwise = params_for(-1.0, 1.0)
    assert in_picture_steps(values, otherwise) == otherwise


@pytest.mark.parametrize(
    ("name", "expected"), [("sesr-m3", {"last"}), ("sesr-m3-rgb", {"last"}), ("fsrcnn-s", set())]
)
def test_only_what_a_picture_is_made_of_by_adding_is_meant(name: str, expected: set[str]) -> None:
    graph = untrained_graph(name, 2)
    pictures = dict.fromkeys(("frame", "image_repeat", "image_residual", "sr"), IMAGE)
    assert residuals(graph, pictures) == expected
    assert residuals(graph, {"frame": IMAGE}) == set()
    assert residuals(graph, pictures | {"last": params_for(-1.0, 1.0)}) == set()
