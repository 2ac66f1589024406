"""A reference as a teacher: its outputs for a clip, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgevsr.errors import DataError
from edgevsr.files import atomic_path, sha256_of
from edgevsr.nets.references.base import Reference
from edgevsr.nets.references.catalogue import find_system
from edgevsr.nets.references.loading import load_reference
from edgevsr.nets.references.running import stream

#: Codes of a teacher's frame: 16 bits, so that what a student learns is not 8-bit rounding.
TEACHER_UNIT = 65535

_LAYOUT = 1


@dataclass(frozen=True)
class Teacher:
    """A reference network and its checkpoint; the weights are read when first needed."""

    name: str
    weights: Path

    @cached_property
    def net(self) -> Reference:
        """The network, ready to run.

        Raises:
            SpecError: no reference of that name.
            SourceError: the checkpoint does not fit or is damaged.
        """
        return load_reference(self.name, self.weights)

    @cached_property
    def identity(self) -> str:
        """What tells this teacher from another: its name and the checkpoint's SHA-256."""
        return f"{find_system(self.name).name}-{sha256_of(self.weights)}"


def teacher_outputs(clip: NDArray[np.uint8], teacher: Teacher, cache: Path) -> NDArray[np.uint16]:
    """Return the teacher's SR (T, 4H, 4W, 3), 0 to 65535, of an 8-bit RGB clip (T, H, W, 3).

    The result is kept in `cache` under a name made of the teacher and the clip's pixels, and is
    mapped from there, not read into memory.

    Raises:
        DataError: the clip has fewer frames than the teacher needs, or is not RGB.
        OutputError: the cache cannot be written.
    """
    if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8:
        raise DataError(
            f"the teacher's clip is {clip.dtype} of shape {clip.shape}; expected uint8 (T, H, W, 3)"
        )
    path = cache / f"teacher-{_key(clip, teacher)}.npy"
    stored = _stored(path)
    if stored is not None:
        return stored
    net = teacher.net
    frames = torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2)))
    codes = [_codes(sr) for sr in stream(net, (frame.float() / 255.0 for frame in frames))]
    with atomic_path(path, force=True) as temporary, temporary.open("wb") as file:
        # A network that doubles the frame rate teaches the frames that the clip has.
        np.save(file, np.stack(codes[:: find_system(teacher.name).frame_rate]))
    stored = _stored(path)
    assert stored is not None
    return stored


def _codes(sr: torch.Tensor) -> NDArray[np.uint16]:
    values = (sr.clamp(0.0, 1.0) * TEACHER_UNIT).round().permute(1, 2, 0)
    codes: NDArray[np.uint16] = values.cpu().numpy().astype(np.uint16)
    return codes


def _key(clip: NDArray[np.uint8], teacher: Teacher) -> str:
    digest = hashlib.sha256(f"{_LAYOUT} {teacher.identity} {clip.shape} ".encode())
    digest.update(np.ascontiguousarray(clip).data)
    return digest.hexdigest()[:32]


def _stored(path: Path) -> NDArray[np.uint16] | None:
    """Return a kept result, or None where there is none or it is damaged."""
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return codes if codes.dtype == np.uint16 and codes.ndim == 4 else None
