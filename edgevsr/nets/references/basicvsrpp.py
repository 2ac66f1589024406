"""BasicVSR++: second-order grid propagation, deformable alignment guided by flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgevsr.nets.references.base import Bidirectional
from edgevsr.nets.references.deformable import ModulatedDeformConv, start_at_zero
from edgevsr.nets.references.parts import InputTrunk, Upsampler4, conv3x3, upsample
from edgevsr.nets.references.spynet import SpyNet, clip_flows
from edgevsr.nets.references.warping import flow_warp

_BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
_REACH = 10.0
_GROUPS = 16


class FlowGuidedAlignment(ModulatedDeformConv):
    """Aligns the features of one and two frames ago; offsets are the flows and a residue.

    Source: BasicVSR++, Chan et al., CVPR 2022, section 3.2.
    """

    def __init__(self, channels: int) -> None:
        last = conv3x3(channels, 27 * _GROUPS)
        start_at_zero(last)
        layers: list[nn.Module] = [conv3x3(3 * channels + 4, channels), nn.LeakyReLU(0.1)]
        for _ in range(2):
            layers += [conv3x3(channels, channels), nn.LeakyReLU(0.1)]
        super().__init__(channels, _GROUPS, 2 * channels, nn.Sequential(*layers, last))

    def align(self, pair: Tensor, guide: Tensor, flows: tuple[Tensor, Tensor]) -> Tensor:
        """Return (N, C, H, W) of both features (N, 2C, H, W), the guide and their flows."""
        residue, mask = self.split(self.conv_offset(torch.cat((guide, *flows), dim=1)))
        # Flows are x before y, offsets y before x.
        each = residue.shape[1] // 4
        along = torch.cat([flow.flip(1).repeat(1, each, 1, 1) for flow in flows], dim=1)
        return self.convolve(pair, _REACH * torch.tanh(residue) + along, mask)


class BasicVsrPlusPlus(Bidirectional):
    """Four branches pass over the clip in turn, each seeing what the ones before it found.

    Source: Chan et al., CVPR 2022.
    """

    def __init__(self, channels: int = 64, blocks: int = 7) -> None:
        super().__init__()
        self.channels, self.state_channels = channels, 6 * channels
        self.spynet = SpyNet()
        self.feat_extract = InputTrunk(3, channels, 5)
        self.deform_align = nn.ModuleDict(
            {name: FlowGuidedAlignment(channels) for name in _BRANCHES}
        )
        self.backbone = nn.ModuleDict(
            {
                name: InputTrunk((2 + i) * channels, channels, blocks)
                for i, name in enumerate(_BRANCHES)
            }
        )
        self.reconstruction = InputTrunk(5 * channels, channels, 5)
        self.tail = Upsampler4(channels)

    def super_resolve(self, clip: Tensor) -> Tensor:
        """Return the SR clip."""
        frames = clip.unbind(1)
        to_next, to_last = clip_flows(self.spynet, clip)
        found = [[self.feat_extract(frame)] for frame in frames]
        for name in _BRANCHES:
            backward = name.startswith("backward")
            order = list(range(len(frames)))
            if backward:
                order, flows = order[::-1], to_next[::-1]
            else:
                flows = to_last
            branch = self._propagate(name, [found[i] for i in order], flows)
            for i, features in zip(order, branch, strict=True):
                found[i].append(features)
        outputs = []
        for frame, branches in zip(frames, found, strict=True):
            x = self.reconstruction(torch.cat(branches, dim=1))
            outputs.append(self.tail.reconstruct(x) + upsample(frame, 4))
        return torch.stack(outputs, dim=1)

    def _propagate(self, name: str, found: list[list[Tensor]], flows: list[Tensor]) -> list[Tensor]:
        """Return the branch's features, in the order in which it passes over the frames."""
        n, _, height, width = found[0][0].shape
        zero = found[0][0].new_zeros(n, self.channels, height, width)
        still = zero.new_zeros(n, 2, height, width)
        carried, out = zero, list[Tensor]()
        for i, known in enumerate(found):
            if i:
                flow1 = flows[i - 1]
                warped1, before, flow2, warped2 = flow_warp(carried, flow1), zero, still, zero
                if i > 1:
                    before = out[-2]
                    flow2 = flow1 + flow_warp(flows[i - 2], flow1)
                    warped2 = flow_warp(before, flow2)
                guide = torch.cat((warped1, known[0], warped2), dim=1)
                pair = torch.cat((carried, before), dim=1)
                align = self.deform_align[name]
                assert isinstance(align, FlowGuidedAlignment)
                carried = align.align(pair, guide, (flow1, flow2))
            carried = carried + self.backbone[name](torch.cat((*known, carried), dim=1))
            out.append(carried)
        return out
