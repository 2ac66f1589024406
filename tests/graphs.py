"""Small random graphs that tests share: SESR, FSRCNN, a recurrent cell, and their int8 forms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgevsr.graph.ir import Graph, Node, Op, QuantParams, TensorSpec
from edgevsr.graph.normalise import fuse_relu
from edgevsr.graph.quantize_int import quantize_constants, tied_tensors
from edgevsr.graph.reference import run_float
from edgevsr.spec import IMAGE_SCALE, IMAGE_ZERO_POINT

IMAGE_ROLES = ("frame", "previous_frame", "sr")


@dataclass
class Builder:
    """Builds a graph node by node; every method returns the name of the tensor it makes."""

    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def input(self, name: str, channels: int, role: str) -> str:
        self.tensors[name] = TensorSpec(channels)
        self.roles[name] = role
        return name

    def node(
        self,
        op: Op,
        name: str,
        inputs: tuple[str, ...],
        channels: int,
        times: tuple[int, int] = (1, 1),
        **rest: Any,
    ) -> str:
        numerator, denominator = self.tensors[inputs[0]].factor
        numerator, denominator = numerator * times[0], denominator * times[1]
        common = int(np.gcd(numerator, denominator))
        self.nodes.append(Node(op, name, inputs, name, **rest))
        self.tensors[name] = TensorSpec(channels, (numerator // common, denominator // common))
        return name

    def conv(
        self, name: str, x: str, out: int, k: int = 3, groups: int = 1, relu: bool = False
    ) -> str:
        fan_in = self.tensors[x].channels // groups
        weight = self.random.normal(0, 0.6 / np.sqrt(k * k * fan_in), (out, k, k, fan_in))
        bias = self.random.normal(0, 0.05, out)
        return self.node(
            "conv2d",
            name,
            (x,),
            out,
            attrs={"groups": groups},
            weight=weight.astype(np.float32),
            bias=bias.astype(np.float32),
            activation="relu" if relu else "none",
        )

    def transpose_conv(self, name: str, x: str, out: int, k: int, stride: int, pad: int) -> str:
        fan_in = self.tensors[x].channels
        weight = self.random.normal(0, 0.6 * stride / np.sqrt(k * k * fan_in), (out, k, k, fan_in))
        return self.node(
            "transpose_conv",
            name,
            (x,),
            out,
            (stride, 1),
            attrs={"stride": stride, "pad": pad},
            weight=weight.astype(np.float32),
            bias=self.random.normal(0.4, 0.05, out).astype(np.float32),
        )

    def activate(self, name: str, x: str, activation: str) -> str:
        channels = self.tensors[x].channels
        if activation == "prelu":
            slopes = self.random.uniform(-0.1, 0.4, channels).astype(np.float32)
            return self.node("prelu", name, (x,), channels, weight=slopes)
        if activation == "leaky":
            slope = float(np.float32(self.random.uniform(0.02, 0.3)))
            return self.node("leaky_relu", name, (x,), channels, attrs={"slope": slope})
        return self.node("relu", name, (x,), channels)

    def add(self, name: str, x: str, y: str) -> str:
        return self.node("add", name, (x, y), self.tensors[x].channels)

    def mul(self, name: str, x: str, y: str) -> str:
        return self.node("mul", name, (x, y), self.tensors[x].channels)

    def depth_to_space(self, name: str, x: str, block: int) -> str:
        channels = self.tensors[x].channels // block**2
        return self.node("depth_to_space", name, (x,), channels, (block, 1), attrs={"block": block})

    def graph(self, *outputs: tuple[str, str], **meta: Any) -> Graph:
        roles = {**self.roles, **dict(outputs)}
        inputs = tuple(self.roles)
        return Graph(
            inputs,
            tuple(name for name, _ in outputs),
            tuple(self.nodes),
            dict(self.tensors),
            roles,
            meta,
        )


def sesr_graph(
    m: int = 5,
    f: int = 16,
    scale: int = 2,
    channels: int = 1,
    activation: str = "leaky",
    seed: int = 0,
    gated: bool = False,
) -> Graph:
    """Return a random collapsed SESR; `activation` is leaky, prelu or relu (fused)."""
    b = Builder(seed)
    relu = activation == "relu"

    def block(name: str, x: str, k: int) -> str:
        y = b.conv(name, x, f, k, relu=relu)
        return y if relu else b.activate(f"{name}_act", y, activation)

    x = b.input("frame", channels, "frame")
    first = h = block("first", x, 5)
    for i in range(m):
        h = block(f"body{i}", h, 3)
    h = b.add("long_residual", h, first)
    if gated:
        gate = b.conv("gate", h, f, 1)
        gate = b.node("clip", "gate_clip", (gate,), f, attrs={"low": 0.0, "high": 6.0})
        h = b.mul("gated", h, gate)
    h = b.conv("last", h, channels * scale**2, 5)
    skip = x
    if channels > 1:
        skip = b.node("concat", "tiled", (x,) * scale**2, channels * scale**2)
    h = b.add("global_residual", h, skip)
    y = b.depth_to_space("sr", h, scale)
    colour = "y" if channels == 1 else "rgb"
    return b.graph((y, "sr"), net=f"sesr-m{m}", scale=scale, colour=colour, activation=activation)


def fsrcnn_graph(
    d: int = 56, s: int = 12, m: int = 4, scale: int = 2, activation: str = "prelu", seed: int = 0
) -> Graph:
    """Return a random FSRCNN with its 9×9 transposed convolution."""
    b = Builder(seed)
    x = b.input("frame", 1, "frame")
    h = b.activate("feature_act", b.conv("feature", x, d, 5), activation)
    h = b.activate("shrink_act", b.conv("shrink", h, s, 1), activation)
    for i in range(m):
        h = b.activate(f"map{i}_act", b.conv(f"map{i}", h, s, 3), activation)
    h = b.activate("expand_act", b.conv("expand", h, d, 1), activation)
    y = b.transpose_conv("sr", h, 1, 9, scale, 4)
    return b.graph((y, "sr"), net="fsrcnn", scale=scale, colour="y", activation=activation)


def cell_graph(f: int = 8, scale: int = 2, seed: int = 0) -> Graph:
    """Return a small recurrent cell: frame and state in, SR frame and state out."""
    b = Builder(seed)
    x = b.input("frame", 1, "frame")
    state = b.input("state", f, "state_in:0")
    h = b.node("concat", "joined", (x, state), f + 1)
    h = b.conv("mix", h, f, relu=True)
    state_out = b.conv("next_state", h, f, relu=True)
    h = b.conv("last", h, scale**2)
    y = b.depth_to_space("sr", b.add("residual", h, x), scale)
    return b.graph((y, "sr"), (state_out, "state_out:0"), net="cell", scale=scale, colour="y")


def random_inputs(graph: Graph, size: tuple[int, int] = (24, 16), seed: int = 0) -> dict[str, Any]:
    """Return float32 NHWC inputs in [0, 1], frames on the 8-bit grid."""
    rng = np.random.default_rng(seed)
    pixels = {name: rng.integers(0, 256, graph.shape(name, size)) for name in graph.inputs}
    return {name: (values / 255).astype(np.float32) for name, values in pixels.items()}


def quantized(graph: Graph, size: tuple[int, int] = (24, 16), seed: int = 0) -> Graph:
    """Return the int8 form of a float graph, its ranges taken from three random frames."""
    ranges = dict.fromkeys(graph.tensors, (0.0, 0.0))
    for index in range(3):
        for name, values in run_float(graph, random_inputs(graph, size, seed + index)).items():
            low, high = ranges[name]
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    qparams = {name: _affine(*ends) for name, ends in ranges.items()}
    image = QuantParams(float(np.float32(IMAGE_SCALE)), IMAGE_ZERO_POINT)
    fixed = {name for name, role in graph.roles.items() if role in IMAGE_ROLES}
    qparams |= dict.fromkeys(fixed, image)
    for group in tied_tensors(graph):
        lows, highs = zip(*(ranges[name] for name in group), strict=True)
        shared = image if group & fixed else _affine(min(lows), max(highs))
        qparams |= dict.fromkeys(group, shared)
    return quantize_constants(graph, qparams)


def random_codes(graph: Graph, size: tuple[int, int] = (24, 16), seed: int = 0) -> dict[str, Any]:
    """Return int8 NHWC inputs that use every code."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-128, 128, graph.shape(name, size)).astype(np.int8)
        for name in graph.inputs
    }


