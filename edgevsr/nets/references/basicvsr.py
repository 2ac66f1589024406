"""BasicVSR: bidirectional propagation, features aligned by flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgevsr.nets.references.base import Bidirectional
from edgevsr.nets.references.parts import InputTrunk, Upsampler4, leaky, upsample
from edgevsr.nets.references.spynet import SpyNet, clip_flows
from edgevsr.nets.references.warping import flow_warp


class BasicVsr(Bidirectional):
    """A backward and a forward trunk carry features along SPyNet's flow; their pair makes SR.

    Source: Chan et al., CVPR 2021, section 3.
    """

    def __init__(self, channels: int = 64, blocks: int = 30) -> None:
        super().__init__()
        self.state_channels = 2 * channels
        self.channels = channels
        self.spynet = SpyNet()
        self.backward_trunk = InputTrunk(channels + 3, channels, blocks)
        self.forward_trunk = InputTrunk(channels + 3, channels, blocks)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        self.tail = Upsampler4(channels)

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR clip."""
        to_next, to_last = clip_flows(self.spynet, clip)
        frames = clip.unbind(1)
        start = clip.new_zeros(len(clip), self.channels, *clip.shape[-2:])
        backward: list[Tensor] = []
        carried = start
        for i in reversed(range(len(frames))):
            if backward:
                carried = flow_warp(carried, to_next[i])
            carried = self.backward_trunk(torch.cat((frames[i], carried), dim=1))
            backward.insert(0, carried)
        outputs: list[Tensor] = []
        carried = start
        for i, frame in enumerate(frames):
            if i:
                carried = flow_warp(carried, to_last[i - 1])
            carried = self.forward_trunk(torch.cat((frame, carried), dim=1))
            both = leaky(self.fusion(torch.cat((backward[i], carried), dim=1)))
            outputs.append(self.tail.reconstruct(both) + upsample(frame, 4))
        return torch.stack(outputs, dim=1)
