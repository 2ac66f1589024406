"""Wide to narrow, exactly: the kernel algebra, and the proof that the function stayed the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevsr.errors import CollapseError
from edgevsr.graph.ir import Graph, Node, TensorSpec
from edgevsr.graph.normalise import fuse_relu
from edgevsr.graph.quantize_int import RANGES_KEY
from edgevsr.graph.reference import run_float
from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, Slope
from edgevsr.nets.checkpoint import load_net
from edgevsr.nets.ops import Net, TorchOps
from edgevsr.nets.registry import build, net_spec
from edgevsr.spec import NetSpec

#: The largest difference, on images in [0, 1], that float32 rounding explains.
MAX_ABS_ERR = 1e-5

_PROOF_SIZES = ((48, 40), (17, 23), (5, 3))


@dataclass(frozen=True)
class CollapsedNet:
    """A narrow network and the measured proof that it is the wide one.

    `max_abs_err` is the largest difference seen over random and real frames, borders included,
    between the wide network in float64 and the narrow one in float32, on images in [0, 1].
    Parameters are convolution weights, without biases and slopes.
    """

    spec: NetSpec
    graph: Graph
    max_abs_err: float
    params_wide: int
    params_narrow: int


class _Recorder:
    """Records a network's narrow graph; tensors are names (see `edgevsr.nets.ops.Ops`)."""

    def __init__(self, inputs: Mapping[str, int]) -> None:
        self.nodes: list[Node] = []
        self.tensors = {_tensor(role): TensorSpec(count) for role, count in inputs.items()}

    def conv(self, block: CollapsibleConv, x: str, name: str) -> str:
        """Record the narrow convolution."""
        kernel, bias = _numpy(*block.collapsed())
        weight = kernel.transpose(0, 2, 3, 1)
        attrs = {"groups": block.expand.groups}
        node = Node("conv2d", name, (x,), name, attrs, _float32(weight), _float32(bias))
        return self._record(node, len(bias), self.tensors[x].factor)

    def deconv(self, block: CollapsibleDeconv, x: str, name: str) -> str:
        """Record the narrow transposed convolution."""
        kernel, bias = _numpy(*block.collapsed())
        weight = kernel.transpose(1, 2, 3, 0)
        attrs = {"stride": block.stride, "pad": block.padding}
        node = Node("transpose_conv", name, (x,), name, attrs, _float32(weight), _float32(bias))
        top, bottom = self.tensors[x].factor
        return self._record(node, len(bias), (top * block.stride, bottom))

    def activate(self, module: nn.Module, x: str, name: str) -> str:
        """Record the activation."""
        if isinstance(module, Slope) and float(module.weight.detach()) == 0.0:
            node = Node("relu", name, (x,), name)
        elif isinstance(module, Slope):
            node = Node("leaky_relu", name, (x,), name, {"slope": float(module.weight.detach())})
        elif isinstance(module, nn.PReLU):
            (slopes,) = _numpy(module.weight)
            node = Node("prelu", name, (x,), name, weight=_float32(slopes))
        elif isinstance(module, nn.ReLU):
            node = Node("relu", name, (x,), name)
        else:
            raise CollapseError(f"{name}: no narrow form of {type(module).__name__}")
        return self._record(node, self.tensors[x].channels, self.tensors[x].factor)

    def add(self, x: str, y: str, name: str) -> str:
        """Record a sum."""
        spec = self.tensors[x]
        return self._record(Node("add", name, (x, y), name), spec.channels, spec.factor)

    def mul(self, x: str, y: str, name: str) -> str:
        """Record a product."""
        spec = self.tensors[x]
        return self._record(Node("mul", name, (x, y), name), spec.channels, spec.factor)

    def clip(self, x: str, low: float, high: float, name: str) -> str:
        """Record bounds."""
        spec = self.tensors[x]
        node = Node("clip", name, (x,), name, {"low": low, "high": high})
        return self._record(node, spec.channels, spec.factor)

    def concat(self, xs: list[str], name: str) -> str:
        """Record a concatenation."""
        channels = sum(self.tensors[x].channels for x in xs)
        node = Node("concat", name, tuple(xs), name)
        return self._record(node, channels, self.tensors[xs[0]].factor)

    def depth_to_space(self, x: str, block: int, name: str) -> str:
        """Record a shuffle of channels to pixels."""
        top, bottom = self.tensors[x].factor
        node = Node("depth_to_space", name, (x,), name, {"block": block})
        return self._record(node, self.tensors[x].channels // block**2, (top * block, bottom))

    def _record(self, node: Node, channels: int, factor: tuple[int, int]) -> str:
        self.nodes.append(node)
        self.tensors[node.output] = TensorSpec(channels, factor)
        return node.output


def _tensor(role: str) -> str:
    return role.replace(":", "_")


def narrow_graph(net: Net) -> Graph:
    """Return the narrow graph of a wide network, collapsed in float64 and stored as float32."""
    spec = net.spec
    recorder = _Recorder(net.inputs)
    given = {role: _tensor(role) for role in net.inputs}
    with torch.no_grad():
        found = deepcopy(net).double().describe(recorder, given)
    graph = Graph(
        inputs=tuple(given.values()),
        outputs=tuple(found.values()),
        nodes=tuple(recorder.nodes),
        tensors=recorder.tensors,
        roles={tensor: role for role, tensor in (*given.items(), *found.items())},
        meta={
            "net": spec.name,
            "scale": spec.scale,
            "colour": spec.colour,
            "activation": spec.activation,
        },
    )
    return fuse_relu(graph)


@lru_cache(maxsize=256)
def untrained_graph(name: str, scale: int) -> Graph:
    """Return the narrow graph of a network's name with random weights: its structure, to count on.

    Raises:
        SpecError: the name or scale is not known.
    """
    with torch.random.fork_rng(devices=[]):
        return narrow_graph(build(replace(net_spec(name, scale), expansion=16)))


def collapse_net(net: Net, frames: Sequence[NDArray[np.float32]] = ()) -> CollapsedNet:
    """Return the narrow form of a wide network; the network itself is left as it is.

    `frames` are real LR frames (H, W, C) in [0, 1] to prove the equality on, beside random ones.

    Raises:
        CollapseError: weights are not finite, or the forms differ by more than 1e-5.
    """
    for name, value in net.state_dict().items():
        if not torch.isfinite(value).all():
            raise CollapseError(f"{name}: holds values that are not finite; train again")
    graph = narrow_graph(net)
    rng = np.random.default_rng(0)
    channels = net.spec.channels
    proof = [rng.random((height, width, channels), np.float32) for width, height in _PROOF_SIZES]
    error = max(_difference(net, graph, frame) for frame in [*proof, *frames])
    if not error <= MAX_ABS_ERR:
        raise CollapseError(
            f"{net.spec.name}: wide and narrow outputs differ by {error:.3g} on images in [0, 1], "
            f"more than the {MAX_ABS_ERR:g} that rounding explains; were these weights trained?"
        )
    return CollapsedNet(
        spec=net.spec,
        graph=graph.with_meta(max_abs_err=error),
        max_abs_err=error,
        params_wide=wide_params(net),
        params_narrow=graph.params,
    )


def collapse_checkpoint(
    path: Path, real_frames: Callable[[int], Sequence[NDArray[np.float32]]] | None = None
) -> CollapsedNet:
    """Return the narrow form of a checkpoint's network, with its provenance.

    `real_frames` is given the number of channels and returns frames to prove the equality on.

    Raises:
        SourceError: the checkpoint is damaged or foreign.
        CollapseError: the narrow net would not be the same function.
    """
    net, info = load_net(path)
    collapsed = collapse_net(net, real_frames(net.spec.channels) if real_frames else ())
    trained: dict[str, Any] = {
        key: value for key, value in info.items() if key in ("step", "training", RANGES_KEY)
    }
    return replace(collapsed, graph=collapsed.graph.with_meta(**trained))


def wide_params(net: nn.Module) -> int:
    """Return the number of convolution weights of a wide network, without biases and slopes."""
    return sum(
        parameter.numel()
        for module in net.modules()
        if isinstance(module, CollapsibleConv | CollapsibleDeconv)
        for parameter in module.parameters()
        if parameter.dim() > 1
    )


def _difference(net: Net, graph: Graph, frame: NDArray[np.float32]) -> float:
    """Return the largest difference over all outputs, from a moved frame and a random state.

    A state that goes beyond 1 counts over its largest value: it has a range of its own.
    """
    rng = np.random.default_rng(0)
    given = {
        role: frame
        if role == "frame"
        else np.roll(frame, 1, axis=1)
        if role == "previous_frame"
        else rng.random((*frame.shape[:2], channels), np.float32)
        for role, channels in net.inputs.items()
    }
    wide = deepcopy(net).double().set_form("expanded")
    with torch.inference_mode():
        tensors = {
            role: torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)[None])).double()
            for role, array in given.items()
        }
        expected = wide.describe(TorchOps(), tensors)
    fed = {graph.input_of(role): array[None] for role, array in given.items()}
    got = run_float(graph, fed, keep=graph.outputs)
    errors = []
    for role, value in expected.items():
        wanted = value[0].permute(1, 2, 0).numpy()
        error = float(np.abs(wanted - got[graph.output_of(role)][0]).max())
        reach = 1.0 if role == "sr" else max(1.0, float(np.abs(wanted).max()))
        errors.append(error / reach)
    return max(errors)


def _numpy(*tensors: torch.Tensor) -> list[NDArray[Any]]:
    return [tensor.detach().cpu().numpy() for tensor in tensors]


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)
