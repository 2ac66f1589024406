"""`edgevsr quantize`: a float network becomes int8 on real LR frames, and says what it lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import QuantizeError
from edgevsr.evaluation import (
    Evaluation,
    ImageScore,
    evaluate_model,
    list_picture_files,
    read_pictures,
)
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.files import check_output, write_bytes
from edgevsr.graph.ir import Graph
from edgevsr.progress import Bar, progress
from edgevsr.quantization.calibration import load_for
from edgevsr.quantization.damage import Damage
from edgevsr.quantization.int16 import quantize_int16
from edgevsr.quantization.learned import has_learned_ranges, quantize_learned
from edgevsr.quantization.ptq import ROUNDINGS, Rounding, Scheme, quantize_graph
from edgevsr.quantization.ranges import RANGES, Ranges
from edgevsr.runtime.model import SrModel
from edgevsr.sources import open_source

#: Float pictures are kept until their int8 forms are there; more would fill the memory.
_COMPARED = 100


Activations = Literal["int8", "int16"]
ACTIVATIONS: tuple[Activations, ...] = ("int8", "int16")
_FORMS: Mapping[Activations, str] = {"int8": "w8a8", "int16": "w8a16"}


@dataclass(frozen=True)
class QuantizeResult:
    """The quantized network's file; quality is null without HR data to measure it on.

    `drop_met` is null without a gate. PSNR-Y is in dB, both forms fed the same 8-bit frames;
    `psnr_y_db_int8` is that of the quantized one, whatever its activations.
    """

    output: Path
    activations: Activations
    calibration_frames: int
    psnr_y_db_float: float | None = None
    psnr_y_db_int8: float | None = None
    psnr_drop_db: float | None = None
    worst: dict[str, Any] | None = None
    clips: tuple[dict[str, Any], ...] = ()
    damage: dict[str, Any] | None = None
    max_drop: float | None = None

    @property
    def drop_met(self) -> bool | None:
        """Whether the mean drop is within the gate."""
        if self.max_drop is None or self.psnr_drop_db is None:
            return None
        return self.psnr_drop_db <= self.max_drop

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        return {
            "psnr_y_db_float": self.psnr_y_db_float,
            "psnr_y_db_int8": self.psnr_y_db_int8,
            "psnr_drop_db": self.psnr_drop_db,
            "worst": self.worst,
            "clips": list(self.clips),
            "damage": self.damage,
            "max_drop_db": self.max_drop,
            "drop_met": self.drop_met,
            "activations": self.activations,
            "calibration_frames": self.calibration_frames,
            "output": str(self.output),
        }


def quantize(
    source: str | Path,
    *,
    calib: str | Path | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    max_drop: float | None = None,
    ranges: Ranges = "mse",
    rounding: Rounding = "together",
    activations: Activations = "int8",
    bias_correction: bool = True,
    force: bool = False,
) -> QuantizeResult:
    """Write the int8 QDQ .onnx of a float SOURCE, calibrated on the LR frames of `calib`.

    A network trained with --qat brings its ranges and takes no `calib`. `activations` "int16" keeps
    int8 weights under int16 activations, for onnxruntime and NPUs that have such kernels: LiteRT
    has none for DEPTH_TO_SPACE.

    Recurrent networks are calibrated on frames in order: a video, or folders of numbered frames.
    `data` holds HR images or videos on which the loss of quality is measured; `max_drop` (dB) is
    a gate on its mean. `output` is NAME-w8a8.onnx by default, or NAME-w8a16.onnx.

    Raises:
        SourceError: the source cannot be opened.
        QuantizeError: it is int8 already, a gate is given without data, or there is no `calib`
            where one is needed, or one where the network brings its ranges.
        DataError: too few calibration frames, or no usable data.
        OutputError: the output exists and `force` is not given, or it cannot be written.
    """
    if max_drop is not None and data is None:
        raise QuantizeError("--max-drop needs --data, a folder of HR images to measure the drop on")
    if max_drop is not None and not math.isfinite(max_drop):
        raise QuantizeError(f"--max-drop {max_drop:g}: expected a number of dB")
    for name, value, known in (
        ("ranges", ranges, RANGES),
        ("rounding", rounding, ROUNDINGS),
        ("activations", activations, ACTIVATIONS),
    ):
        if value not in known:
            raise QuantizeError(f"--{name} {value}: expected one of {', '.join(known)}")
    stage = open_source(source)
    path = Path(output) if output else Path(f"{stage.name}-{_FORMS[activations]}.onnx")
    if path.suffix != ".onnx":
        raise QuantizeError(f"{path}: the quantized network is an .onnx file; give -o NAME.onnx")
    check_output(path, force)
    if data is not None:
        list_picture_files(Path(data))
    graph = stage.graph
    scheme = Scheme(ranges, rounding, bias_correction)
    quantized, count = _quantized(graph, calib, scheme, activations)
    quality = {} if data is None else _quality(graph, quantized, Path(data))
    write_bytes(path, onnx_bytes(quantized), force)
    return QuantizeResult(path, activations, count, max_drop=max_drop, **quality)


def _quantized(
    graph: Graph, calib: str | Path | None, scheme: Scheme, activations: Activations
) -> tuple[Graph, int]:
    """Return the quantized network and how many frames it was calibrated on."""
    if has_learned_ranges(graph) and activations == "int8":
        if calib is not None:
            raise QuantizeError(
                "the network was trained for int8 and brings its own ranges, which --calib would "
                "throw away; leave --calib out"
            )
        return quantize_learned(graph), 0
    if calib is None:
        raise QuantizeError("--calib is missing: a folder or video of LR frames of what it sees")
    frames = load_for(graph, Path(calib))
    count = sum(len(run) if run.ndim == 4 else 1 for run in frames)
    quantize = quantize_int16 if activations == "int16" else quantize_graph
    return quantize(graph, frames, scheme).with_meta(
        calibration={"source": Path(calib).name, "frames": count}
    ), count


def _quality(graph: Graph, int8: Graph, data: Path) -> dict[str, Any]:
    """Return float and int8 PSNR-Y, the drop, and the picture that lost most."""
    scores = {}
    seen: deque[NDArray[np.uint8]] = deque()
    damage = Damage(graph.scale)

    def keep(sr: NDArray[np.uint8]) -> None:
        if len(seen) < _COMPARED:
            seen.append(sr)

    def compare(sr: NDArray[np.uint8]) -> None:
        if seen:
            damage.add(seen.popleft(), sr)

    for name, form, told in (("float", graph, keep), ("int8", int8, compare)):
        model = SrModel.open(form)
        with progress(f"evaluating {name}", None) as bar:
            scores[name] = evaluate_model(
                _Overheard(model, told), read_pictures(data, model.scale), "8bit",
                partial(_count, bar),
            )  # fmt: skip
    return {
        "psnr_y_db_float": scores["float"].psnr_y_db,
        "psnr_y_db_int8": scores["int8"].psnr_y_db,
        "psnr_drop_db": _drop(scores["float"].psnr_y_db, scores["int8"].psnr_y_db),
        "worst": _worst(scores["float"], scores["int8"]),
        "clips": _clips(scores["float"], scores["int8"]),
        "damage": damage.to_json(),
    }


class _Overheard:
    """A model whose 8-bit pictures are told to somebody else, too."""

    def __init__(self, model: SrModel, told: Callable[[NDArray[np.uint8]], None]) -> None:
        self.model, self.told = model, told
        self.scale, self.channels = model.scale, model.channels
        self.upscale, self.reset = model.upscale, model.reset

    def upscale_u8(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the SR frame in 0 to 255."""
        sr = self.model.upscale_u8(lr)
        self.told(sr)
        return sr


def _count(bar: Bar, score: ImageScore) -> None:
    bar.advance(1, score.name)


def _drop(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


def _clips(before: Evaluation, after: Evaluation) -> tuple[dict[str, Any], ...]:
    rows = []
    for one, two in zip(before.clips, after.clips, strict=True):
        was, now = (clip.figures()["psnr_y_db"] for clip in (one, two))
        rows.append(
            {
                "name": one.name,
                "psnr_y_db_float": was,
                "psnr_y_db_int8": now,
                "psnr_drop_db": _drop(was, now),
            }
        )
    return tuple(rows)


def _worst(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    rows = [
        {
            "name": one.name,
            "psnr_y_db_float": one.psnr_y_db,
            "psnr_y_db_int8": two.psnr_y_db,
            "psnr_drop_db": one.psnr_y_db - two.psnr_y_db,
        }
        for one, two in zip(before.images, after.images, strict=True)
        if abs(one.psnr_y_db) != float("inf") and abs(two.psnr_y_db) != float("inf")
    ]
    return max(rows, key=lambda row: row["psnr_drop_db"], default={})
