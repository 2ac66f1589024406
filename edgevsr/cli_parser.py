"""The arguments of every verb.

Each destination is a parameter of the verb's function, and a flag that is not given is not passed,
so that every default lives in one place, the function.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from edgevsr import __version__
from edgevsr.errors import SpecError, nearest
from edgevsr.spec import ACTIVATIONS, COLOURS, parse_size

_SOURCE = "a run folder, a checkpoint, a .onnx, a .tflite, or a shipped name (edgevsr list zoo)"
_RUNTIMES = ("litert", "onnxruntime")


class _Parser(argparse.ArgumentParser):
    """Reports wrong use as every other error: one line with the way out."""

    def error(self, message: str) -> NoReturn:
        raise SpecError(f"{message}; see: {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            known = [str(choice) for choice in action.choices]
            raise SpecError(
                f"{name} {value!r}{nearest(str(value), known)}: expected {', '.join(known)}; "
                f"see: {self.prog} --help"
            )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="edgevsr",
        description="Take video super-resolution from training to a verified file for a phone.",
        epilog="exit codes: 0 done, 1 a gate was measured and missed, 2 wrong use or bad input",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"edgevsr {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (
        _list, _train, _collapse, _quantize, _export,
        _verify, _evaluate, _profile, _fit, _upscale,
    ):  # fmt: skip
        add(verbs)
    return parser


Verbs = argparse._SubParsersAction  # argparse has no public name for what it returns


def _verb(verbs: Verbs[Any], name: str, promise: str, *, writes: bool = False) -> _Parser:
    parser: _Parser = verbs.add_parser(
        name,
        help=promise,
        description=promise[0].upper() + promise[1:] + ".",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        default=False,
        help="print one JSON object on stdout and nothing else",
    )
    if writes:
        parser.add_argument("--force", action="store_true", help="replace an existing output")
    return parser


def _output(parser: _Parser, metavar: str, text: str) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar=metavar, help=text)


def _list(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "list", "list the networks, shipped networks, devices or targets")
    parser.add_argument("kind", metavar="KIND", choices=("nets", "zoo", "devices", "targets"))


def _train(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "train", "train a network's wide form")
    parser.add_argument("net", metavar="NET", help="a name of: edgevsr list nets")
    parser.add_argument("--scale", type=int, required=True, help="2, 3 or 4")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="HR images and videos"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run's folder")
    parser.add_argument("--val", type=Path, metavar="DIR", help="held-out HR images")
    parser.add_argument("--steps", type=int, metavar="N")
    parser.add_argument("--batch", type=int, metavar="N", help="patches a step")
    parser.add_argument("--patch", type=int, metavar="N", help="side of an LR patch, pixels")
    parser.add_argument("--colour", choices=COLOURS, help="default: what the net's name says")
    parser.add_argument("--degradation", choices=("bi", "bd"), help="bicubic, or Gaussian blur")
    parser.add_argument("--activation", choices=ACTIVATIONS)
    parser.add_argument("--form", choices=("collapsed", "expanded"), help="how a step computes")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--lr", type=float, metavar="RATE", help="Adam's peak rate")
    parser.add_argument("--loss", choices=("l1", "l2"), help="default l1; l2 refines at the end")
    parser.add_argument("--init", metavar="SOURCE", help="start from the weights that fit of these")
    parser.add_argument("--every", type=int, metavar="N", help="steps between checkpoints")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared frames are kept")


def _collapse(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "collapse", "collapse a wide network, with measured proof", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    _output(parser, "NET.onnx", "default: NAME.onnx")


def _quantize(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "quantize", "quantize a network to int8 from real frames", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    parser.add_argument(
        "--calib", type=Path, required=True, metavar="PATH", help="LR frames: a folder or a video"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="HR images to measure the drop on")
    parser.add_argument("--max-drop", type=float, metavar="DB", help="gate: largest PSNR-Y drop")
    parser.add_argument("--ranges", choices=("minmax", "percentile", "mse"))
    parser.add_argument("--rounding", choices=("nearest", "together"))
    parser.add_argument("--bias-correction", action=argparse.BooleanOptionalAction)
    _output(parser, "FILE", "default: NAME-w8a8.onnx")


def _export(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "export", "write the file that a device runs, and its card", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    parser.add_argument("--target", required=True, metavar="T", help="of: edgevsr list targets")
    parser.add_argument(
        "--int8", action="store_true", help="quantize a float source; needs --calib"
    )
    parser.add_argument("--calib", type=Path, metavar="PATH", help="LR frames for --int8")
    parser.add_argument("--io", choices=("int8", "uint8", "float"), help="type of the frames")
    _size(parser)
    _output(parser, "FILE", "default: NAME-TARGET.EXT")


def _size(parser: _Parser, *, required: bool = False) -> None:
    parser.add_argument(
        "--size",
        type=parse_size,
        required=required,
        metavar="WxH",
        help="LR frame" if required else "LR frame; default: the source's own, else 640x360",
    )


def _run_options(parser: _Parser) -> None:
    parser.add_argument("--runtime", choices=_RUNTIMES, help="default: what the file is made for")
    parser.add_argument("--threads", type=int, metavar="N", help="default: this machine's cores")


def _verify(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "verify", "prove that a file computes what its source computes")
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tflite or .onnx")
    parser.add_argument("--against", required=True, metavar="SOURCE", help=_SOURCE)
    _run_options(parser)


def _evaluate(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "evaluate", "measure PSNR-Y and SSIM-Y of any stage", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="HR images, videos")
    parser.add_argument(
        "--lr-y",
        choices=("float", "8bit"),
        help="the papers' unrounded luma, or (default) the rounded one a decoder delivers",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")
    _run_options(parser)


def _profile(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "profile", "count, estimate or measure what a network costs")
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    _size(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--device", metavar="D", help="estimate for one of: edgevsr list devices")
    place.add_argument("--on", choices=("host",), help="measure on this machine")
    parser.add_argument("--fps", type=float, metavar="F", help="gate: frames a second to reach")
    _run_options(parser)
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")


def _fit(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "fit", "list the shipped networks that fit a budget, best first")
    parser.add_argument("--device", required=True, metavar="D", help="of: edgevsr list devices")
    _size(parser, required=True)
    parser.add_argument("--scale", type=int, required=True, help="2, 3 or 4")
    parser.add_argument("--fps", type=float, required=True, metavar="F")
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")


def _upscale(verbs: Verbs[Any]) -> None:
    parser = _verb(verbs, "upscale", "super-resolve an image or a video", writes=True)
    parser.add_argument("input", type=Path, metavar="INPUT", help="an image or a video")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUTPUT")
    parser.add_argument("--net", metavar="SOURCE", help=_SOURCE)
    _run_options(parser)
    parser.add_argument("--codec", metavar="NAME", help="video encoder, such as libx264")
    parser.add_argument("--crf", type=int, metavar="N", help="constant rate factor of the encoder")
    parser.add_argument("--tile", type=int, metavar="N", help="run the net on N×N LR pieces")
