"""Opens any SOURCE, a run folder, a checkpoint, a .onnx, a .tflite or a shipped name, as the
stage of the road that it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from edgevsr.cards import card_beside, quality_of
from edgevsr.errors import SourceError, missing_extra, nearest
from edgevsr.files import CHECKPOINT
from edgevsr.graph.ir import Graph
from edgevsr.safetensors_header import read_header
from edgevsr.zoo import read_card, zoo_names, zoo_path

Kind = Literal["trained", "collapsed", "quantized", "tflite", "onnx"]

METADATA_KEY = "edgevsr"

_MAX_BYTES = 512 << 20  # a hundred times the largest network of the field's mobile track
_PICKLES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".bin")
_EXPECTED = "expected a run folder, a .safetensors checkpoint, a .onnx, a .tflite or a shipped name"


@dataclass(frozen=True)
class Stage:
    """A network at one stage of the road, and where it was found.

    `kind` is "trained" (wide, needs torch to go on), "collapsed" (float .onnx written here),
    "quantized" (QDQ .onnx), "tflite", or "onnx" (a float .onnx that others wrote).
    `name` is what default output names begin with; `card` is the JSON card beside the file.
    """

    kind: Kind
    name: str
    path: Path
    card: dict[str, Any] | None
    _read: Callable[[], Graph] = field(repr=False, compare=False)

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph; a trained stage is collapsed for it.

        Raises:
            EdgeVsrError: the stage is trained and torch is not installed.
            CollapseError: the narrow net is not the same function as the wide one.
        """
        return self._read()

    @property
    def runnable(self) -> Path | Graph:
        """What to run: a file that others may have written as it is, else the graph."""
        return self.path if self.kind in ("tflite", "onnx") else self.graph


@dataclass(frozen=True)
class ZooEntry:
    """A shipped network: its name, its file and what its card says."""

    name: str
    path: Path
    card: Mapping[str, Any]

    @property
    def net(self) -> str:
        """The network's public name, such as sesr-m5."""
        return str(self.card["net"])

    @property
    def scale(self) -> int:
        """Width of the SR frame over that of the LR frame."""
        return int(self.card["scale"])

    @property
    def form(self) -> str:
        """ "wide" (a checkpoint), "narrow" (float .onnx) or "w8a8" (QDQ .onnx)."""
        return str(self.card["form"])

    @property
    def recurrent(self) -> bool:
        """Whether the network carries state from frame to frame."""
        return bool(self.card["recurrent"])

    @property
    def psnr_y_db(self) -> dict[str, float]:
        """PSNR-Y by test set on what a decoder delivers, as `edgevsr evaluate` measures it."""
        return quality_of(self.card, quantized=self.form == "w8a8")


def list_zoo() -> list[ZooEntry]:
    """Return every shipped network, sorted by name."""
    return [ZooEntry(name, zoo_path(name), read_card(name)) for name in zoo_names()]


def open_source(source: str | Path) -> Stage:
    """Return the stage that SOURCE is: a path when one exists, else a shipped name.

    Raises:
        SourceError: nothing of this name, or the file is empty, damaged, foreign, a pickle, or
            too large to be a network for a phone.
        ExportError: a .onnx or .tflite has operators that this toolkit does not know.
    """
    text = str(source)
    path = Path(text)
    try:
        exists = path.exists()
    except (OSError, ValueError):
        raise SourceError(f"{text[:80]!r} cannot be a path; {_EXPECTED}") from None
    if exists:
        return _open_folder(path) if path.is_dir() else _open_file(path)
    if text in zoo_names():
        shipped = zoo_path(text)
        return _open_file(shipped, name=text)
    if path.suffix or len(path.parts) > 1:
        raise SourceError(f"{text}: no such file{nearest(path.stem, zoo_names())}; {_EXPECTED}")
    raise SourceError(
        f"{text}: no such file and no shipped network of this name{nearest(text, zoo_names())}; "
        "see: edgevsr list zoo"
    )


def _open_folder(path: Path) -> Stage:
    checkpoint = path / CHECKPOINT
    if not checkpoint.is_file():
        raise SourceError(
            f"{path}: is a folder without {CHECKPOINT}, so not a run; give the folder that "
            "edgevsr train … --out RUN wrote"
        )
    return _open_file(checkpoint)


def _open_file(path: Path, name: str | None = None) -> Stage:
    suffix = path.suffix.lower()
    start = _first_bytes(path)
    if suffix in _PICKLES or _is_pickle(start):
        raise SourceError(
            f"{path}: a pickle can run code when it is read, so it is not opened; save the weights "
            "with safetensors.torch.save_file, or the net with torch.onnx.export, and give that"
        )
    if suffix == ".safetensors":
        return _open_checkpoint(path, name)
    if suffix == ".tflite":
        return _open_tflite(path, start, name)
    if suffix == ".onnx":
        return _open_onnx(path, name)
    raise SourceError(f"{path}: not a kind of file that holds a network here; {_EXPECTED}")


def _is_pickle(start: bytes) -> bool:
    """Whether a file begins as a pickle does, or as the archive that torch puts one into.

    A .safetensors file may begin with the same byte, the lowest of its header's length; its ninth
    opens the header.
    """
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[8:9] != b"{")


def _first_bytes(path: Path) -> bytes:
    """Return the first 9 bytes of a regular file of a sensible size.

    Raises:
        SourceError: the file is empty, too large, not a regular file, or cannot be read.
    """
    if not path.is_file():
        raise SourceError(f"{path}: not a regular file; {_EXPECTED}")
    size = path.stat().st_size
    if size == 0:
        raise SourceError(f"{path}: is empty; {_EXPECTED}")
    if size > _MAX_BYTES:
        raise SourceError(
            f"{path}: {size >> 20} MiB is beyond the {_MAX_BYTES >> 20} MiB read here; {_EXPECTED}"
        )
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error


def _open_checkpoint(path: Path, name: str | None) -> Stage:
    header = read_header(path)
    try:
        spec = json.loads(header.metadata[METADATA_KEY])["spec"]
        default_name = f"{spec['name']}-x{int(spec['scale'])}"
    except (KeyError, TypeError, ValueError, RecursionError):
        raise SourceError(
            f"{path}: a .safetensors file that edgevsr train did not write (no {METADATA_KEY!r} in "
            "its metadata); export the net with torch.onnx.export and give the .onnx"
        ) from None

    def read() -> Graph:
        try:
            from edgevsr.collapsing import collapse_checkpoint
        except ModuleNotFoundError as error:
            raise missing_extra(str(error.name), "train", f"collapsing {path}") from error
        return collapse_checkpoint(path).graph

    return Stage("trained", name or default_name, path, card_beside(path), read)


def _open_tflite(path: Path, start: bytes, name: str | None) -> Stage:
    if start[4:8] != b"TFL3":
        raise SourceError(f"{path}: not a .tflite file (no TFL3 mark); convert or copy it again")
    from edgevsr.graph.from_tflite import graph_from_tflite

    graph = graph_from_tflite(path)
    return Stage("tflite", name or path.stem, path, card_beside(path), lambda: graph)


def _open_onnx(path: Path, name: str | None) -> Stage:
    from edgevsr.graph.from_onnx import graph_from_onnx
    from edgevsr.graph.int16 import has_int16

    graph = graph_from_onnx(path)
    quantized = graph.quantized or has_int16(graph)
    kind: Kind = "quantized" if quantized else "collapsed" if "net" in graph.meta else "onnx"
    return Stage(kind, name or path.stem, path, card_beside(path), lambda: graph)
