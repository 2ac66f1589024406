"""Between frames and what a file takes: pixels or [0, 1] to codes or floats, NHWC or NCHW."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.errors import SourceError
from edgevsr.graph.ir import Array, Graph, QuantParams
from edgevsr.spec import IoSpec

_PIXELS = np.arange(256)
_UNIT = (_PIXELS / 255.0).astype(np.float32)


class FrameCodec:
    """Encodes LR frames for one input of a file, or decodes SR frames from one output.

    Frames are (H, W, C), uint8 pixels or float32 in [0, 1]; arrays have a batch of one and the
    file's layout and dtype. `white` is the real value of white in the file, 1 or 255.

    Raises:
        SourceError: the file's dtype is not one of an image, or an integer has no scale.
    """

    def __init__(self, spec: IoSpec, nchw: bool, white: float = 1.0) -> None:
        self._nchw = nchw
        self._white = np.float32(white)
        self._dtype: np.dtype[Any] = np.dtype(_dtype_of(spec))
        self._float = self._dtype.kind == "f"
        if not self._float:
            self._codes = _code_table(spec, self._dtype, white)
            self._values = _value_table(spec, self._dtype, white)
            self._pixels = round_pixels(self._values)
            shift = _PIXELS if self._dtype == np.uint8 else _PIXELS - 128
            self._shifts_only = bool(np.array_equal(self._codes, shift))

    def encode(self, frame: Array) -> Array:
        """Return the frame as the file takes it; floats are rounded to 8 bits for integer files."""
        return np.ascontiguousarray(self._arrange(self._encode(frame)))

    def _encode(self, frame: Array) -> Array:
        pixels = frame.dtype == np.uint8
        if self._float:
            values = _UNIT[frame] if pixels else frame
            values = values if self._white == 1 else values * self._white
            return values.astype(self._dtype, copy=False)
        frame = frame if pixels else round_pixels(frame)
        return self._shift(frame) if self._shifts_only else self._codes[frame]

    def decode_u8(self, array: Array) -> NDArray[np.uint8]:
        """Return the array as pixels (H, W, C), rounded to nearest and clipped."""
        frame = self._restore(array)
        if self._float:
            return round_pixels(self._unit(frame))
        if self._shifts_only:
            return self._shift(frame.view(np.uint8)).view(np.uint8)
        return self._pixels[frame.view(np.uint8)]

    def decode_float(self, array: Array) -> NDArray[np.float32]:
        """Return the array as float32 (H, W, C), clipped to [0, 1]."""
        frame = self._restore(array)
        if self._float:
            return np.clip(self._unit(frame), 0.0, 1.0).astype(np.float32, copy=False)
        return self._values[frame.view(np.uint8)]

    def _unit(self, frame: Array) -> Array:
        """Return the file's real values with white at 1."""
        frame = _finite(frame)
        return frame if self._white == 1 else frame / self._white

    def _shift(self, pixels: Array) -> Array:
        """Move between pixels and codes of the image scale, which differ by 128 or not at all."""
        return pixels if self._dtype == np.uint8 else codes_of(pixels)

    def _arrange(self, frame: Array) -> Array:
        return frame.transpose(2, 0, 1)[None] if self._nchw else frame[None]

    def _restore(self, array: Array) -> Array:
        frame = array[0].transpose(1, 2, 0) if self._nchw else array[0]
        return np.ascontiguousarray(frame)


def codes_of(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the codes of 8-bit pixels at the image scale: pixel - 128."""
    return (pixels ^ np.uint8(128)).view(np.int8)


def pixels_of(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return the 8-bit pixels of codes at the image scale: code + 128."""
    return codes.view(np.uint8) ^ np.uint8(128)


def round_pixels(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return [0, 1] values as the nearest pixels, clipped."""
    scaled = values * np.float32(255)
    scaled += np.float32(0.5)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def _finite(frame: Array) -> Array:
    if not np.isfinite(frame).all():
        raise SourceError("the network's output holds NaN or infinity; its weights are damaged")
    return frame


def _dtype_of(spec: IoSpec) -> str:
    if spec.dtype not in ("float32", "float16", "int8", "uint8"):
        raise SourceError(
            f"tensor {spec.name!r} is {spec.dtype}; expected float32, float16, int8 or uint8"
        )
    return spec.dtype


def white_of(graph: Graph) -> float:
    """Return the real value of white in a graph: 1, or 255 where its int8 input says so.

    Raises:
        SourceError: the input's scale is that of neither.
    """
    if not graph.quantized:
        return 1.0
    name = graph.input_of("frame")
    scale = graph.qparams[name].scale
    for white in (1.0, 255.0):
        if 0.5 * white <= scale * 255 <= 2.0 * white:
            return white
    raise SourceError(
        f"input {name!r} has scale {scale:g}; an image has about 1/255 (values 0 to 1) or 1 "
        "(values 0 to 255)"
    )


def _parameters(spec: IoSpec, white: float) -> tuple[float, int]:
    if not spec.scale:
        raise SourceError(f"tensor {spec.name!r} is {spec.dtype} without a scale")
    return spec.scale / white, spec.zero_point or 0


def _code_table(spec: IoSpec, dtype: np.dtype[Any], white: float) -> Array:
    """Return the code of every pixel, as the file's dtype."""
    scale, zero_point = _parameters(spec, white)
    offset = 128 if dtype == np.uint8 else 0
    codes = QuantParams(scale, zero_point - offset).quantize(_PIXELS / 255.0)
    return (codes.astype(np.int16) + offset).astype(dtype)


def _value_table(spec: IoSpec, dtype: np.dtype[Any], white: float) -> NDArray[np.float32]:
    """Return the value in [0, 1] of every code, in the order of the code's unsigned bits."""
    scale, zero_point = _parameters(spec, white)
    codes = _PIXELS.astype(np.uint8).view(dtype).astype(np.float64)
    return np.clip((codes - zero_point) * scale, 0.0, 1.0).astype(np.float32)
