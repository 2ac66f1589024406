"""The survey's systems as a table: structure, components and what was published. Needs no torch.

Every published figure stands here with where it can be read; what no readable source states is
absent. `params` is what the released code holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgevsr.errors import SpecError, nearest

Sees = Literal["frame", "window", "past", "clip"]


@dataclass(frozen=True)
class Components:
    """How a system does the four things that the survey compares."""

    propagation: str
    alignment: str
    aggregation: str
    upsampling: str


@dataclass(frozen=True)
class Quality:
    """A published score. `channel` is Y or RGB, `degradation` BI, BD or "not stated"; all ×4."""

    test_set: str
    degradation: str
    channel: str
    psnr_db: float
    ssim: float | None
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return the score and its source."""
        return {"mark": "published", **vars(self)}


@dataclass(frozen=True)
class Runtime:
    """A published time in ms for one SR frame, 320×180 to 1280×720, on a graphics card."""

    ms: float
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return the time and its source."""
        return {"mark": "published", **vars(self)}


@dataclass(frozen=True)
class System:
    """A reference system at ×4.

    `sees` is what a frame is made of: itself, a window, the past, or the whole clip. `beyond_npus`
    names the operators of it that NPUs' compilers leave to the processor.
    """

    name: str
    title: str
    venue: str
    home: str
    options: Mapping[str, int]
    sees: Sees
    params: int
    components: Components
    beyond_npus: tuple[str, ...] = ()
    published_params: str | None = None
    quality: tuple[Quality, ...] = ()
    frame_rate: int = 1
    runtime: Runtime | None = None
    aliases: tuple[str, ...] = field(default=())


_MMAGIC = "mmagic model zoo"
_TDAN = "mmagic model zoo, TDAN; border of 8 left out"
_LOGS = "junpan19/RRN, test logs; border of 8 left out"
_LIST = "Deep-Video-Super-Resolution list, README"

_DEFORM, _SAMPLE = "deformable convolution", "grid sample"
_FILTER, _VOLUME, _MATCH = "filter per pixel", "3-D convolution", "top-k and gather"


def _mmagic(
    set_: str, way: str, channel: str, psnr_db: float, ssim: float | None = None
) -> Quality:
    return Quality(set_, way, channel, psnr_db, ssim, _MMAGIC)


_SHUFFLE = "pixel shuffle"
_NONE = "none"


def _duf(layers: int, params: int) -> System:
    best = (Quality("Vid4", "not stated", "Y", 27.31, None, _LIST),) if layers == 52 else ()
    return System(
        f"duf-{layers}", f"DUF, {layers} layers", "CVPR 2018", "duf:Duf", {"layers": layers},
        "window", params,
        Components("local, 7 frames", "none (3-D convolution)", "dense concatenation",
                   "dynamic filters + pixel shuffle"),
        (_VOLUME, _FILTER), "5.8 M" if layers == 52 else None, best,
    )  # fmt: skip


def _edvr(name: str, title: str, params: int, published: str, options: Mapping[str, int],
          quality: tuple[Quality, ...]) -> System:  # fmt: skip
    components = Components(
        "local, 5 frames", "deformable convolution (PCD)", "concatenation + TSA", _SHUFFLE
    )
    return System(
        name, title, "CVPRW 2019", "edvr:Edvr", options, "window", params, components,
        (_DEFORM,), published, quality,
    )  # fmt: skip


_SYSTEMS = (
    System(
        "srcnn", "SRCNN 9-1-5", "ECCV 2014", "single:Srcnn", {}, "frame", 8_129,
        Components(_NONE, _NONE, _NONE, "bicubic before"),
    ),
    System(
        "espcn", "ESPCN 5-3-3", "CVPR 2016", "single:Espcn", {}, "frame", 24_752,
        Components(_NONE, _NONE, _NONE, _SHUFFLE),
    ),
    System(
        "brcn", "BRCN 9-1-5", "NeurIPS 2015", "brcn:Brcn", {}, "clip", 42_562,
        Components("bidirectional", _NONE, "sum of convolutions", "bicubic before"),
    ),
    System(
        "frvsr", "FRVSR 10-128", "CVPR 2018", "frvsr:Frvsr", {}, "past", 5_054_693,
        Components("unidirectional", "flow (FNet), of SR", "concatenation", "deconvolution"),
        (_SAMPLE,), "5.1 M",
        (Quality("Vid4", "not stated", "Y", 26.69, None, _LIST),),
    ),
    _duf(16, 1_900_640), _duf(28, 2_118_432), _duf(52, 5_821_952),
    System(
        "rbpn", "RBPN/6", "CVPR 2019", "rbpn:Rbpn", {}, "window", 12_771_943,
        Components("local, 7 frames", "none; flow is an input", "back-projection",
                   "deconvolution"),
        ("optical flow",), "12.2 M; the released code holds 12.77 M",
        (Quality("Vid4", "not stated", "Y", 27.12, None, _LIST),),
    ),
    System(
        "tdan", "TDAN", "CVPR 2020", "tdan:Tdan", {}, "window", 1_970_819,
        Components("local, 5 frames", "deformable convolution", "concatenation", _SHUFFLE),
        (_DEFORM,), "1.97 M",
        (Quality("Vid4", "BI", "Y", 26.49, 0.792, _TDAN),
         Quality("Vid4", "BD", "Y", 26.87, 0.815, _TDAN)),
    ),
    _edvr("edvr-m", "EDVR-M", 3_300_131, "3.3 M", {}, (
        _mmagic("REDS4", "BI", "RGB", 30.4194, 0.8684),)),
    _edvr("edvr", "EDVR", 20_633_827, "20.6 M", {"channels": 128, "blocks": 40}, (
        _mmagic("REDS4", "BI", "RGB", 31.0467, 0.8793),
        _mmagic("Vid4", "BI", "Y", 27.35, 0.8264))),
    System(
        "mucan", "MuCAN", "ECCV 2020", "mucan:Mucan", {}, "window", 25_660_579,
        Components("local, 5 frames", "correlation", "weighted concatenation + cross-scale",
                   _SHUFFLE),
        (_MATCH,),
    ),
    System(
        "rsdn", "RSDN 9-128", "ECCV 2020", "rsdn:Rsdn", {}, "past", 6_180_236,
        Components("unidirectional", "none; state adapted", "concatenation", _SHUFFLE),
        (_FILTER,),
    ),
    System(
        "rrn", "RRN-10L", "BMVC 2020", "rrn:Rrn", {}, "past", 3_364_400,
        Components("unidirectional", _NONE, "concatenation", _SHUFFLE),
        (), "3.4 M",
        (Quality("Vid4", "BD", "Y", 27.696, 0.8488, _LOGS),
         Quality("UDM10", "BD", "Y", 38.967, 0.9644, _LOGS)),
        runtime=Runtime(45, "RRN (arXiv 2008.05765), by a summary of it"),
    ),
    System(
        "basicvsr", "BasicVSR", "CVPR 2021", "basicvsr:BasicVsr", {}, "clip", 6_291_311,
        Components("bidirectional", "flow (SPyNet)", "concatenation", _SHUFFLE),
        (_SAMPLE,), "6.3 M",
        (
            _mmagic("REDS4", "BI", "RGB", 31.4170, 0.8909),
            _mmagic("Vid4", "BI", "Y", 27.2755, 0.8248),
            _mmagic("Vid4", "BD", "Y", 27.9791, 0.8556),
            _mmagic("UDM10", "BD", "Y", 39.9953, 0.9695),
            _mmagic("Vimeo-90K-T", "BI", "Y", 37.2026),
            _mmagic("Vimeo-90K-T", "BD", "Y", 37.5501),
        ),
    ),
    System(
        "iconvsr", "IconVSR", "CVPR 2021", "iconvsr:IconVsr", {}, "clip", 8_694_991,
        Components("bidirectional, coupled", "flow (SPyNet)", "concatenation + refill", _SHUFFLE),
        (_SAMPLE, _DEFORM), "8.7 M",
        (
            _mmagic("REDS4", "BI", "RGB", 31.6926, 0.8951),
            _mmagic("Vid4", "BI", "Y", 27.4809),
            _mmagic("Vid4", "BD", "Y", 28.2464, 0.8612),
            _mmagic("UDM10", "BD", "Y", 40.0640),
            _mmagic("Vimeo-90K-T", "BI", "Y", 37.3729),
            _mmagic("Vimeo-90K-T", "BD", "Y", 37.7573),
        ),
    ),
    System(
        "basicvsr-pp", "BasicVSR++", "CVPR 2022", "basicvsrpp:BasicVsrPlusPlus", {}, "clip",
        7_322_927,
        Components("bidirectional, second-order grid", "flow + deformable convolution",
                   "concatenation", _SHUFFLE),
        (_SAMPLE, _DEFORM), "7.3 M",
        (_mmagic("REDS4", "BI", "RGB", 32.3855, 0.9069), _mmagic("Vid4", "BI", "Y", 27.79)),
        runtime=Runtime(
            77, "BasicVSR++ (arXiv 2104.13371), by KAIST-VICLab/FMA-Net#9; on a V100"
        ),
        aliases=("basicvsr++",),
    ),
    System(
        "zooming-slowmo", "Zooming Slow-Mo", "CVPR 2020", "zoomingslowmo:ZoomingSlowMo", {}, "clip",
        11_102_771,
        Components("bidirectional (ConvLSTM)", "deformable convolution (PCD)", "concatenation",
                   _SHUFFLE),
        (_DEFORM,), "11.10 M", frame_rate=2,
    ),
)  # fmt: skip

SYSTEMS: dict[str, System] = {system.name: system for system in _SYSTEMS}
_BY_NAME = SYSTEMS | {alias: system for system in _SYSTEMS for alias in system.aliases}


def is_reference(name: str) -> bool:
    """Whether a name is one of the survey's systems."""
    return name.lower() in _BY_NAME


def find_system(name: str) -> System:
    """Return the system of this name, in any case.

    Raises:
        SpecError: there is none; the nearest name is given.
    """
    system = _BY_NAME.get(name.lower())
    if system is None:
        raise SpecError(
            f"reference {name!r} is not known{nearest(name.lower(), _BY_NAME)}; "
            "run: edgevsr list references"
        )
    return system
