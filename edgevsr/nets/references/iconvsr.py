"""IconVSR: BasicVSR with coupled propagation and keyframes refilled by EDVR's features."""

from __future__ import annotations

import torch
from torch import Tensor

from edgevsr.nets.references.base import Bidirectional
from edgevsr.nets.references.edvr import EdvrExtractor
from edgevsr.nets.references.parts import InputTrunk, Upsampler4, conv3x3, upsample
from edgevsr.nets.references.spynet import SpyNet, clip_flows
from edgevsr.nets.references.warping import flow_warp


class IconVsr(Bidirectional):
    """Every fifth frame and the last are keyframes; the forward trunk sees the backward features.

    Beyond the ends of the clip a keyframe's window takes the frames next to it on the far side.

    Source: Chan et al., CVPR 2021, section 4.
    """

    multiple = 4

    def __init__(
        self, channels: int = 64, blocks: int = 30, stride: int = 5, padding: int = 2
    ) -> None:
        super().__init__()
        self.channels, self.period, self.padding = channels, stride, padding
        self.state_channels = 3 * channels
        self.least = 2 * padding + 1
        self.edvr = EdvrExtractor(channels, frames=2 * padding + 1)
        self.spynet = SpyNet()
        self.backward_fusion = conv3x3(2 * channels, channels)
        self.backward_trunk = InputTrunk(channels + 3, channels, blocks)
        self.forward_fusion = conv3x3(2 * channels, channels)
        self.forward_trunk = InputTrunk(2 * channels + 3, channels, blocks)
        self.tail = Upsampler4(channels)

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR clip."""
        refill = self._keyframes(clip)
        to_next, to_last = clip_flows(self.spynet, clip)
        frames = clip.unbind(1)
        start = clip.new_zeros(len(clip), self.channels, *clip.shape[-2:])
        backward: list[Tensor] = []
        carried = start
        for i in reversed(range(len(frames))):
            if backward:
                carried = flow_warp(carried, to_next[i])
            if i in refill:
                carried = self.backward_fusion(torch.cat((carried, refill[i]), dim=1))
            carried = self.backward_trunk(torch.cat((frames[i], carried), dim=1))
            backward.insert(0, carried)
        outputs: list[Tensor] = []
        carried = start
        for i, frame in enumerate(frames):
            if i:
                carried = flow_warp(carried, to_last[i - 1])
            if i in refill:
                carried = self.forward_fusion(torch.cat((carried, refill[i]), dim=1))
            carried = self.forward_trunk(torch.cat((frame, backward[i], carried), dim=1))
            outputs.append(self.tail.reconstruct(carried) + upsample(frame, 4))
        return torch.stack(outputs, dim=1)

    def _keyframes(self, clip: Tensor) -> dict[int, Tensor]:
        last = clip.shape[1] - 1
        keys = sorted({*range(0, last + 1, self.period), last})
        return {i: self.edvr(clip[:, self._window(i, last)]) for i in keys}

    def _window(self, key: int, last: int) -> list[int]:
        """Return the frames around a keyframe; −1, −2 are 3, 4 (padding 2), and so at the end."""
        near = range(key - self.padding, key + self.padding + 1)
        inside = (self.padding - i if i < 0 else i for i in near)
        return [2 * last - self.padding - i if i > last else i for i in inside]
