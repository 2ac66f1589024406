"""Networks that others learn from: our own, the literature's, and what spandrel reads.

A teacher sees whole clips in RGB, as they are in the training data, and answers frame by frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgevsr.errors import EdgeVsrError, SourceError, SpecError, missing_extra, nearest
from edgevsr.files import CHECKPOINT, sha256_of
from edgevsr.nets.checkpoint import load_net
from edgevsr.nets.features import FeatureTap, find_features
from edgevsr.nets.narrow_form import open_narrow
from edgevsr.nets.ops import Net, RecurrentNet
from edgevsr.nets.references.base import Reference, luma
from edgevsr.nets.references.catalogue import SYSTEMS, find_system, is_reference
from edgevsr.nets.references.loading import load_reference, read_weights
from edgevsr.nets.references.running import stream
from edgevsr.nets.references.trainable import ReferenceNet
from edgevsr.spec import Colour

_TILE = 192
_TILE_OVERLAP = 16


@dataclass(frozen=True)
class TeacherId:
    """What tells one teacher from another, and what it takes: all that a run records of it."""

    name: str
    sha256: str
    scale: int
    colour: Colour
    least: int = 1


class Teacher(ABC):
    """A network that others learn from; `least` is the fewest frames of a clip it takes."""

    def __init__(self, identity: TeacherId, module: torch.nn.Module) -> None:
        self.identity, self.module = identity, module.eval().requires_grad_(False)

    @abstractmethod
    def answer(self, clip: Tensor) -> Iterator[Tensor]:
        """Yield the SR (C, sH, sW) of each frame of a clip (T, C, H, W) in [0, 1], not clipped."""

    def to(self, device: torch.device) -> None:
        """Move the network to where clips will be."""
        self.module.to(device)

    @torch.no_grad()
    def teach(self, clip: Tensor, tap: FeatureTap | None = None) -> Iterator[tuple[Tensor, ...]]:
        """Yield the SR of each frame of an RGB clip (T, 3, H, W), and its features with a `tap`."""
        given = luma(clip) if self.identity.colour == "y" else clip
        if tap is None:
            yield from ((sr,) for sr in self.answer(given))
            return
        height, width = clip.shape[-2:]
        with tap.open() as features:
            for sr in self._beside(given, tap):
                yield sr, features.popleft()[:, :height, :width]

    def _beside(self, clip: Tensor, tap: FeatureTap) -> Iterator[Tensor]:
        """Yield the SR of each frame while the tap's first is of the same frame."""
        del tap
        yield from self.answer(clip)

    def find_tap(self) -> FeatureTap:
        """Return a tap on the features that each frame's SR is made of.

        Raises:
            SpecError: the network has none at LR size.
        """
        size, frames = (16, 16), max(self.identity.least, 2)
        device = next(self.module.parameters()).device
        channels = 1 if self.identity.colour == "y" else 3
        clip = torch.zeros(frames, channels, *size, device=device)
        tap = find_features(self.module, lambda: list(self.answer(clip)), size)
        if tap is None or not self._fits(tap, clip):
            raise SpecError(
                f"--teacher {self.identity.name}: has no features at LR size to learn from; leave "
                "--feature-weight out"
            )
        return tap

    @torch.no_grad()
    def _fits(self, tap: FeatureTap, clip: Tensor) -> bool:
        """Whether the tap gives one frame's features with each frame's SR."""
        with tap.open() as features:
            for _ in self._beside(clip, tap):
                if not features:
                    return False
                features.popleft()
            return not features


class OwnTeacher(Teacher):
    """A network of this project, run through its narrow weights."""

    module: Net

    def answer(self, clip: Tensor) -> Iterator[Tensor]:
        """Yield each frame's SR, the state of a recurrent network carried along."""
        net = self.module
        if not isinstance(net, RecurrentNet):
            yield from (net(frame[None])[0] for frame in clip)
            return
        before: dict[str, Tensor] = {}
        for frame in clip[:, None]:
            before = net.step(frame, before)
            yield before["sr"][0]


class ReferenceTeacher(Teacher):
    """A system of the literature; long clips are run in pieces that overlap."""

    module: Reference

    def answer(self, clip: Tensor) -> Iterator[Tensor]:
        """Yield each frame's SR; of a network that doubles the frame rate, the clip's frames."""
        return self._streamed(clip, None)

    def _beside(self, clip: Tensor, tap: FeatureTap) -> Iterator[Tensor]:
        return self._streamed(clip, tap)

    def _streamed(self, clip: Tensor, tap: FeatureTap | None) -> Iterator[Tensor]:
        beside = None if tap is None else tap.frames
        rate = find_system(self.identity.name).frame_rate
        for index, sr in enumerate(stream(self.module, clip, beside=beside)):
            if index % rate == 0:
                yield sr
            elif beside is not None:
                beside.popleft()


