"""What a step differentiates: a network's forward, and the loss of what it gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.nets.ops import Net

#: Keeps the root's slope finite where nothing is wrong: a quarter of an 8-bit step, squared.
_LEAST_SQUARE = 1e-6


def _patch_rms(sr: Tensor, hr: Tensor) -> Tensor:
    squares = (sr - hr).square().mean((-3, -2, -1))
    return (squares + _LEAST_SQUARE).sqrt().mean()


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "rms": _patch_rms,
}


class Loss(nn.Module):
    """The difference of SR and HR: its mean size ("l1"), its mean square ("l2"), or the root of
    each patch's mean square, averaged ("rms"), which lies between: a PSNR is of one picture."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.distance = _DISTANCES[kind]

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar."""
        return self.distance(sr, hr)


class Learner(nn.Module):
    """A network under training with its loss, in one module so that processes share both.

    `forward_net` is the module whose forward is trained: the net itself, or what wraps it.
    Parameters are named `net.…`, then `loss.…`, then `forward_net.…` for what a wrapper adds. Of
    clips longer than `frames` (0: none) only the last so many frames are learned from.
    """

    def __init__(
        self,
        net: Net,
        loss: Loss,
        forward_net: nn.Module | None = None,
        window: int = 0,
        frames: int = 0,
    ) -> None:
        super().__init__()
        self.net, self.loss = net, loss
        self.forward_net: nn.Module = net if forward_net is None else forward_net
        self.window, self.frames = window, frames

    def forward(self, lr: Tensor, *truth: Tensor) -> Tensor:
        """Return the loss of frames or clips; `truth` is HR and whatever else the loss takes."""
        before = lr.shape[1] - self.frames if self.frames else 0
        options = {"window": self.window} if self.window else {}
        if before:
            truth = tuple(each[:, before:] for each in truth)
            options["burn_in"] = before
        sr = self.forward_net(lr, **options)
        loss: Tensor = self.loss(sr.float(), *truth)
        return loss
