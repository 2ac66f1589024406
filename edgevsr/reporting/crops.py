"""What int8 costs in pixels: crops of a shipped frame by the float network and by the int8 one."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.clips import read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import imresize, round_u8
from edgevsr.evaluation import super_resolve_y
from edgevsr.graph.streaming import is_recurrent
from edgevsr.metrics import psnr_db
from edgevsr.picture import CROP, hardest_windows
from edgevsr.reporting.networks import Network, open_network
from edgevsr.runtime.model import SrModel
from edgevsr.zoo import sample_clip, zoo_names

FRAME = 28
_LEAD_IN = 4  # frames before it that a recurrent network sees
_LEAST_CODES = 4  # the error map's scale never ends below so many 8-bit codes
_Y_TO_RGB = 255.0 / 219.0

#: Black over red to pale yellow: the larger, the lighter.
_HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])


@dataclass(frozen=True)
class Window:
    """One place of the frame: its left and top in SR pixels, and PNGs as data URIs."""

    left: int
    top: int
    float_uri: str
    int8_uri: str
    error_uri: str


@dataclass(frozen=True)
class Comparison:
    """A float network beside its int8 form on one shipped frame.

    `psnr_db` is of the int8 luma against the float one over the whole frame, None when equal;
    `changed` the share of its pixels that differ, `max_codes` by how many 8-bit codes at most.
    `full_scale_codes` is the error map's lightest colour.
    """

    float_name: str
    int8_name: str
    psnr_db: float | None
    changed: float
    max_codes: int
    full_scale_codes: int
    windows: tuple[Window, ...]


def pairs(networks: Iterable[Network]) -> Iterator[tuple[Network, Network]]:
    """Yield each int8 network with the float one it was made from: given, or shipped.

    They belong together when the int8 name goes on from the float one and both have the same
    weights and scale.
    """
    networks = list(networks)
    for int8 in networks:
        if not int8.graph.quantized:
            continue
        float_nets = [each for each in networks if not each.graph.quantized]
        shipped = int8.name.removesuffix("-w8a8")
        if shipped != int8.name and shipped in zoo_names():
            float_nets.append(open_network(shipped))
        for each in float_nets:
            same = (each.graph.params, each.graph.scale) == (int8.graph.params, int8.graph.scale)
            if same and int8.name.startswith(f"{each.name}-"):
                yield each, int8
                break


def compare_on_sample(float_net: Network, int8_net: Network) -> Comparison:
    """Return both networks' pictures of a frame of the shipped clip.

    One window is where they differ most, one where there is most for a network to do.
    """
    frames = list(islice(read_frames(sample_clip()), FRAME - _LEAD_IN + 1, FRAME + 1))
    float_y, int8_y = (_luma(network, frames) for network in (float_net, int8_net))
    error = np.abs(float_y - int8_y)
    enlarged = round_u8(imresize(frames[-1], float_net.graph.scale))
    float_rgb, int8_rgb = (_coloured(enlarged, luma) for luma in (float_y, int8_y))
    places = [
        *hardest_windows(float_rgb, int8_rgb, 1),
        *hardest_windows(float_rgb, enlarged, 1),
    ]
    worst = max(error[_window(left, top)].max() for left, top in places)
    full_scale = max(_LEAST_CODES, int(worst))
    psnr = psnr_db(float_y, int8_y)
    return Comparison(
        float_net.name,
        int8_net.name,
        psnr_db=psnr if np.isfinite(psnr) else None,
        changed=float(np.mean(error > 0)),
        max_codes=int(error.max()),
        full_scale_codes=full_scale,
        windows=tuple(
            Window(
                left,
                top,
                _png(float_rgb[_window(left, top)]),
                _png(int8_rgb[_window(left, top)]),
                _png(_heat(error[_window(left, top)], full_scale)),
            )
            for left, top in places
        ),
    )


def _luma(network: Network, frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return the 8-bit SR luma of the last frame; what carries state sees those before it first."""
    model = SrModel.open(network.graph)
    for frame in frames if is_recurrent(network.graph) else frames[-1:]:
        luma = super_resolve_y(model, frame)
    return luma


def _coloured(enlarged: NDArray[np.uint8], luma: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the bicubic RGB with its luma replaced."""
    return round_u8(enlarged + ((luma - rgb_to_y(enlarged)) * _Y_TO_RGB)[..., None])


def _window(left: int, top: int) -> tuple[slice, slice]:
    width, height = CROP
    return slice(top, top + height), slice(left, left + width)


def _heat(error: NDArray[np.float64], full_scale: int) -> NDArray[np.uint8]:
    position = np.clip(error / full_scale, 0, 1) * (len(_HEAT) - 1)
    knots = np.arange(len(_HEAT))
    return round_u8(np.stack([np.interp(position, knots, channel) for channel in _HEAT.T], -1))


def _png(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
