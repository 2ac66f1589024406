"""Recurrent graphs and clips that tests share: the form that `collapse` gives, and moving LR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgevsr.graph.ir import Graph
from edgevsr.runtime.probe import moving_frames
from tests.graphs import Builder


def rsesr_graph(
    f: int = 8,
    m: int = 2,
    state: int = 5,
    scale: int = 2,
    channels: int = 1,
    seed: int = 0,
    aligned: bool = False,
) -> Graph:
    """Return a random narrow cell: frame, previous frame and state joined, two heads; an `aligned`
    one is joined by the previous SR, too.

    The state's channels reach very different values, as those of trained nets do, and none fades
    or explodes over time.
    """
    b = Builder(seed)
    frame = b.input("frame", channels, "frame")
    previous = b.input("previous_frame", channels, "previous_frame")
    given = b.input("state_in_0", state, "state_in:0")
    parts, joined = (frame, previous, given), 2 * channels + state
    if aligned:
        parts = (*parts, b.input("previous_sr", channels * scale**2, "previous_sr"))
        joined += channels * scale**2
    h = b.node("concat", "joined", parts, joined)
    h = skip = b.conv("first", h, f, relu=True)
    for index in range(m):
        h = b.conv(f"body{index}", h, f, relu=True)
    h = b.add("long_residual", h, skip)
    b.conv("state_out_0", h, state, relu=True)
    detail = b.conv("detail", h, channels * scale**2)
    image = frame
    if channels > 1:
        image = b.node("concat", "repeated", (frame,) * scale**2, channels * scale**2)
    sr = b.depth_to_space("sr", b.add("image_residual", detail, image), scale)
    colour = "y" if channels == 1 else "rgb"
    graph = b.graph(
        (sr, "sr"), ("state_out_0", "state_out:0"), net="rsesr", scale=scale, colour=colour
    )
    return _with_spread_state(graph, 2 * channels, state)


def _with_spread_state(graph: Graph, first: int, state: int) -> Graph:
    """Return the same function of frames with state channels of sizes 1/2 to 8."""
    sizes = np.geomspace(0.5, 8.0, state).astype(np.float32)
    nodes = []
    for node in graph.nodes:
        if node.name == "state_out_0" and node.weight is not None and node.bias is not None:
            weight = node.weight * sizes.reshape(-1, 1, 1, 1)
            node = replace(node, weight=weight, bias=node.bias * sizes)
        if node.name == "first" and node.weight is not None:
            weight = node.weight.copy()
            weight[..., first : first + state] /= sizes
            node = replace(node, weight=weight)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def moving_clip(
    size: tuple[int, int] = (32, 24), channels: int = 1, frames: int = 12
) -> NDArray[np.float32]:
    """Return an LR clip (T, H, W, C) in [0, 1] on the 8-bit grid."""
    pixels = np.stack(moving_frames(size, channels, frames))
    return (pixels / 255.0).astype(np.float32)


def translated(
    right: int, down: int, scale: int = 4
) -> tuple[
    tuple[NDArray[np.uint8], NDArray[np.uint8]], tuple[NDArray[np.uint8], NDArray[np.uint8]]
]:
    """Return an HR plane before and after it moved by these pixels, and both LR planes, 64×48.

    It has detail everywhere that bicubic downscaling keeps.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    world = np.asarray(Image.fromarray(coarse).resize((400, 320), Image.Resampling.BICUBIC))
    before, now = (
        np.ascontiguousarray(world[top : top + 48 * scale, left : left + 64 * scale])
        for top, left in ((64, 72), (64 - down, 72 - right))
    )
    lr_before, lr_now = (np.asarray(Image.fromarray(hr).reduce(scale)) for hr in (before, now))
    return (before, now), (lr_before, lr_now)
