"""Writes an artifact: the file that a device runs, and the card that says what it is.

The card is JSON by `edgevsr/card.schema.json`; with it an app needs to know nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgevsr import __version__
from edgevsr.errors import ExportError, OutputError
from edgevsr.exporters.targets import Target, lower
from edgevsr.exporters.tflite import IMAGE_ROLES, tflite_bytes
from edgevsr.files import atomic_path, check_output
from edgevsr.graph.half import HALF, has_half_weights
from edgevsr.graph.int16 import has_int16
from edgevsr.graph.ir import Graph
from edgevsr.graph.streaming import is_recurrent
from edgevsr.spec import IoSpec

SCHEMA_VERSION = 1

_TOOLS = {"tflite": ("ai-edge-litert", "flatbuffers", "numpy"), "onnx": ("onnx", "numpy")}


@dataclass(frozen=True)
class Artifact:
    """A file that a device runs; its card lies beside it."""

    path: Path
    card_path: Path
    format: str
    inputs: tuple[IoSpec, ...]
    outputs: tuple[IoSpec, ...]
    ops: Mapping[str, int]
    sha256: str
    size_bytes: int


def write_artifact(
    graph: Graph,
    target: Target,
    size: tuple[int, int],
    io: str | None,
    path: Path,
    force: bool = False,
    *,
    source: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Artifact:
    """Lower the graph to the target, and write the file and its card, both or neither.

    `size` is (width, height) of the LR frame; `io` is the type of the frames, by default the
    target's for int8 graphs and float for float ones. `facts` may hold `psnr_y_db` (dB by set and
    form), `drift` (of a recurrent int8 net) and `training`; what is unknown is null in the card.

    Raises:
        ExportError: the target cannot run the graph or has no such `io`, or the path has another
            format's suffix.
        OutputError: one of the files exists, or cannot be written.
    """
    io = resolve_io(graph, target, io)
    check_suffix(path, target)
    card_path = path.with_suffix(".json")
    for output in (path, card_path):
        check_output(output, force)
    data = artifact_bytes(graph, target, size, io)
    artifact = Artifact(
        path,
        card_path,
        target.format,
        tuple(_io_spec(graph, name, target, size, io) for name in graph.inputs),
        tuple(_io_spec(graph, name, target, size, io) for name in graph.outputs),
        count_ops(data, target.format),
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    card = make_card(graph, target, size, artifact, source, facts or {})
    text = json.dumps(card, indent=2, allow_nan=False) + "\n"
    with atomic_path(path, force) as file, atomic_path(card_path, force) as card_file:
        file.write_bytes(data)
        card_file.write_text(text, "utf-8")
    return artifact


def resolve_io(graph: Graph, target: Target, io: str | None) -> str:
    """Return the type of the file's frames.

    Raises:
        ExportError: the target has no such type, or a float graph was to have integer frames.
    """
    if not graph.quantized:
        if io in (None, "float"):
            return "float"
        raise ExportError(
            f"--io {io}: this network is float, and so are its frames; quantize it first, or add "
            "--int8 --calib FRAMES"
        )
    if io is None:
        return target.io[0]
    if io not in target.io:
        raise ExportError(f"--io {io}: target {target.name} takes {', '.join(target.io)}")
    return io


def check_suffix(path: Path, target: Target) -> None:
    """Refuse an output whose suffix is not that of the target's format.

    Raises:
        OutputError: the suffix is another one.
    """
    if path.suffix.lower() != f".{target.format}":
        raise OutputError(
            f"{path}: target {target.name} writes .{target.format}; give -o such a name"
        )


def artifact_bytes(graph: Graph, target: Target, size: tuple[int, int], io: str) -> bytes:
    """Return the file for a target, lowered to what the target runs.

    Raises:
        ExportError: the target cannot run the graph.
    """
    lowered = lower(graph, target)
    if target.format == "tflite":
        return tflite_bytes(lowered, size, io)
    from edgevsr.exporters.onnx import onnx_bytes

    return onnx_bytes(lowered, size)


def count_ops(data: bytes, kind: str) -> dict[str, int]:
    """Return how often each operator stands in the file, by its name there, sorted by name."""
    if kind == "tflite":
        from edgevsr.graph.tflite_file import read_model

        names = [operator.name for operator in read_model(data, "artifact").operators]
    else:
        import onnx

        names = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
    return dict(sorted(Counter(names).items()))


def make_card(
    graph: Graph,
    target: Target,
    size: tuple[int, int],
    artifact: Artifact,
    source: str | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card of an artifact, as `edgevsr/card.schema.json` describes it."""
    width, height = size
    return {
        "schema_version": SCHEMA_VERSION,
        "net": str(graph.meta.get("net") or Path(source or artifact.path).stem),
        "scale": graph.scale,
        "colour": graph.meta.get("colour"),
        "activation": graph.meta.get("activation"),
        "precision": _precision(graph),
        "weights": _weights(graph),
        "recurrent": is_recurrent(graph),
        "target": target.name,
        "format": target.format,
        "size": f"{width}x{height}",
        "inputs": [io.to_json() for io in artifact.inputs],
        "outputs": [io.to_json() for io in artifact.outputs],
        "ops": dict(artifact.ops),
        "params": graph.params,
        "file": artifact.path.name,
        "bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "tools": _tool_versions(target.format),
        "psnr_y_db": facts.get("psnr_y_db"),
        "drift": facts.get("drift"),
        "training": facts.get("training", graph.meta.get("training")),
        "source": source,
    }


def _precision(graph: Graph) -> str:
    return "w8a16" if has_int16(graph) else "int8" if graph.quantized else "float"


def _weights(graph: Graph) -> str:
    if graph.quantized or has_int16(graph):
        return "int8"
    return HALF if has_half_weights(graph) else "float32"


def _io_spec(graph: Graph, name: str, target: Target, size: tuple[int, int], io: str) -> IoSpec:
    role = graph.roles[name]
    batch, height, width, channels = graph.shape(name, size)
    if target.format == "onnx":
        return IoSpec(name, role, (batch, channels, height, width), "float32")
    shape = (batch, height, width, channels)
    if not graph.quantized or (io == "float" and role in IMAGE_ROLES):
        return IoSpec(name, role, shape, "float32")
    q = graph.qparams[name]
    if io == "uint8" and role in IMAGE_ROLES:
        return IoSpec(name, role, shape, "uint8", q.scale, q.zero_point + 128)
    return IoSpec(name, role, shape, "int8", q.scale, q.zero_point)


def _tool_versions(kind: str) -> dict[str, str]:
    versions = {"edgevsr": __version__}
    for package in _TOOLS[kind]:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