def _affine(low: float, high: float) -> QuantParams:
    scale = float(np.float32(max(high - low, 1e-3) / 255))
    return QuantParams(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def renamed(graph: Graph, **meta: Any) -> Graph:
    """Return the graph with other provenance."""
    return replace(graph, meta={**graph.meta, **meta})


def random_graph(seed: int) -> Graph:
    """Return a random chain over every operation of the graph; inputs need even sizes."""
    b = Builder(seed)
    rng = b.random
    channels = int(rng.choice([1, 3]))
    x = b.input("frame", channels, "frame")
    h = b.conv("head", x, int(rng.integers(2, 9)), int(rng.choice([1, 3, 5])))
    for i in range(int(rng.integers(2, 7))):
        h = _random_step(b, h, f"step{i}")
    scale = int(rng.choice([2, 3, 4]))
    numerator, denominator = b.tensors[h].factor
    if numerator < denominator:
        width, factor = b.tensors[h].channels, {"factor": 2}
        h = b.node("resize_nearest", "back", (h,), width, (2, 1), attrs=factor)
    if rng.random() < 0.4:
        y = b.transpose_conv("sr", h, channels, *_random_kernel(rng, scale))
    else:
        y = b.depth_to_space("sr", b.conv("tail", h, channels * scale**2), scale)
    colour = "y" if channels == 1 else "rgb"
    return fuse_relu(b.graph((y, "sr"), net="random", scale=scale, colour=colour))


def _random_kernel(rng: np.random.Generator, stride: int) -> tuple[int, int, int]:
    pad = int(rng.integers(0, 4))
    return int(rng.integers(max(1, pad + 1), 10)), stride, pad


def _random_step(b: Builder, h: str, name: str) -> str:
    rng, channels = b.random, b.tensors[h].channels
    kind = str(rng.choice(["conv", "depthwise", "relu", "leaky", "prelu", "add", "broadcast",
                           "mul", "concat", "clip", "shrink"]))  # fmt: skip
    match kind:
        case "conv":
            k, relu = int(rng.choice([1, 3, 5])), bool(rng.random() < 0.5)
            return b.conv(name, h, int(rng.integers(1, 9)), k, relu=relu)
        case "depthwise":
            return b.conv(name, h, channels, 3, groups=channels)
        case "prelu" if channels == 1:
            return b.activate(name, h, "leaky")
        case "relu" | "leaky" | "prelu":
            return b.activate(name, h, kind)
        case "add":
            return b.add(name, h, b.conv(f"{name}_other", h, channels))
        case "broadcast":
            return b.add(name, h, b.conv(f"{name}_one", h, 1))
        case "mul":
            return b.mul(name, h, b.conv(f"{name}_other", h, channels))
        case "concat":
            return b.node("concat", name, (h, b.conv(f"{name}_other", h, 2)), channels + 2)
        case "clip":
            low, high = (-0.25, 0.5) if rng.random() < 0.5 else (0.0, 1.0)
            return b.node("clip", name, (h,), channels, attrs={"low": low, "high": high})
    if b.tensors[h].factor != (1, 1):
        return b.activate(name, h, "relu")
    shrunk = b.node("space_to_depth", name, (h,), channels * 4, (1, 2), attrs={"block": 2})
    return b.conv(f"{name}_mix", shrunk, 4)


#: A small network of each structure that is written to files and read again.
NETS = {
    "sesr": sesr_graph(),
    "sesr-rgb-x3": sesr_graph(3, channels=3, scale=3),
    "sesr-prelu-x4": sesr_graph(activation="prelu", scale=4),
    "sesr-relu": sesr_graph(activation="relu"),
    "sesr-gate": sesr_graph(activation="relu", gated=True),
    "fsrcnn": fsrcnn_graph(),
    "fsrcnn-x3": fsrcnn_graph(scale=3),
    "fsrcnn-x4": fsrcnn_graph(scale=4),
    "cell": cell_graph(),
}
