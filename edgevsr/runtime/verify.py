"""Proof that a file computes what its source computes, in the runtime that will run it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevsr.errors import SourceError
from edgevsr.graph.half import half_weights, has_half_weights
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.streaming import Tensors, inputs_by_role, is_recurrent, stream
from edgevsr.runtime.compare import (
    LayerError,
    Size,
    layer_errors,
    max_abs,
    max_lsb,
    psnr_of,
    run_model_by_role,
)
from edgevsr.runtime.frames import codes_of
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import noise_frame, picture_frame
from edgevsr.runtime.streams import StreamError, stream_error
from edgevsr.runtime.tiling import alignment

MAX_ABS_ERR = 0.01 / 255
MAX_LSB_REFERENCE = 0
MAX_LSB_LAYER = 1
MIN_PSNR_REFERENCE_DB = 50.0
MIN_PSNR_SOURCE_DB = 45.0
#: Of made-up streams of networks that see their own SR before, where one code's difference comes
#: back, and most where strokes are finer than any lens draws.
MIN_PSNR_ALIGNED_DB = 46.0
#: Of int16 activations against their float network: rounding to 1/128 of an 8-bit level.
MIN_PSNR_INT16_DB = 65.0
#: From the first settled frames of a stream to its last, beyond what the picture's change explains.
MAX_STREAM_FALL_DB = 1.0

#: Checks run at the file's own size up to this one. Above, they run on a part of it (LiteRT's
#: reference kernels take a minute for a 1080p frame) and the file's own size is run once.
_CHECK_SIZE = (192, 108)
_MAX_OWN_PIXELS = 1920 * 1088
#: Frames in a row for a recurrent network, so that its state is carried.
_RECURRENT_FRAMES = 3


@dataclass(frozen=True)
class Check:
    """One thing that was measured, and its bound; `value` is None when it is infinite."""

    name: str
    value: float | None
    bound: float
    passed: bool


@dataclass(frozen=True)
class Verification:
    """What was measured; None where it does not apply to the kind of file, or is infinite.

    `stream` is of recurrent networks.
    """

    runtime: str
    backend: str
    how_resized: str | None
    sizes: tuple[Size, ...]
    checks: tuple[Check, ...]
    max_abs_err: float | None = None
    max_lsb_reference: int | None = None
    max_lsb_runtime: int | None = None
    max_lsb_layer: int | None = None
    psnr_reference_db: float | None = None
    psnr_source_db: float | None = None
    layers: tuple[LayerError, ...] = ()
    stream: StreamError | None = None

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class _Clip:
    """Frames (1, H, W, C) uint8 in a row: several for a recurrent network, else one."""

    kind: str
    size: Size
    frames: tuple[Array, ...]


def verify_file(
    path: Path,
    source: Graph,
    *,
    runtime: str | None = None,
    threads: int | None = None,
    frames: Sequence[Array] | None = None,
) -> Verification:
    """Run a .tflite or .onnx file on noise and on picture-like frames and compare.

    A float file must agree with a float source, its weights rounded to float16 where the file keeps
    them so, within 0.01/255. An int8 file must equal the
    integer reference (of its source when that is int8, else of itself) with LiteRT's reference
    kernels, stay within 1 LSB a layer in its own runtime, reach 50 dB against the reference end to
    end, and 45 dB against a float source. An int16 one must reach 65 dB against its own weights in
    float, and is not streamed. A recurrent file must do so as a stream of 100 frames too, on its
    own state, without getting worse: of a made-up picture, or of `frames` (H, W, C), a clip of
    8-bit LR frames.

    Raises:
        SourceError: the file cannot be read, or is not a form of the source.
        DeviceError: the runtime is missing or failed.
    """
    model = SrModel.open(path, runtime=runtime, threads=threads)
    _check_same_net(path, model.graph, source)
    size, own = _sizes(model.graph)
    clips = [_clip("picture", model.graph, size), _clip("noise", model.graph, size)]
    if own is not None:
        clips.append(_clip("own size", model.graph, own))
    if has_int16(model.graph):
        return _verify_int16(model, source, clips)
    if model.graph.quantized:
        return _verify_int8(model, path, source, clips, frames)
    if has_half_weights(model.graph):
        source = half_weights(source)
    return _verify_float(model, source, clips, frames)


def _check_same_net(path: Path, graph: Graph, source: Graph) -> None:
    """Refuse a file that cannot be a form of the source."""
    if not graph.quantized and source.quantized:
        raise SourceError(
            f"{path}: is float but --against is int8; give the float source it was exported from"
        )
    facts = {
        "scale": (graph.scale, source.scale),
        "image channels": (graph.channels, source.channels),
        "inputs": (_roles(graph, graph.inputs), _roles(source, source.inputs)),
        "outputs": (_roles(graph, graph.outputs), _roles(source, source.outputs)),
    }
    for what, (found, expected) in facts.items():
        if found != expected:
            raise SourceError(
                f"{path}: is not a form of this source: {what} {found}, expected {expected}; "
                "give --against the source it was exported from"
            )


def _roles(graph: Graph, names: tuple[str, ...]) -> str:
    return ", ".join(sorted(graph.roles[name] for name in names))


def _sizes(graph: Graph) -> tuple[Size, Size | None]:
    """Return the size of the checks, and the file's own where it is larger and not too large."""
    align = alignment(graph)
    own = graph.size or _CHECK_SIZE
    width, height = (
        max(min(length, limit) // align, 1) * align
        for length, limit in zip(own, _CHECK_SIZE, strict=True)
    )
    larger = graph.size is not None and own != (width, height)
    return (width, height), own if larger and own[0] * own[1] <= _MAX_OWN_PIXELS else None


def _clip(kind: str, graph: Graph, size: Size) -> _Clip:
    length = _RECURRENT_FRAMES if is_recurrent(graph) else 1
    make = noise_frame if kind == "noise" else picture_frame
    frames = (make(size, graph.channels, seed)[None] for seed in range(length))
    return _Clip(kind, size, tuple(frames))


def _as_values(frame: Array) -> Array:
    return (frame / 255.0).astype(np.float32)


def _steps(reference: Graph, clip: _Clip) -> Iterator[tuple[Tensors, Tensors]]:
    """Yield the reference's inputs and outputs, by role, for every frame; its state goes on."""
    encode = codes_of if reference.quantized else _as_values
    return stream(reference, map(encode, clip.frames))


def _verify_float(
    model: SrModel, source: Graph, clips: list[_Clip], frames: Sequence[Array] | None
) -> Verification:
    worst = 0.0
    for clip in clips:
        for inputs, expected in _steps(source, clip):
            actual = run_model_by_role(model, clip.size, inputs)
            worst = max(worst, *(max_abs(actual[role], expected[role]) for role in expected))
    checks = [Check("max_abs_err", _finite(worst), MAX_ABS_ERR, worst <= MAX_ABS_ERR)]
    streamed = stream_error(model, source, frames=frames) if is_recurrent(source) else None
    if streamed is not None and (error := streamed.max_abs_err) is not None:
        checks.append(Check("max_abs_err_stream", error, MAX_ABS_ERR, error <= MAX_ABS_ERR))
    return Verification(
        model.runtime,
        model.backend,
        model.how_resized,
        _sizes_of(clips),
        tuple(checks),
        max_abs_err=_finite(worst),
        stream=streamed,
    )


def _verify_int16(model: SrModel, source: Graph, clips: list[_Clip]) -> Verification:
    """Judge the file against its own weights in float, and against the float source."""
    own = min(_psnr_of_sr(model, model.graph, clip) for clip in clips)
    against_source = _psnr_of_sr(model, source, clips[0])
    checks = (
        _psnr_check("psnr_reference_db", own, MIN_PSNR_INT16_DB),
        _psnr_check("psnr_source_db", against_source, MIN_PSNR_SOURCE_DB),
    )
    return Verification(
        model.runtime,
        model.backend,
        model.how_resized,
        _sizes_of(clips),
        checks,
        psnr_reference_db=_finite(own),
        psnr_source_db=_finite(against_source),
    )


def _psnr_of_sr(model: SrModel, reference: Graph, clip: _Clip) -> float:
    """Return the lowest PSNR of a clip's SR against a float graph, each on its own state."""
    model.reset()
    worst = float("inf")
    for pixels, (_, expected) in zip(clip.frames, _steps(reference, clip), strict=True):
        sr = model.upscale(_as_values(pixels)[0])
        worst = min(worst, psnr_of(sr, np.clip(expected["sr"][0], 0, 1), 1.0))
    return worst


def _verify_int8(
    model: SrModel,
    path: Path,
    source: Graph,
    clips: list[_Clip],
    frames: Sequence[Array] | None,
) -> Verification:
    picture = clips[0]
    reference = source if source.quantized else model.graph
    judge = SrModel.open(path, runtime="litert-reference")
    judged = lsb_runtime = 0
    psnr_reference = psnr_source = float("inf")
    for clip in clips:
        for inputs, expected in _steps(reference, clip):
            actual = run_model_by_role(model, clip.size, inputs)
            lsb_runtime = max(lsb_runtime, _worst_lsb(actual, expected))
            psnr_reference = min(psnr_reference, psnr_of(actual["sr"], expected["sr"], 255.0))
            if clip.kind != "own size":
                outputs = run_model_by_role(judge, clip.size, inputs)
                judged = max(judged, _worst_lsb(outputs, expected))
    if not source.quantized:
        psnr_source = _psnr_against_float(model, source, picture)
    layers = layer_errors(model, codes_of(picture.frames[0]))
    worst_layer = max(layer.max_lsb for layer in layers)
    checks = [
        Check("max_lsb_reference", judged, MAX_LSB_REFERENCE, judged <= MAX_LSB_REFERENCE),
        Check("max_lsb_layer", worst_layer, MAX_LSB_LAYER, worst_layer <= MAX_LSB_LAYER),
        _psnr_check("psnr_reference_db", psnr_reference, MIN_PSNR_REFERENCE_DB),
    ]
    if not source.quantized:
        checks.append(_psnr_check("psnr_source_db", psnr_source, MIN_PSNR_SOURCE_DB))
    streamed = stream_error(model, reference, judge, frames) if is_recurrent(reference) else None
    if streamed is not None:
        aligned = "previous_sr" in reference.roles.values() and frames is None
        bound = MIN_PSNR_ALIGNED_DB if aligned else MIN_PSNR_REFERENCE_DB
        checks += _stream_checks(streamed, bound)
    return Verification(
        model.runtime,
        model.backend,
        model.how_resized,
        _sizes_of(clips),
        tuple(checks),
        max_lsb_reference=judged,
        max_lsb_runtime=lsb_runtime,
        max_lsb_layer=worst_layer,
        psnr_reference_db=_finite(psnr_reference),
        psnr_source_db=_finite(psnr_source),
        layers=layers,
        stream=streamed,
    )


def _stream_checks(found: StreamError, least_db: float) -> list[Check]:
    lsb = found.max_lsb_reference or 0
    psnr = float("inf") if found.psnr_db is None else found.psnr_db
    fall = found.fall_db
    return [
        Check("max_lsb_stream", lsb, MAX_LSB_REFERENCE, lsb <= MAX_LSB_REFERENCE),
        _psnr_check("psnr_stream_db", psnr, least_db),
        Check("psnr_stream_fall_db", fall, MAX_STREAM_FALL_DB, fall <= MAX_STREAM_FALL_DB),
    ]


def _worst_lsb(actual: Tensors, expected: Tensors) -> int:
    return max(max_lsb(actual[role], codes) for role, codes in expected.items())


def _psnr_against_float(model: SrModel, source: Graph, clip: _Clip) -> float:
    """Return the lowest PSNR of the int8 file against its float source, each on its own state."""
    graph, before, worst = model.graph, Tensors(), float("inf")
    image = graph.qparams[graph.output_of("sr")]
    for pixels, (_, expected) in zip(clip.frames, _steps(source, clip), strict=True):
        frame = codes_of(pixels)
        outputs = run_model_by_role(model, clip.size, inputs_by_role(graph, frame, before))
        before = {**outputs, "frame": frame}
        sr = np.clip(image.dequantize(outputs["sr"]), 0, 1)
        worst = min(worst, psnr_of(sr, np.clip(expected["sr"], 0, 1), 1.0))
    return worst


def _psnr_check(name: str, value: float, bound: float) -> Check:
    return Check(name, _finite(value), bound, value >= bound)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _sizes_of(clips: list[_Clip]) -> tuple[Size, ...]:
    return tuple(dict.fromkeys(clip.size for clip in clips))
