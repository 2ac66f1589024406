"""What a recurrent network carries from frame to frame: checked, kept in a file, taken back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgevsr.errors import DataError, SourceError, SpecError
from edgevsr.files import write_bytes
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.streaming import fed_back, state_pairs

#: Arrays by role, `state_out:K`, `previous_frame` and `previous_sr`: the frame (H, W, C) as it was
#: given, the others in the layout and type of the file that is run, the SR as it came out.
State = dict[str, Array]

PREVIOUS_FRAME = "previous_frame"
PREVIOUS_SR = "previous_sr"
_MAX_BYTES = 1 << 30


def check_tied(graph: Graph, where: str) -> None:
    """Refuse an int8 network whose states or SR cannot be fed back as bytes.

    Raises:
        SourceError: such an input and its output differ in scale or zero point.
    """
    if not graph.quantized:
        return
    for name, output in fed_back(graph):
        given, made = graph.qparams[name], graph.qparams[output]
        if given != made:
            raise SourceError(
                f"{where}: output {output!r} has scale {made.scale:g}, zero point "
                f"{made.zero_point}, and the input {name!r} that it goes into has {given.scale:g}, "
                f"{given.zero_point}: its bytes cannot be fed back; quantize the float network "
                "with: edgevsr quantize SOURCE --calib CLIPS"
            )


def check_finite(graph: Graph, state: Mapping[str, Array], where: str) -> None:
    """Refuse a state that would poison every frame to come.

    Raises:
        SourceError: a state is not finite.
    """
    for _, output in state_pairs(graph):
        values = state[graph.roles[output]]
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise SourceError(
                f"{where}: state {output!r} holds NaN or infinity; it was forgotten, the next "
                "frame starts anew"
            )


def check_state(
    graph: Graph, nchw: bool, dtype: str, image_dtype: str, state: Mapping[str, Array]
) -> tuple[int, int]:
    """Return the (width, height) of the frames that a state from outside belongs to.

    `dtype` is that of states in the file that is run, `image_dtype` that of its frames.

    Raises:
        SpecError: an array is missing, unknown, or has another shape or type than the network
            takes, or holds NaN.
    """
    pairs = state_pairs(graph)
    roles = {graph.roles[output]: (output, dtype) for _, output in pairs}
    taken = set(graph.roles.values())
    if PREVIOUS_SR in taken:
        roles[PREVIOUS_SR] = (graph.output_of("sr"), image_dtype)
    expected = set(roles)
    if taken & {PREVIOUS_FRAME, PREVIOUS_SR}:
        expected.add(PREVIOUS_FRAME)
    if not expected:
        raise SpecError("state: this network carries none; use a recurrent one")
    if set(state) - {PREVIOUS_FRAME} != set(roles) or not expected <= set(state):
        raise SpecError(
            f"state: expected {', '.join(sorted(expected))}, "
            f"got {', '.join(sorted(state)) or 'nothing'}"
        )
    frame = state.get(PREVIOUS_FRAME)
    if frame is not None and (frame.ndim != 3 or frame.shape[2] != graph.channels):
        raise SpecError(
            f"state: {PREVIOUS_FRAME} has shape {frame.shape}, expected (H, W, {graph.channels})"
        )
    size = None if frame is None else (frame.shape[1], frame.shape[0])
    for role, (name, wanted) in roles.items():
        array = state[role]
        height, width = _sides(array, nchw)
        size = size or (width, height)
        shape = graph.shape(name, size)
        if nchw:
            shape = (shape[0], shape[3], shape[1], shape[2])
        if array.shape != shape or array.dtype != np.dtype(wanted):
            raise SpecError(
                f"state: {role} is {array.shape} of {array.dtype}, expected {shape} of {wanted} "
                f"for frames of {size[0]}x{size[1]}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise SpecError(f"state: {role} holds NaN or infinity; start without a state")
    assert size is not None
    return size


def _sides(array: Array, nchw: bool) -> tuple[int, int]:
    if array.ndim != 4:
        return 1, 1
    return array.shape[2:] if nchw else array.shape[1:3]


def write_state(path: Path, state: Mapping[str, Array], force: bool = False) -> None:
    """Write a state as .npz, whole or not at all.

    Raises:
        OutputError: the output exists, or the disk is full or not writable.
    """
    data = io.BytesIO()
    arrays: dict[str, Array] = dict(state)
    np.savez(data, allow_pickle=False, **arrays)
    write_bytes(path, data.getvalue(), force)


def read_state(path: Path) -> State:
    """Return the state in a .npz file.

    Raises:
        DataError: the file is missing, damaged, or too large to be a state.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_BYTES:
                raise DataError(f"{path}: more than {_MAX_BYTES >> 20} MiB; not a state")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path}: not a state that can be read ({error})") from error
