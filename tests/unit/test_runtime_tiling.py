"""Tiles: exact seams, spans that cover, radius and memory counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.errors import SpecError
from edgevsr.graph.ir import Graph
from edgevsr.runtime import tiling
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import noise_frame
from edgevsr.runtime.tiling import (
    alignment,
    peak_activation_bytes,
    receptive_radius,
    spans,
    tile_for,
    upscale_tiled,
)
from tests.graphs import Builder, cell_graph, fsrcnn_graph, quantized, sesr_graph


def blocks_graph() -> Graph:
    """A net that works at half and at double resolution."""
    b = Builder(3)
    x = b.input("frame", 1, "frame")
    low = b.node("space_to_depth", "packed", (x,), 4, (1, 2), attrs={"block": 2})
    h = b.conv("low", low, 16, 3, relu=True)
    h = b.depth_to_space("unpacked", h, 2)
    h = b.conv("mid", h, 4, 3)
    h = b.depth_to_space("up", h, 2)
    return b.graph((b.conv("sr", h, 1, 5), "sr"), net="blocks", scale=2)


def test_radius_counted_by_hand() -> None:
    """Half a kernel a convolution, in LR pixels; deconvolutions by the taps that a phase has."""
    assert receptive_radius(sesr_graph(m=5)) == 2 + 5 + 2
    assert receptive_radius(sesr_graph(m=11)) == 2 + 11 + 2
    assert receptive_radius(fsrcnn_graph(m=4, scale=2)) == 2 + 4 + 2
    assert receptive_radius(fsrcnn_graph(m=1, scale=4)) == 2 + 1 + 1
    # 5x5 at double size: 1; 3x3: 1, then up to whole pairs: 2; 3x3 on pairs: 2; the pair: 1
    assert receptive_radius(blocks_graph()) == 5
    assert alignment(blocks_graph()) == 2
    assert alignment(sesr_graph()) == 1


@pytest.mark.parametrize("net", [sesr_graph(m=3), fsrcnn_graph(m=1), blocks_graph()])
def test_radius_is_neither_too_small_nor_far_too_large(net: Graph) -> None:
    """Changing one LR pixel changes SR pixels up to the radius away, and none beyond."""
    radius, align = receptive_radius(net), alignment(net)
    side = 4 * (radius + 2) // align * align
    lr = noise_frame((side, side), 1, 0)
    changed = lr.copy()
    centre = side // 2
    changed[centre, centre] ^= 255
    model = SrModel.open(net, runtime="onnxruntime", threads=1)
    first, second = (model.upscale(x.astype(np.float32) / 255) for x in (lr, changed))
    rows = np.flatnonzero((first != second).any(axis=(1, 2))) // net.scale
    reach = max(centre - rows.min(), rows.max() - centre)
    assert reach <= radius
    assert reach >= radius - align


@given(
    length=st.integers(1, 200),
    tile=st.integers(1, 90),
    radius=st.integers(0, 20),
    align=st.sampled_from([1, 2, 4]),
)
def test_spans_cover_once_with_full_margins(
    length: int, tile: int, radius: int, align: int
) -> None:
    """Kept parts join without gap or overlap, windows are equal, margins are whole."""
    length *= align
    found = spans(length, tile, radius, align)
    assert found[0].keep_start == 0
    assert found[-1].keep_stop == length
    assert all(a.keep_stop == b.keep_start for a, b in itertools.pairwise(found))
    assert len({span.stop - span.start for span in found}) == 1
    for span in found:
        assert span.keep_start < span.keep_stop
        assert 0 <= span.start <= span.keep_start
        assert span.keep_stop <= span.stop <= length
        assert span.start == 0 or span.keep_start - span.start >= radius
        assert span.stop == length or span.stop - span.keep_stop >= radius
        assert span.start % align == 0


@pytest.mark.parametrize("runtime", ["litert", "litert-reference", "onnxruntime"])
@pytest.mark.parametrize(
    "net", [sesr_graph(m=3), sesr_graph(m=3, channels=3, scale=3), fsrcnn_graph(m=1)]
)
def test_int8_tiles_equal_the_whole_bit_for_bit(net: Graph, runtime: str) -> None:
    """Odd frames in tiles of any size, borders included."""
    model = SrModel.open(quantized(net), runtime=runtime, threads=1)
    lr = noise_frame((53, 37), net.channels, 1)
    whole = model.upscale_whole(lr)
    for tile in (5, 16, 23):
        np.testing.assert_array_equal(upscale_tiled(model, lr, tile), whole)


@settings(max_examples=15, deadline=None)
@given(width=st.integers(1, 60), height=st.integers(1, 60), tile=st.integers(1, 40))
def test_any_frame_and_tile(width: int, height: int, tile: int) -> None:
    """Seams are exact for every frame and tile size, at half resolution too."""
    model = _model()
    lr = noise_frame((width * 2, height * 2), 1, 2)
    np.testing.assert_array_equal(upscale_tiled(model, lr, tile), model.upscale_whole(lr))


_CACHE: list[SrModel] = []


def _model() -> SrModel:
    if not _CACHE:
        _CACHE.append(SrModel.open(quantized(blocks_graph()), threads=1))
    return _CACHE[0]


def test_float_tiles_equal_to_rounding() -> None:
    """Float nets differ by the order of sums alone."""
    model = SrModel.open(sesr_graph(m=3), threads=1)
    lr = noise_frame((50, 41), 1, 1).astype(np.float32) / 255
    np.testing.assert_allclose(upscale_tiled(model, lr, 13), model.upscale_whole(lr), atol=1e-6)


def test_memory_counted_by_hand() -> None:
    """The peak is where the long residual's operands and sum live at once."""
    graph = quantized(sesr_graph(m=5, activation="relu"))
    pixels = 640 * 360
    # first, body4 and their sum, and the frame that the global residual still needs
    assert peak_activation_bytes(graph, (640, 360)) == pixels * (16 * 3 + 1)
    assert peak_activation_bytes(sesr_graph(m=5, activation="relu"), (640, 360)) == 4 * pixels * 49


