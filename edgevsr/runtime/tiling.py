"""Super-resolving a frame in tiles whose overlap makes the seams exact.

A tile is read with a margin of the network's receptive radius, and only its core is kept. Windows
that touch the frame's border end there, so the network pads them with the same zeros as the whole
frame. Every window has the same size, so one prepared runner serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from edgevsr.errors import SpecError
from edgevsr.graph.ir import Array, Graph, Node
from edgevsr.graph.streaming import is_recurrent

#: Runtimes keep scratch memory beside the tensors; what was measured stays below this factor.
_RUNTIME_FACTOR = 2.0
_MEMORY_SHARE = 0.5
_UNKNOWN_MEMORY = 4 << 30
_SMALLEST_TILE = 32


class TileModel(Protocol):
    """What tiling needs of a model."""

    @property
    def graph(self) -> Graph:
        """The network."""

    def upscale_whole(self, lr: Array) -> Array:
        """Return the SR frame of one LR frame, uint8 or float32."""


class Span(NamedTuple):
    """One tile along one axis, in LR pixels: what is read, and the part of it that is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def receptive_radius(graph: Graph) -> int:
    """Return how many LR pixels away from an SR pixel the graph looks, at most."""
    reach = {name: Fraction(0) for name in graph.outputs}
    for node in reversed(graph.nodes):
        if node.output not in reach:
            continue
        for name in node.inputs:
            factor = Fraction(*graph.tensors[name].factor)
            snapped = Fraction(math.ceil(reach[node.output] * factor)) / factor
            needed = snapped + _taps_beyond(node) / factor
            reach[name] = max(reach.get(name, Fraction(0)), needed)
    return max(math.ceil(reach[name]) for name in graph.inputs if name in reach)


def _taps_beyond(node: Node) -> int:
    """Return how many input pixels a node reads to one side of an output pixel's own."""
    if node.op == "space_to_depth":
        return int(node.attrs["block"]) - 1
    if node.weight is None or node.op not in ("conv2d", "transpose_conv"):
        return 0
    longest = int(max(node.weight.shape[1:3]))
    if node.op == "conv2d":
        return longest // 2
    stride, pad = int(node.attrs["stride"]), int(node.attrs["pad"])
    return max((stride - 1 + pad) // stride, (longest - 1 - pad) // stride)


def alignment(graph: Graph) -> int:
    """Return the number of LR pixels that frame sides and tile edges must be a multiple of."""
    return math.lcm(*(spec.factor[1] for spec in graph.tensors.values()))


def spans(length: int, tile: int, radius: int, align: int = 1) -> list[Span]:
    """Return the tiles along an axis of `length` pixels: windows of one size that keep `tile`
    pixels or fewer each.
    """
    radius = math.ceil(radius / align) * align
    tile = math.ceil(tile / align) * align
    window = tile + 2 * radius
    if window >= length:
        return [Span(0, length, 0, length)]
    found = []
    kept = 0
    while kept < length:
        start = min(max(kept - radius, 0), length - window)
        keep_stop = length if start + window == length else start + window - radius
        found.append(Span(start, start + window, kept, keep_stop))
        kept = keep_stop
    return found


def upscale_tiled(model: TileModel, lr: Array, tile: int) -> Array:
    """Return the SR frame of `lr` (H, W, C) made tile by tile, equal to that of the whole frame.

    `tile` is the side in LR pixels of what each tile contributes; int8 networks give the same
    codes bit for bit, float ones up to the rounding of sums.

    Raises:
        SpecError: the network is recurrent (its state would need every tile at once), or `tile`
            is not positive.
    """
    graph = model.graph
    if tile < 1:
        raise SpecError(f"tile {tile}: expected at least 1 LR pixel")
    if is_recurrent(graph):
        raise SpecError("a recurrent network cannot be run in tiles; use a smaller frame")
    height, width, channels = lr.shape
    radius, align, scale = receptive_radius(graph), alignment(graph), graph.scale
    out = np.empty((height * scale, width * scale, channels), lr.dtype)
    for rows, columns in _tiles(height, width, tile, radius, align):
        window = np.ascontiguousarray(lr[rows.start : rows.stop, columns.start : columns.stop])
        sr = model.upscale_whole(window)
        out[_slice(rows, scale), _slice(columns, scale)] = sr[
            _slice(rows, scale, rows.start), _slice(columns, scale, columns.start)
        ]
    return out


def _tiles(
    height: int, width: int, tile: int, radius: int, align: int
) -> Iterator[tuple[Span, Span]]:
    for rows in spans(height, tile, radius, align):
        for columns in spans(width, tile, radius, align):
            yield rows, columns


def _slice(span: Span, scale: int, origin: int = 0) -> slice:
    return slice((span.keep_start - origin) * scale, (span.keep_stop - origin) * scale)


def peak_activation_bytes(graph: Graph, size: tuple[int, int]) -> int:
    """Return the most bytes of activations alive at once for an LR frame of (width, height)."""
    item = 1 if graph.quantized else 4
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    last |= {name: len(graph.nodes) for name in graph.outputs}
    cost = {name: math.prod(graph.shape(name, size)) * item for name in graph.tensors}
    alive = set(graph.inputs)
    peak = 0
    for i, node in enumerate(graph.nodes):
        alive.add(node.output)
        peak = max(peak, sum(cost[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > i}
    return peak


def available_bytes() -> int:
    """Return the memory that this process may still take, by the kernel and its control group."""
    found = [_UNKNOWN_MEMORY]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found = [int(line.split()[1]) * 1024]
    except (OSError, ValueError):
        pass
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        found.append(limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no control group, or no limit
        pass
    return max(min(found), 0)


def tile_for(graph: Graph, size: tuple[int, int], memory_bytes: int) -> int | None:
    """Return the largest tile side that fits the memory, or None when the whole frame does."""
    if is_recurrent(graph) or _needed(graph, size) <= memory_bytes:
        return None
    radius = receptive_radius(graph)
    tile = max(size)
    while tile > _SMALLEST_TILE:
        tile //= 2
        window = (min(tile + 2 * radius, size[0]), min(tile + 2 * radius, size[1]))
        if _needed(graph, window) <= memory_bytes:
            break
    return max(tile, _SMALLEST_TILE)


def _needed(graph: Graph, size: tuple[int, int]) -> float:
    return peak_activation_bytes(graph, size) * _RUNTIME_FACTOR / _MEMORY_SHARE
