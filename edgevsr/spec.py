"""The vocabulary of the road: what a network is, and what each stage hands to the next."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from edgevsr.errors import SpecError

Colour = Literal["y", "rgb"]
Activation = Literal["prelu", "leaky", "relu"]
Runtime = Literal["litert", "onnxruntime"]

COLOURS: tuple[Colour, ...] = ("y", "rgb")
ACTIVATIONS: tuple[Activation, ...] = ("prelu", "leaky", "relu")
RUNTIMES: tuple[Runtime, ...] = ("litert", "onnxruntime")
SCALES = (2, 3, 4)

#: The int8 code of an image value: value = (code + 128) / 255, so code = pixel - 128.
IMAGE_SCALE = 1.0 / 255.0
IMAGE_ZERO_POINT = -128

DEFAULT_SIZE = (640, 360)


@dataclass(frozen=True)
class NetSpec:
    """A network before it has weights: its family and the numbers that fix its structure.

    `name` is the public name without scale (`sesr-m5`, `fsrcnn-rgb`); `options` holds what the
    family's constructor takes (num_feat, num_block, ...).
    """

    name: str
    family: str
    scale: int
    colour: Colour = "y"
    activation: Activation = "leaky"
    expansion: int = 256
    options: dict[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of image channels in and out: 1 for Y, 3 for RGB."""
        return 3 if self.colour == "rgb" else 1


@dataclass(frozen=True)
class IoSpec:
    """One input or output of an artifact. Shape is NHWC for .tflite and NCHW for .onnx."""

    name: str
    role: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the card's entry for this tensor."""
        return {
            "name": self.name,
            "role": self.role,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "scale": self.scale,
            "zero_point": self.zero_point,
        }


def check_fps(fps: float) -> None:
    """Refuse a frame rate that does not exist.

    Raises:
        SpecError: it is not positive and finite.
    """
    if not 0 < fps < math.inf:
        raise SpecError(f"--fps {fps:g}: expected a positive number of frames a second")


def as_size(size: tuple[int, int] | str) -> tuple[int, int]:
    """Return (width, height) in LR pixels, given so or as `WIDTHxHEIGHT`.

    Raises:
        SpecError: as `parse_size`.
    """
    return parse_size(size if isinstance(size, str) else "x".join(map(str, size)))


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) in LR pixels from `WIDTHxHEIGHT`.

    Raises:
        SpecError: the text is not two positive integers joined by an x, or is beyond 16384.
    """
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text)
    if not match:
        raise SpecError(f"size {text!r}: expected WIDTHxHEIGHT in LR pixels, such as 640x360")
    width, height = int(match[1]), int(match[2])
    if not (1 <= width <= 16384 and 1 <= height <= 16384):
        raise SpecError(f"size {text!r}: width and height must lie between 1 and 16384")
    return width, height