def test_tiles_are_used_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short of memory the frame is cut, and the picture stays the same."""
    graph = quantized(sesr_graph(m=3))
    lr = noise_frame((150, 90), 1, 4)
    whole = SrModel.open(graph, threads=1).upscale_u8(lr)
    seen: list[int] = []

    def spy(model: SrModel, frame: np.ndarray, tile: int) -> np.ndarray:
        seen.append(tile)
        return upscale_tiled(model, frame, tile)

    monkeypatch.setattr(tiling, "available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(tiling, "upscale_tiled", spy)
    tiled = SrModel.open(graph, threads=1).upscale_u8(lr)
    np.testing.assert_array_equal(tiled, whole)
    assert seen
    assert seen[0] < 90


def test_tile_for_fits_or_is_the_smallest() -> None:
    """No tiles when the frame fits, the largest halving that fits, never below 32."""
    graph = quantized(sesr_graph(m=3))
    assert tile_for(graph, (640, 360), 1 << 32) is None
    tile = tile_for(graph, (1920, 1080), 100 << 20)
    assert tile is not None
    assert 32 <= tile < 1920
    assert tile_for(graph, (1920, 1080), 0) == 32
    assert tile_for(quantized(cell_graph()), (1920, 1080), 0) is None
    assert tiling.available_bytes() > 0


def test_what_cannot_be_tiled_is_an_error() -> None:
    """A recurrent net and a tile of nothing are refused."""
    lr = noise_frame((20, 20), 1, 0)
    with pytest.raises(SpecError, match="recurrent"):
        upscale_tiled(SrModel.open(quantized(cell_graph())), lr, 8)
    with pytest.raises(SpecError, match="tile 0"):
        upscale_tiled(_model(), lr, 0)
