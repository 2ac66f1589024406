"""Losses that a teacher adds: its output beside HR, and its features through a projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.errors import SpecError
from edgevsr.nets.features import find_features
from edgevsr.nets.ops import Net
from edgevsr.training.config import TrainConfig
from edgevsr.training.learner import Loss
from edgevsr.training.lessons import Lessons

_PROBE = (16, 16)


class TaughtLoss(Loss):
    """(1 − w)·d(SR, HR) + w·d(SR, teacher's SR) + v·|P(features) − teacher's features|.

    w is the config's `teacher_weight`, v its `feature_weight`. P is a 1×1 convolution, trained
    along and dropped with the run: it maps what the net's last layer at LR size is given to what
    the teacher's is, whose channels are each divided by their standard deviation. Collapse leaves
    those features as they are, so this fits every net here.

    Source: Hinton et al., 2015, for the output; FitNets, Romero et al., ICLR 2015, for features.
    """

    spread: Tensor

    def __init__(self, config: TrainConfig, net: Net, lessons: Lessons) -> None:
        super().__init__(config.loss)
        self.share, self.feature_weight = config.teacher_weight, config.feature_weight
        if not self.feature_weight:
            return
        probe = torch.zeros(1, 2, net.spec.channels, *_PROBE)
        tap = find_features(net, lambda: net(probe), _PROBE)
        if tap is None:
            raise SpecError(
                f"--feature-weight: {net.spec.name} has no features at LR size; leave it out"
            )
        self.projection = nn.Conv2d(tap.channels, lessons.feature_channels, 1)
        self.register_buffer("spread", lessons.feature_spread(), persistent=False)
        self._given: list[Tensor] = []
        tap.layer.register_forward_pre_hook(self._keep)

    def forward(self, sr: Tensor, *truth: Tensor) -> Tensor:
        """Return the loss of SR to HR, the teacher's SR and, where they count, its features."""
        hr, taught, *features = truth
        to_hr, to_teacher = self.distance(sr, hr), self.distance(sr, taught)
        loss = torch.lerp(to_hr, to_teacher, self.share)
        if features:
            loss = loss + self.feature_weight * self._feature_distance(features[0])
        return loss

    def _keep(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        del layer
        if torch.is_grad_enabled():
            self._given.append(given[0])

    def _feature_distance(self, taught: Tensor) -> Tensor:
        """Return the mean difference of projected features and the teacher's, frame by frame."""
        # A recurrent net's layer is called frame by frame, another's once for all frames.
        own = torch.stack(self._given, 1).flatten(0, 1)
        self._given.clear()
        target = taught.flatten(0, -4) / self.spread[:, None, None]
        return F.l1_loss(self.projection(own).float(), target)
