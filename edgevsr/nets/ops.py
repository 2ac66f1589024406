"""A network's structure is written once, over these operations.

`TorchOps` computes them on tensors; `edgevsr.collapsing` has another implementation that records
the narrow graph. So training and the exported file cannot disagree about the structure.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.errors import SpecError
from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv, Form
from edgevsr.nets.streaming import inputs_by_role
from edgevsr.spec import NetSpec

T = TypeVar("T")


class Ops(Protocol[T]):
    """The operations a network may be built of; T is a tensor or the name of one."""

    def conv(self, block: CollapsibleConv, x: T, name: str) -> T:
        """Apply a collapsible convolution."""

    def deconv(self, block: CollapsibleDeconv, x: T, name: str) -> T:
        """Apply a collapsible transposed convolution."""

    def activate(self, module: nn.Module, x: T, name: str) -> T:
        """Apply an activation made by `blocks.activation`."""

    def add(self, x: T, y: T, name: str) -> T:
        """Add two tensors; `y` may have one channel."""

    def mul(self, x: T, y: T, name: str) -> T:
        """Multiply two tensors of one shape."""

    def clip(self, x: T, low: float, high: float, name: str) -> T:
        """Bound a tensor."""

    def concat(self, xs: list[T], name: str) -> T:
        """Join tensors over channels."""

    def depth_to_space(self, x: T, block: int, name: str) -> T:
        """Move channels (dy·block + dx)·C + c to pixels."""


class TorchOps:
    """Computes on tensors (N, C, H, W)."""

    def conv(self, block: CollapsibleConv, x: Tensor, name: str) -> Tensor:
        """Apply a collapsible convolution."""
        del name
        y: Tensor = block(x)
        return y

    def deconv(self, block: CollapsibleDeconv, x: Tensor, name: str) -> Tensor:
        """Apply a collapsible transposed convolution."""
        del name
        y: Tensor = block(x)
        return y

    def activate(self, module: nn.Module, x: Tensor, name: str) -> Tensor:
        """Apply an activation."""
        del name
        y: Tensor = module(x)
        return y

    def add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Add two tensors."""
        del name
        return x + y

    def mul(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """Multiply two tensors of one shape."""
        del name
        return x * y

    def clip(self, x: Tensor, low: float, high: float, name: str) -> Tensor:
        """Bound a tensor."""
        del name
        return x.clamp(low, high)

    def concat(self, xs: list[Tensor], name: str) -> Tensor:
        """Join tensors over channels."""
        del name
        return torch.cat(xs, dim=1)

    def depth_to_space(self, x: Tensor, block: int, name: str) -> Tensor:
        """Move channels to pixels, in TensorFlow's channel order."""
        del name
        n, channels, height, width = x.shape
        depth = channels // (block * block)
        if depth > 1:
            x = x.view(n, block * block, depth, height, width).transpose(1, 2)
            x = x.reshape(n, channels, height, width)
        return F.pixel_shuffle(x, block)


class Net(nn.Module, ABC):
    """A network over tensors named by role (see `edgevsr.graph.ir.Graph.roles`).

    A single-image one takes `frame` (N, C, H, W) in [0, 1] and gives `sr`
    (N, C, H·scale, W·scale).
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self._compiled: Callable[..., Any] | None = None

    @property
    def inputs(self) -> dict[str, int]:
        """The channels of each input, by role."""
        return {"frame": self.spec.channels}

    def compile_training(self) -> None:
        """Run frames through kernels made for their shape from now on, in training mode.

        Raises:
            SpecError: there is no compiler to make them with.
        """
        compiler = os.environ.get("CXX", "g++")
        if not torch.cuda.is_available() and shutil.which(compiler) is None:
            raise SpecError(f"--compiled: no C++ compiler {compiler!r}; install it, or set CXX")
        self._compiled = torch.compile(self._roles, dynamic=False)

    def _roles(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of one frame by role."""
        return self.describe(TorchOps(), given)

    def _run(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        run = self._compiled if self._compiled and self.training else self._roles
        found: dict[str, Tensor] = run(given)
        return found

    @abstractmethod
    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Return the outputs by role of the inputs by role, built of `ops`."""

    def forward(self, frames: Tensor) -> Tensor:
        """Return the SR of frames (N, C, H, W) or of clips (N, T, C, H, W), not clipped."""
        if frames.dim() == 5:
            sr = self.forward(frames.flatten(0, 1))
            return sr.view(*frames.shape[:2], *sr.shape[1:])
        return self._run({"frame": frames})["sr"]

    def set_form(self, form: Form) -> Any:
        """Choose whether blocks compute through their narrow or their wide weights."""
        for module in self.modules():
            if isinstance(module, CollapsibleConv | CollapsibleDeconv):
                module.form = form
        return self


class RecurrentNet(Net):
    """A network that sees the past: the frame before, a state of its own (N, num_state, H, W),
    never negative, and, where it is aligned, its SR of the frame before, moved to this one.

    The first frame is its own previous frame, starts from a state of zeros, and stands for the SR
    before it.
    """

    @property
    def inputs(self) -> dict[str, int]:
        """The channels of each input, by role."""
        channels, options = self.spec.channels, self.spec.options
        inputs = {"frame": channels, "previous_frame": channels}
        if options["num_state"]:
            inputs["state_in:0"] = options["num_state"]
        if options.get("aligned"):
            inputs["previous_sr"] = channels * self.spec.scale**2
        return inputs

    def forward(self, frames: Tensor, window: int | None = None, burn_in: int = 0) -> Tensor:
        """Return the SR of clips (N, T, C, H, W), or of frames (N, C, H, W), each a clip of one.

        Gradients reach back through at most `window` frames: every so often what is carried is
        detached. The first `burn_in` frames are seen without gradients, and their SR is left out.
        """
        if frames.dim() == 4:
            return self.forward(frames[:, None])[:, 0]
        outputs: list[Tensor] = []
        # Strides that change with a clip's length would have kernels compiled for every length.
        clip = frames.transpose(0, 1).contiguous()
        with self.narrow_once():
            before: dict[str, Tensor] = {}
            with torch.no_grad():
                for frame in clip[:burn_in]:
                    before = self.step(frame, before)
            for index, frame in enumerate(clip[burn_in:]):
                if window and index % window == 0:
                    before = {role: carried.detach() for role, carried in before.items()}
                before = self.step(frame, before)
                outputs.append(before["sr"])
        return torch.stack(outputs, 1)

    def step(self, frame: Tensor, before: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return by role what frames (N, C, H, W) give and what the next ones need beside it.

        `before` is what this returned for the frames before, empty at the first ones.
        """
        found = self._run(inputs_by_role(self.inputs, frame, before))
        return {**found, "frame": frame}

    @contextmanager
    def narrow_once(self) -> Iterator[None]:
        """Collapse every block once for all frames of a clip."""
        blocks = [module for module in self.modules() if isinstance(module, CollapsibleConv)]
        for block in blocks:
            block.hold()
        try:
            yield
        finally:
            for block in blocks:
                block.release()
