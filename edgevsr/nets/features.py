"""The features that a network makes its picture of: what its last layer at LR size is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from edgevsr.nets.blocks import CollapsibleConv, CollapsibleDeconv

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, CollapsibleConv, CollapsibleDeconv)
_IMAGE_CHANNELS = 3


class FeatureTap:
    """Keeps what a network's last layer at LR size is given, a tensor (C, H, W) a frame.

    `frames` fills as the network runs, within `open`.
    """

    def __init__(self, layer: nn.Module, channels: int) -> None:
        self.layer, self.channels = layer, channels
        self.frames: deque[Tensor] = deque()

    @contextmanager
    def open(self) -> Iterator[deque[Tensor]]:
        """Listen inside the block."""
        handle = self.layer.register_forward_pre_hook(self._keep)
        try:
            yield self.frames
        finally:
            handle.remove()
            self.frames.clear()

    def _keep(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        del layer
        self.frames.extend(given[0].unbind(0))


@torch.no_grad()
def find_features(
    net: nn.Module, run: Callable[[], object], size: tuple[int, int]
) -> FeatureTap | None:
    """Return a tap on the last layer that reads features of `size` (height, width) in `run`.

    A layer that reads the picture itself is none, so a network that works at HR size has no tap.
    """
    inner = {
        part
        for module in net.modules()
        if isinstance(module, CollapsibleConv | CollapsibleDeconv)
        for part in module.children()
    }
    found: list[tuple[nn.Module, int]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        channels = given[0].shape[1]
        if tuple(given[0].shape[-2:]) == size and channels > _IMAGE_CHANNELS:
            found.append((layer, channels))

    handles = [
        module.register_forward_pre_hook(note)
        for module in net.modules()
        if isinstance(module, _LAYERS) and module not in inner
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return FeatureTap(*found[-1]) if found else None
