"""A recurrent file run as a stream, each side on its own state: nothing may add up over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.streaming import stream
from edgevsr.runtime.frames import codes_of, pixels_of
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import camera_frames, moving_frames
from edgevsr.runtime.tiling import alignment

FRAMES = 100
#: The first frames have little state that could differ; then come those that are compared with
#: the last.
_SETTLED, _ENDS = 10, 30
_SIZE = (64, 36)


@dataclass(frozen=True)
class StreamError:
    """How far a file's stream is from the reference's over 100 frames of a moving picture.

    `max_abs_err` is of float files, on images in [0, 1]; the rest is of int8 ones: the largest
    difference with LiteRT's reference kernels and in the file's own runtime, and that runtime's
    PSNR in dB over all frames, over frames 11 to 40 and over the last 30; None when infinite.
    """

    frames: int
    max_abs_err: float | None = None
    max_lsb_reference: int | None = None
    max_lsb_runtime: int | None = None
    psnr_db: float | None = None
    psnr_early_db: float | None = None
    psnr_late_db: float | None = None

    @property
    def fall_db(self) -> float:
        """How much the PSNR falls from frames 11 to 40 to the last 30."""
        if self.psnr_late_db is None or self.psnr_early_db is None:
            return 0.0
        return self.psnr_early_db - self.psnr_late_db


def stream_error(
    model: SrModel,
    reference: Graph,
    judge: SrModel | None = None,
    frames: Sequence[Array] | None = None,
) -> StreamError:
    """Return how far `model`, and `judge` with LiteRT's reference kernels, are from the numpy
    reference, every one carrying its own state.

    `frames` (H, W, C) of 8 bits are streamed in place of a made-up picture under a moving camera.
    """
    frames = _made_up(model) if frames is None else frames
    for runner in filter(None, (model, judge)):
        runner.reset()
    if not reference.quantized:
        return _float_error(model, reference, frames)
    codes = (codes_of(frame)[None] for frame in frames)
    judged = worst = 0
    squares = []
    for frame, (_, outputs) in zip(frames, stream(reference, codes), strict=True):
        expected = pixels_of(outputs["sr"][0])
        difference = _difference(model.upscale_u8(frame), expected)
        worst = max(worst, int(np.abs(difference).max()))
        squares.append(float(np.mean(difference**2)))
        if judge is not None:
            judged = max(judged, int(np.abs(_difference(judge.upscale_u8(frame), expected)).max()))
    return StreamError(
        len(frames),
        max_lsb_reference=None if judge is None else judged,
        max_lsb_runtime=worst,
        psnr_db=_psnr_db(squares),
        psnr_early_db=_psnr_db(squares[_SETTLED : _SETTLED + _ENDS]),
        psnr_late_db=_psnr_db(squares[-_ENDS:]),
    )


def _made_up(model: SrModel) -> list[Array]:
    align = alignment(model.graph)
    width, height = (-(-length // align) * align for length in _SIZE)
    if "previous_sr" in model.graph.roles.values():
        # Whole LR pixels of such a picture alias as nothing real does, and that would be fed back.
        return camera_frames((width, height), model.channels, FRAMES, model.scale)
    return moving_frames((width, height), model.channels, FRAMES)


def _float_error(model: SrModel, reference: Graph, frames: Sequence[Array]) -> StreamError:
    values = [(frame / 255.0).astype(np.float32) for frame in frames]
    worst = 0.0
    for frame, (_, outputs) in zip(
        values, stream(reference, (v[None] for v in values)), strict=True
    ):
        expected = outputs["sr"][0].clip(0, 1)
        worst = max(worst, float(np.abs(model.upscale(frame) - expected).max()))
    return StreamError(len(frames), max_abs_err=worst)


def _difference(a: Array, b: Array) -> Any:
    return a.astype(np.int32) - b


def _psnr_db(squares: list[float]) -> float | None:
    error = float(np.mean(squares))
    return None if error == 0 else float(10 * np.log10(255.0**2 / error))
