"""`edgevsr verify`: proof that a file computes what its source computes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import SourceError, SpecError
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.streaming import is_recurrent
from edgevsr.quantization.calibration import load_stream
from edgevsr.runtime.streams import FRAMES
from edgevsr.runtime.verify import Verification, verify_file
from edgevsr.sources import open_source


@dataclass(frozen=True)
class VerifyResult:
    """What was measured of a file against its source; the command exits 1 unless it passed."""

    file: str
    against: str
    verification: Verification

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return self.verification.passed

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys; inapplicable ones, and an infinite PSNR, are null."""
        found = self.verification
        return {
            "file": self.file,
            "against": self.against,
            "runtime": found.runtime,
            "backend": found.backend,
            "how_resized": found.how_resized,
            "sizes": [f"{width}x{height}" for width, height in found.sizes],
            "max_abs_err": found.max_abs_err,
            "max_lsb_reference": found.max_lsb_reference,
            "max_lsb_runtime": found.max_lsb_runtime,
            "max_lsb_layer": found.max_lsb_layer,
            "psnr_reference_db": found.psnr_reference_db,
            "psnr_source_db": found.psnr_source_db,
            "stream": None if found.stream is None else asdict(found.stream),
            "layers": [asdict(layer) for layer in found.layers],
            "checks": [asdict(check) for check in found.checks],
            "passed": found.passed,
        }


def verify(
    file: str | Path,
    *,
    against: str | Path,
    runtime: str | None = None,
    threads: int | None = None,
    clip: str | Path | None = None,
) -> VerifyResult:
    """Run a .tflite or .onnx file in its own runtime and compare it with the SOURCE it came from.

    `clip`, a video or a folder of numbered LR frames, is what a recurrent network's stream is of,
    played back and forth to 100 frames.

    Raises:
        DataError: `clip` holds no clip.
        SpecError: `clip` is given for a network that is not streamed.
        SourceError: either cannot be opened, or the file is not a form of the source.
        DeviceError: the runtime is missing or failed.
    """
    path = Path(file)
    stage = open_source(path)
    if stage.kind == "trained":
        raise SourceError(f"{path}: is a checkpoint; give the .tflite or .onnx exported from it")
    source = open_source(against)
    frames = None
    if clip is not None:
        if has_int16(stage.graph) or not is_recurrent(stage.graph):
            kind = "has int16 activations" if has_int16(stage.graph) else "carries no state"
            raise SpecError(f"--clip {clip}: {path} {kind} and is not streamed; leave it out")
        frames = load_stream(Path(clip), source.graph.channels, FRAMES)
    verification = verify_file(
        stage.path, source.graph, runtime=runtime, threads=threads, frames=frames
    )
    return VerifyResult(str(file), str(against), verification)
