"""Reads the header of a .safetensors file without the library, so that a checkpoint is known for
what it is where neither torch nor safetensors is installed."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import SourceError

_MAX_HEADER_BYTES = 16 << 20
_MAX_TENSORS = 100_000
_ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class SafetensorsHeader:
    """What a .safetensors file says of itself: free text by key, and the shape of each tensor."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> SafetensorsHeader:
    """Return the checked header of a .safetensors file; no tensor is read.

    Raises:
        SourceError: the file is not .safetensors, is cut short, or its header contradicts itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _damaged(path, f"{size} bytes is too short for a header")
        (length,) = struct.unpack("<Q", prefix)
        if length > _MAX_HEADER_BYTES:
            raise _damaged(path, "this is not a .safetensors header")
        if 8 + length > size:
            raise _damaged(path, f"the header wants {length} bytes and the file has {size - 8}")
        text = file.read(length)
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, "the header is not JSON") from None
    if not isinstance(entries, dict) or len(entries) > _MAX_TENSORS:
        raise _damaged(path, "the header is not a table of tensors")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _damaged(path, "the header's metadata is not text")
    shapes = {name: _shape(path, name, entry) for name, entry in entries.items()}
    stored = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if 8 + length + stored != size:
        raise _damaged(path, f"expected {8 + length + stored} bytes, found {size}")
    return SafetensorsHeader(metadata, shapes)


def _shape(path: Path, name: str, entry: Any) -> tuple[int, ...]:
    """Return the shape of a header's entry once its dtype, shape and offsets agree."""
    if isinstance(entry, dict):
        item_bytes = _ITEM_BYTES.get(str(entry.get("dtype")))
        shape, span = _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
        if (
            item_bytes is not None
            and shape is not None
            and span is not None
            and len(span) == 2
            and span[1] - span[0] == math.prod(shape) * item_bytes
        ):
            return shape
    raise _damaged(path, f"the entry of tensor {name[:60]!r} contradicts itself")


def _counts(value: Any) -> tuple[int, ...] | None:
    """Return a list of non-negative integers, few and small enough to multiply, else None."""
    if not isinstance(value, list) or len(value) > 8:
        return None
    if not all(type(item) is int and 0 <= item < 1 << 48 for item in value):
        return None
    return tuple(value)


def _damaged(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{path}: not a whole .safetensors file ({what}); copy it again, or resume its run with "
        "edgevsr train … --resume"
    )
