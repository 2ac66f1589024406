"""A reference as a network that the training loop takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from edgevsr.errors import SpecError
from edgevsr.nets.ops import Net, Ops
from edgevsr.nets.references.catalogue import find_system
from edgevsr.nets.references.loading import build_reference
from edgevsr.spec import NetSpec

T = TypeVar("T")


class ReferenceNet(Net):
    """A system of the literature under training, on RGB; it has no form to collapse to."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.reference = build_reference(spec.name)
        self.frame_rate = find_system(spec.name).frame_rate

    def describe(self, ops: Ops[T], given: Mapping[str, T]) -> dict[str, T]:
        """Refuse: what such a system is made of is not written in a graph's operations."""
        del ops, given
        name = self.spec.name
        raise SpecError(
            f"{name}: a reference does not collapse and is not exported; run it with --net {name} "
            "--weights RUN/checkpoint.safetensors"
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return the SR of clips (N, T, 3, H, W), or of frames (N, 3, H, W), each a clip of one.

        Of a system that doubles the frame rate, the frames that the clip has.

        Raises:
            DataError: the clips have fewer frames than the system needs.
        """
        if frames.dim() == 4:
            return self.forward(frames[:, None])[:, 0]
        sr: Tensor = self.reference(frames)
        return sr[:, :: self.frame_rate]
