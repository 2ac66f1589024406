"""`edgevsr collapse`: a trained wide network becomes a narrow .onnx, with the measured proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import CollapseError, missing_extra
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.files import check_output, write_bytes
from edgevsr.sources import open_source
from edgevsr.zoo import calibration_frames


@dataclass(frozen=True)
class CollapseResult:
    """The narrow network's file and how far it is from the wide one, on images in [0, 1]."""

    net: str
    scale: int
    params_wide: int
    params_narrow: int
    max_abs_err: float
    output: Path

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        return {
            "net": self.net,
            "scale": self.scale,
            "params_wide": self.params_wide,
            "params_narrow": self.params_narrow,
            "max_abs_err": self.max_abs_err,
            "output": str(self.output),
        }


def collapse(
    source: str | Path, *, output: str | Path | None = None, force: bool = False
) -> CollapseResult:
    """Write the narrow float .onnx of a trained SOURCE (a run, a checkpoint, a shipped wide net).

    The two are compared on random and on shipped real frames, borders included; `output` is
    NAME.onnx by default.

    Raises:
        SourceError: the source cannot be opened.
        CollapseError: it is narrow already, or the difference is above 1e-5.
        OutputError: the output exists and `force` is not given, or it cannot be written.
    """
    stage = open_source(source)
    if stage.kind != "trained":
        raise CollapseError(
            f"{source}: is a {stage.kind} network, which has nothing to collapse; expected a run "
            "or checkpoint of edgevsr train"
        )
    path = Path(output) if output else Path(f"{stage.name.removesuffix('-wide')}.onnx")
    if path.suffix != ".onnx":
        raise CollapseError(f"{path}: the narrow network is an .onnx file; give -o NAME.onnx")
    check_output(path, force)
    try:
        from edgevsr.collapsing import collapse_checkpoint
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train", "edgevsr collapse") from error
    from edgevsr.quantization.calibration import load_calibration

    def real_frames(channels: int) -> list[Any]:
        return load_calibration(calibration_frames(), channels, limit=4)

    net = collapse_checkpoint(stage.path, real_frames)
    write_bytes(path, onnx_bytes(net.graph), force)
    return CollapseResult(
        net=net.spec.name,
        scale=net.spec.scale,
        params_wide=net.params_wide,
        params_narrow=net.params_narrow,
        max_abs_err=net.max_abs_err,
        output=path,
    )
