"""The shipped networks: NAME.onnx or NAME.safetensors, each with its card NAME.json beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_SUFFIXES = (".onnx", ".safetensors")


def zoo_names() -> tuple[str, ...]:
    """Return the names of the shipped networks, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.iterdir() if path.suffix in _SUFFIXES))


def zoo_path(name: str) -> Path:
    """Return the file of a shipped network.

    Raises:
        KeyError: no network of this name ships.
    """
    for suffix in _SUFFIXES:
        path = _FOLDER / f"{name}{suffix}"
        if name in zoo_names() and path.is_file():
            return path
    raise KeyError(name)


def read_card(name: str) -> dict[str, Any]:
    """Return the card of a shipped network: what it is, how it was trained, what it reaches."""
    card: dict[str, Any] = json.loads(zoo_path(name).with_suffix(".json").read_text("utf-8"))
    return card


def calibration_frames() -> Path:
    """Return the folder of LR frames that the shipped networks can be calibrated on."""
    return _FOLDER / "sample" / "calibration"


def sample_clip() -> Path:
    """Return the sample clip that ships: 60 frames of Big Buck Bunny, 640x360, H.264, CC-BY 3.0."""
    return _FOLDER / "sample" / "big_buck_bunny_640x360.mp4"