class SpandrelTeacher(Teacher):
    """A single-image network that spandrel knows, run on tiles that overlap."""

    def __init__(self, identity: TeacherId, descriptor: Any) -> None:
        super().__init__(identity, descriptor.model)
        self._descriptor = descriptor

    def answer(self, clip: Tensor) -> Iterator[Tensor]:
        """Yield each frame's SR."""
        for frame in clip:
            yield self._tiled(frame[None])[0]

    def _tiled(self, frame: Tensor) -> Tensor:
        scale, (height, width) = self.identity.scale, frame.shape[-2:]
        sr = frame.new_empty(1, frame.shape[1], height * scale, width * scale)
        for top in range(0, height, _TILE):
            for left in range(0, width, _TILE):
                y0, x0 = max(top - _TILE_OVERLAP, 0), max(left - _TILE_OVERLAP, 0)
                bottom, right = min(top + _TILE, height), min(left + _TILE, width)
                tile = frame[..., y0 : bottom + _TILE_OVERLAP, x0 : right + _TILE_OVERLAP]
                out = self._descriptor(tile)
                rows = slice((top - y0) * scale, (bottom - y0) * scale)
                columns = slice((left - x0) * scale, (right - x0) * scale)
                sr[..., top * scale : bottom * scale, left * scale : right * scale] = out[
                    ..., rows, columns
                ]
        return sr

    def find_tap(self) -> FeatureTap:
        """Refuse: networks that others describe do not say where their features are."""
        raise SpecError(
            f"--teacher {self.identity.name}: spandrel's networks teach by their output alone; "
            "leave --feature-weight out"
        )


def open_teacher(source: str, weights: Path | None = None) -> Teacher:
    """Return the teacher that `source` names: a reference's name with its published `weights`, a
    run folder, checkpoint or narrow float .onnx of this project, or another single-image checkpoint
    (spandrel).

    Raises:
        SpecError: a reference without weights, or weights for what brings its own.
        SourceError: no such file, or it is damaged or of no known architecture.
        EdgeVsrError: spandrel is needed and not installed.
    """
    if is_reference(source):
        if weights is None:
            raise SpecError(
                f"--teacher {source}: nothing is shipped for it; give its published checkpoint "
                "with --weights"
            )
        return _reference(source, weights)
    if weights is not None:
        raise SpecError(
            f"--weights {weights}: --teacher {source} is no reference{nearest(source, SYSTEMS)}; "
            "weights are for the names of: edgevsr list references"
        )
    path = Path(source)
    path = path / CHECKPOINT if path.is_dir() else path
    if not path.is_file():
        raise SourceError(
            f"--teacher {source}: no such file, shipped network or reference"
            f"{nearest(source, SYSTEMS)}; expected a run folder, a checkpoint, or a name of: "
            "edgevsr list zoo, edgevsr list references"
        )
    return _own(path) if path.suffix == ".onnx" or _is_own(path) else _foreign(path)


def _reference(name: str, weights: Path) -> ReferenceTeacher:
    system = find_system(name)
    net = load_reference(name, weights)
    identity = TeacherId(system.name, sha256_of(weights), net.scale, "rgb", net.least)
    return ReferenceTeacher(identity, net)


def _own(path: Path) -> Teacher:
    net = open_narrow(path) if path.suffix == ".onnx" else load_net(path)[0]
    spec, digest = net.spec, sha256_of(path)
    if isinstance(net, ReferenceNet):
        least = net.reference.least
        return ReferenceTeacher(TeacherId(spec.name, digest, 4, "rgb", least), net.reference)
    return OwnTeacher(TeacherId(spec.name, digest, spec.scale, spec.colour), net)


def _is_own(path: Path) -> bool:
    """Whether the file says that this project wrote it."""
    from edgevsr.nets.checkpoint import METADATA_KEY

    if path.suffix != ".safetensors":
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise SourceError(f"{path}: not a readable safetensors checkpoint ({error})") from error


def _foreign(path: Path) -> SpandrelTeacher:
    """Return the network of a checkpoint that spandrel recognises by its weights' names.

    The file is read here, by torch's reader of tensors alone, never by spandrel's own.
    """
    tensors = read_weights(path)
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict
    except ModuleNotFoundError as error:
        raise missing_extra(
            str(error.name), "teachers", f"--teacher {path}, a checkpoint of another project,"
        ) from error
    except (ImportError, RuntimeError) as error:  # a torchvision that torch does not fit
        reason = " ".join(str(error).split())[:120]
        raise EdgeVsrError(
            f"--teacher {path}: spandrel cannot be imported ({reason}); install the torchvision "
            "that belongs to this torch"
        ) from error
    try:
        found = ModelLoader("cpu").load_from_state_dict(canonicalize_state_dict(tensors))
    except Exception as error:  # builders of many architectures raise many kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise SourceError(
            f"--teacher {path}: spandrel knows no architecture with these weights ({reason}); for "
            "a reference give its name with --weights, see: edgevsr list references"
        ) from error
    if not isinstance(found, ImageModelDescriptor) or found.purpose != "SR":
        raise SourceError(
            f"--teacher {path}: is {found.architecture.name}, not a network for super-resolution"
        )
    channels = found.input_channels, found.output_channels
    if channels not in ((1, 1), (3, 3)):
        raise SourceError(f"--teacher {path}: has channels {channels}; expected (1, 1) or (3, 3)")
    colour: Colour = "y" if channels == (1, 1) else "rgb"
    name = f"{found.architecture.name} ({path.name})"
    return SpandrelTeacher(TeacherId(name, sha256_of(path), found.scale, colour), found)
