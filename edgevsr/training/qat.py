"""Training for int8: a network's forward is the integer run of the file it will become.

The net is first made what the quantizer would write: states in [0, 1], channels in one range,
slopes on the kernels' grid and each weight at its code, all folded into its own weights; and every
tensor gets its scale and zero point. From then on each step rounds the collapsed weights to their
nearest codes and computes as int8 kernels do, so that what validation measures is what ships.
Weights and ranges are learned together; slopes stay.

Source: quantization-aware training, Jacob et al., CVPR 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.collapsing import narrow_graph
from edgevsr.data.pairs import Pairs
from edgevsr.graph.int16 import real_node
from edgevsr.graph.ir import Node, QuantParams
from edgevsr.graph.reference_int8 import convolution_multiplier, product_multiplier
from edgevsr.graph.streaming import is_recurrent
from edgevsr.nets.blocks import CollapsibleDeconv, subpixel_kernel
from edgevsr.nets.narrow_form import blocks_of, freeze_slopes, take_narrow
from edgevsr.nets.ops import Net, TorchOps
from edgevsr.nets.streaming import inputs_by_role
from edgevsr.quantization.learned import ranges_from_json
from edgevsr.quantization.ptq import plan_and_quantize
from edgevsr.quantization.ranges import IMAGE
from edgevsr.training import fake_quant
from edgevsr.training.fake_quant import Limits, SumRule
from edgevsr.training.fake_rectify import rectifier_rule, rectify
from edgevsr.training.learned_ranges import LearnedRanges, Range
from edgevsr.training.proportions import Proportions, rescale

#: A node as a function of its inputs' centred codes.
Layer = Callable[..., Tensor]

#: What ranges are chosen on: LR frames in all, clips at least, and the side of a frame.
_FRAMES, _CLIPS, _SIDE = 48, 8, 144


def calibration_frames(pairs: Pairs, frames: int) -> list[NDArray[np.float32]]:
    """Return LR frames (H, W, C), or clips (T, H, W, C) of up to `frames`, of the training data.

    Spread evenly over it and rounded to 8 bits, each cut to its central 144×144 pixels.
    """
    clips = [(int(first), min(int(count), frames)) for first, count in pairs.clips]
    if frames > 1:
        clips = [(first, count) for first, count in clips if count > 1]
    chosen = np.linspace(0, len(clips) - 1, max(_CLIPS, _FRAMES // frames)).astype(int)
    found = []
    for first, count in (clips[i] for i in np.unique(chosen)):
        height, width = (int(side) for side in pairs.sizes[first])
        top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
        clip = np.stack([pairs.picture(first + i)[0] for i in range(count)])
        cut = clip[:, top : top + _SIDE, left : left + _SIDE] * (255.0 / pairs.unit)
        values = (np.rint(cut) / 255.0).astype(np.float32)
        found.append(values if frames > 1 else values[0])
    return found


class Prepared(NamedTuple):
    """The quantization of every tensor, and how large steps are beside those of float training."""

    qparams: dict[str, QuantParams]
    proportions: Proportions


def prepare(net: Net, frames: Sequence[NDArray[np.float32]]) -> Prepared:
    """Make the net that of the int8 file which `quantize_graph` gives, nearly code for code.

    `frames` are LR frames (H, W, C), or clips (T, H, W, C) for a recurrent network, in [0, 1]. So
    training starts where calibration ends, with every weight at the middle of its code.

    Raises:
        QuantizeError: a state cannot be folded.
        SpecError: the blocks are too narrow inside to hold the changed weights.
    """
    before = narrow_graph(net)
    plan, int8 = plan_and_quantize(before, frames)
    proportions = rescale(net, before, plan)
    real = tuple(real_node(_filled(node), int8.qparams) for node in int8.nodes)
    take_narrow(net, replace(int8, nodes=real, qparams={}))
    qparams = {
        name: QuantParams(float(np.float32(params.scale)), params.zero_point)
        for name, params in int8.qparams.items()
    }
    return Prepared(qparams, proportions)


def _filled(node: Node) -> Node:
    """Return the integer node with the largest code of every filter at 127, where training, which
    takes the scale from it, keeps it."""
    if node.weight is None or node.op not in ("conv2d", "transpose_conv"):
        return node
    codes = node.weight.reshape(len(node.weight), -1).copy()
    rows, largest = np.arange(len(codes)), np.abs(codes.astype(np.int16)).argmax(axis=1)
    given = codes[rows, largest]
    codes[rows, largest] = np.where(given == 0, 0, np.copysign(127, given)).astype(np.int8)
    return replace(node, weight=codes.reshape(node.weight.shape))


class Int8Net(nn.Module):
    """The integer forward of a prepared net, with gradients to the net's own wide weights."""

    def __init__(self, net: Net, ranges: Any) -> None:
        """Take a prepared net and its ranges, as `ranges_to_json` gives them.

        Raises:
            QuantizeError: the ranges are not this net's.
        """
        super().__init__()
        self.net = net
        freeze_slopes(net)
        self.graph = narrow_graph(net)
        self.ranges = LearnedRanges(self.graph, ranges_from_json(ranges, self.graph))
        self._blocks = blocks_of(net)
        self._last = {name: i for i, n in enumerate(self.graph.nodes) for name in n.inputs}

    @property
    def qparams(self) -> dict[str, QuantParams]:
        """Every tensor's quantization as it is now."""
        with torch.no_grad():
            return {name: found.params for name, found in self.ranges.now().items()}

    def forward(self, frames: Tensor, window: int = 0, burn_in: int = 0) -> Tensor:
        """Return the SR, in steps of 1/255, of frames or clips in [0, 1] rounded to 8 bits.

        As the net's own forward, gradients reaching back through at most `window` frames (0: all),
        after `burn_in` frames without.
        """
        if frames.dim() == 4:
            return self.forward(frames[:, None])[:, 0]
        codes = (frames.double() / IMAGE.scale + 0.5).floor_().clamp_(0, 255).float()
        with _exact_products(frames.device.type):
            ranges = self.ranges.now()
            layers = {node.output: self._layer(node, ranges) for node in self.graph.nodes}
            outputs = self._roll(codes, layers, window, burn_in)
        return outputs * IMAGE.scale

    def _roll(
        self, codes: Tensor, layers: Mapping[str, Layer], window: int, burn_in: int
    ) -> Tensor:
        """Return the SR codes of clips (N, T, C, H, W) of codes from zero."""
        frame, sr = self.graph.input_of("frame"), self.graph.output_of("sr")
        if not is_recurrent(self.graph):
            flat = self._run({frame: codes.flatten(0, 1)}, layers)[sr]
            return flat.view(*codes.shape[:2], *flat.shape[1:])
        roles = self.graph.roles
        channels = {roles[name]: self.graph.tensors[name].channels for name in self.graph.inputs}
        outputs = []
        before: dict[str, Tensor] = {}
        for index, current in enumerate(codes.unbind(1), start=-burn_in):
            if index == 0 or (window and index > 0 and index % window == 0):
                before = {role: carried.detach() for role, carried in before.items()}
            given = inputs_by_role(channels, current, before, white=255.0)
            found = self._run({self.graph.input_of(role): x for role, x in given.items()}, layers)
            before = {roles[name]: found[name] for name in self.graph.outputs} | {"frame": current}
            if index >= 0:
                outputs.append(found[sr])
        return torch.stack(outputs, 1)

    def _run(self, given: dict[str, Tensor], layers: Mapping[str, Layer]) -> dict[str, Tensor]:
        """Return the outputs, centred codes by tensor, of one frame's inputs."""
        tensors = dict(given)
        for index, node in enumerate(self.graph.nodes):
            tensors[node.output] = layers[node.output](*(tensors[name] for name in node.inputs))
            for name in node.inputs:
                if self._last[name] == index and name not in self.graph.outputs:
                    tensors.pop(name, None)
        return tensors

    def _layer(self, node: Node, ranges: Mapping[str, Range]) -> Layer:
        """Return a node as a function of centred codes, at the weights and ranges of now."""
        sources, target = [ranges[name] for name in node.inputs], ranges[node.output]
        limits = Limits.of(target.params, node.activation == "relu")
        match node.op:
            case "conv2d" | "transpose_conv":
                return self._convolution(node, sources[0], target, limits)
            case "add":
                x, y = sources
                reals = torch.stack([x.scale / target.scale, y.scale / target.scale])
                rule = SumRule.of(x.params, y.params, target.params, limits)
                return partial(fake_quant.add, reals=reals, zero_point=target.zero_point, rule=rule)
            case "mul":
                x, y = sources
                return partial(
                    fake_quant.multiply_codes,
                    real=x.scale * y.scale / target.scale,
                    zero_point=target.zero_point,
                    by=product_multiplier(x.params, y.params, target.params),
                    limits=limits,
                )
            case "concat":
                return lambda *parts: torch.cat(parts, dim=1)
            case "depth_to_space":
                block = int(node.attrs["block"])
                return lambda x: TorchOps().depth_to_space(x, block, node.name)
            case _:
                found = rectifier_rule(node, sources[0].params, target.params, limits)
                return partial(rectify, rule=found, limits=limits)

    def _convolution(self, node: Node, source: Range, target: Range, limits: Limits) -> Layer:
        block = self._blocks[node.name]
        kernel, bias = block.collapsed(exact=True)
        if isinstance(block, CollapsibleDeconv):
            kernel = kernel.transpose(0, 1)
        codes, offsets, scales = fake_quant.quantize_kernel(kernel, bias, source.scale)
        codes = codes.to(fake_quant.exact_dtype(codes))
        by = convolution_multiplier(source.params, scales.float().cpu().numpy(), target.params)
        stride = 1
        if isinstance(block, CollapsibleDeconv):
            stride = block.stride
            codes = subpixel_kernel(codes.transpose(0, 1), stride, block.padding)

        def convolve(x: Tensor) -> Tensor:
            padding, groups = codes.shape[-1] // 2, x.shape[1] // codes.shape[1]
            sums = F.conv2d(x.to(codes.dtype), codes, padding=padding, groups=groups)
            if stride > 1:
                sums = F.pixel_shuffle(sums, stride)
            real = scales * source.scale / target.scale
            return fake_quant.requantize(sums, offsets, real, target.zero_point, by, limits)

        return convolve


@contextmanager
def _exact_products(device: str) -> Iterator[None]:
    """Keep products whole: no half precision, and none of cuDNN's transformed convolutions."""
    with torch.autocast(device, enabled=False), torch.backends.cudnn.flags(enabled=False):
        yield
