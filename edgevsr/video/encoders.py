"""Which encoder writes the frames, in which pixel format, with which options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import SpecError, nearest

#: What this module knows how to set up well; any other encoder of the build works with its own
#: defaults. The value is the default constant rate factor: visually close to the source.
DEFAULT_CRF: dict[str, int | None] = {
    "libx264": 18,
    "libx265": 20,
    "libvpx-vp9": 24,
    "libsvtav1": 24,
    "libaom-av1": 24,
    "ffv1": None,
    "prores_ks": None,
}

_OPTIONS: dict[str, dict[str, str]] = {
    "libx265": {"x265-params": "log-level=error"},
    "libvpx-vp9": {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "libsvtav1": {"preset": "8"},
    "libaom-av1": {"cpu-used": "6", "row-mt": "1"},
    "prores_ks": {"profile": "hq"},
}

#: 4:2:0 first: an SR frame at ×2 holds all the chroma that a 4:4:4 source has, and every player
#: shows it.
_FORMATS = (
    ("yuv420p", (2, 2)), ("yuv422p", (2, 1)), ("yuv444p", (1, 1)),
    ("yuv420p10le", (2, 2)), ("yuv422p10le", (2, 1)), ("yuv444p10le", (1, 1)),
)  # fmt: skip

#: These cut pictures only at whole chroma samples, so odd sides need 4:4:4.
_EVEN_SIDES = frozenset({"libx264", "libx265"})

CONTAINERS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts")
_WEBM_CODEC = "libvpx-vp9"


@dataclass(frozen=True)
class Encoder:
    """An encoder and what it is given.

    `pixel_format` is what it stores; `frame_format` is the 8-bit form that frames come in.
    """

    name: str
    options: dict[str, str]
    pixel_format: str
    frame_format: str
    factors: tuple[int, int]


def choose_encoder(
    codec: str | None, crf: int | None, output: Path, size: tuple[int, int]
) -> Encoder:
    """Return the encoder for frames of `size` into a container of this suffix.

    The default is libx264, or libvpx-vp9 where the container is WebM.

    Raises:
        SpecError: the suffix, the encoder, its crf, or the two together are not possible.
    """
    import av
    from av.error import FFmpegError

    suffix = output.suffix.lower()
    if suffix not in CONTAINERS:
        raise SpecError(
            f"{output}: cannot write a video to {suffix or 'a name without suffix'}; "
            f"expected one of {', '.join(CONTAINERS)}"
        )
    name = codec or (_WEBM_CODEC if suffix == ".webm" else "libx264")
    try:
        found = av.Codec(name, "w")
    except (FFmpegError, ValueError):
        found = None
    if found is None or found.type != "video":
        there = available_encoders()
        raise SpecError(
            f"codec {name!r}{nearest(name, there)}: this build of FFmpeg has no such video "
            f"encoder; expected {', '.join(there)}"
        )
    context = av.CodecContext.create(found)
    names = {option.name for option in context.supported_options.private}
    options = {
        key: value
        for key, value in _OPTIONS.get(found.name, {}).items()
        if key in names or key == "b"
    }
    options |= _crf_option(name, found.name, crf, context)
    pixel_format, factors = _pixel_format(found, size)
    return Encoder(found.name, options, pixel_format, pixel_format.removesuffix("10le"), factors)


def available_encoders() -> list[str]:
    """Return the well-known video encoders that this build of FFmpeg has."""
    import av

    return [name for name in DEFAULT_CRF if name in av.codecs_available and _encodes(name)]


def _encodes(name: str) -> bool:
    import av
    from av.error import FFmpegError

    try:
        return bool(av.Codec(name, "w").is_encoder)
    except (FFmpegError, ValueError):
        return False


def _crf_option(asked: str, name: str, crf: int | None, context: Any) -> dict[str, str]:
    option = next((o for o in context.supported_options.private if o.name == "crf"), None)
    value = DEFAULT_CRF.get(name) if crf is None else crf
    if value is None:
        return {}
    if option is None:
        raise SpecError(f"--crf {value}: {asked} has no constant rate factor; leave --crf out")
    highest = 51 if name in ("libx264", "libx265") else int(option.max)
    if not 0 <= value <= highest:
        raise SpecError(f"--crf {value}: {asked} takes 0 (best) to {highest} (smallest)")
    return {"crf": str(value)}


def _pixel_format(codec: Any, size: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    takes = {format_.name for format_ in codec.video_formats or ()}
    whole = codec.name not in _EVEN_SIDES
    for name, (across, down) in _FORMATS:
        fits = whole or (size[0] % across == 0 and size[1] % down == 0)
        if name in takes and fits:
            return name, (across, down)
    raise SpecError(
        f"codec {codec.name!r}: takes none of {', '.join(name for name, _ in _FORMATS)}; "
        f"use one of {', '.join(available_encoders())}"
    )
