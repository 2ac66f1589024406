"""`edgevsr export`: from any source to the file that a device runs, with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgevsr.errors import ExportError
from edgevsr.exporters.card import Artifact, check_suffix, write_artifact
from edgevsr.exporters.targets import load_target
from edgevsr.graph.half import HALF, full_weights, half_weights
from edgevsr.graph.ir import Graph
from edgevsr.quantization.learned import has_learned_ranges, quantize_learned
from edgevsr.sources import Stage, open_source
from edgevsr.spec import DEFAULT_SIZE, as_size

Weights = Literal["float32", "float16"]
WEIGHTS: tuple[Weights, ...] = ("float32", "float16")


@dataclass(frozen=True)
class ExportResult:
    """The artifact that was written, for LR frames of `size` (width, height)."""

    artifact: Artifact
    size: tuple[int, int]

    @property
    def output(self) -> Path:
        """Where the artifact lies; its card lies beside it."""
        return self.artifact.path

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        width, height = self.size
        return {
            "output": str(self.artifact.path),
            "card": str(self.artifact.card_path),
            "format": self.artifact.format,
            "size": f"{width}x{height}",
            "bytes": self.artifact.size_bytes,
            "sha256": self.artifact.sha256,
            "ops": dict(self.artifact.ops),
            "inputs": [io.to_json() for io in self.artifact.inputs],
            "outputs": [io.to_json() for io in self.artifact.outputs],
        }


def export(
    source: str | Path,
    *,
    target: str,
    int8: bool = False,
    calib: str | Path | None = None,
    io: str | None = None,
    weights: Weights | None = None,
    size: tuple[int, int] | str | None = None,
    output: str | Path | None = None,
    force: bool = False,
) -> ExportResult:
    """Write SOURCE as a file for `target`, and a card beside it.

    A quantized source exports as int8; `int8` quantizes a float one on the frames of `calib`.
    `weights` "float16" halves what a float file holds of them, and it computes in float32 all the
    same; without it they are kept as the source keeps them.
    `size` is (width, height) of the LR frame, by default the source's own, else 640x360; `output`
    is NAME-TARGET.EXT by default.

    Raises:
        SourceError: the source cannot be opened.
        ExportError: unknown target, a net that it cannot run, or options that do not fit.
        OutputError: the output exists and `force` is not given, or it cannot be written.
    """
    goal = load_target(target)
    if calib is not None and not int8:
        raise ExportError("--calib goes with --int8; add --int8, or leave --calib out")
    if weights not in (None, *WEIGHTS):
        raise ExportError(f"--weights {weights}: expected one of {', '.join(WEIGHTS)}")
    size = None if size is None else as_size(size)
    stage = open_source(source)
    path = Path(output) if output else Path(f"{stage.name}-{goal.name}.{goal.format}")
    check_suffix(path, goal)
    quantize = int8 and not stage.graph.quantized
    graph = _quantized(stage, calib) if quantize else stage.graph
    if weights is not None:
        graph = half_weights(graph) if weights == HALF else full_weights(graph)
    chosen = size or graph.size or DEFAULT_SIZE
    facts = _facts(stage, quantize)
    artifact = write_artifact(graph, goal, chosen, io, path, force, source=str(source), facts=facts)
    return ExportResult(artifact, chosen)


def _quantized(stage: Stage, calib: str | Path | None) -> Graph:
    if has_learned_ranges(stage.graph):
        if calib is not None:
            raise ExportError(
                f"{stage.name}: was trained for int8 and brings its own ranges, which --calib "
                "would throw away; leave --calib out"
            )
        return quantize_learned(stage.graph)
    if calib is None:
        raise ExportError(
            f"{stage.name}: --int8 on a float source needs --calib, a folder or video of LR "
            "frames; or quantize it first: edgevsr quantize SOURCE --calib FRAMES"
        )
    from edgevsr.quantization.calibration import load_for
    from edgevsr.quantization.ptq import quantize_graph

    graph = stage.graph
    return quantize_graph(graph, load_for(graph, Path(calib)))


def _facts(stage: Stage, quantized_now: bool) -> dict[str, Any]:
    """Return what the source's own card and metadata say of quality and training."""
    known: dict[str, Any] = {**stage.graph.meta, **(stage.card or {})}
    facts: dict[str, Any] = {}
    sets = known.get("psnr_y_db")
    if isinstance(sets, Mapping):
        quality = {name: row for name, row in sets.items() if _is_quality(row)}
        if quantized_now:  # an int8 figure in the card belongs to other ranges
            quality = {
                name: {form: value for form, value in row.items() if form != "int8"}
                for name, row in quality.items()
            }
        facts["psnr_y_db"] = quality or None
    if isinstance(known.get("drift"), Mapping) and stage.graph.quantized:
        facts["drift"] = dict(known["drift"])
    if isinstance(known.get("training"), Mapping):
        facts["training"] = dict(known["training"])
    return facts


def _is_quality(row: Any) -> bool:
    """Whether a card's entry for one test set is a table of numbers."""
    return isinstance(row, Mapping) and all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in row.values()
    )
