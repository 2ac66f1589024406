"""The arguments of every verb.

Each destination is a parameter of the verb's function, and a flag that is not given is not passed,
so that every default lives in one place, the function.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgevsr import __version__
from edgevsr.cli.arguments import (
    SOURCE,
    Parser,
    Verbs,
    add_output,
    add_reset_on_cut,
    add_run_options,
    add_size,
    add_verb,
    add_weights,
)
from edgevsr.cli.parser_profiling import (
    add_calibrate,
    add_compare,
    add_fit,
    add_lint,
    add_profile,
    add_report,
)
from edgevsr.spec import ACTIVATIONS, COLOURS


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="edgevsr",
        description="Take video super-resolution from training to a verified file for a phone.",
        epilog="exit codes: 0 done, 1 a gate was measured and missed, 2 wrong use or bad input",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"edgevsr {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (
        _list, _train, _collapse, _quantize, _export, add_lint,
        _verify, _evaluate, add_profile, add_calibrate, add_fit, add_compare, add_report, _upscale,
        _demo,
    ):  # fmt: skip
        add(verbs)
    return parser


def _list(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "list", "list networks, devices, targets or the references")
    kinds = ("nets", "zoo", "devices", "targets", "references")
    parser.add_argument("kind", metavar="KIND", choices=kinds)
    parser.add_argument(
        "--device", metavar="D", help="budget for references, of: edgevsr list devices"
    )


def _train(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "train", "train a network's wide form")
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
    parser.add_argument(
        "--frames", type=int, metavar="N", help="frames a clip; default 10 for recurrent nets"
    )
    parser.add_argument(
        "--window", type=int, metavar="N", help="frames gradients reach back, 0 all"
    )
    parser.add_argument(
        "--burn-in", type=int, metavar="N", help="up to N frames shown before each clip"
    )
    parser.add_argument("--colour", choices=COLOURS, help="default: what the net's name says")
    parser.add_argument("--degradation", choices=("bi", "bd"), help="bicubic, or Gaussian blur")
    parser.add_argument(
        "--shrink", type=float, nargs="+", metavar="PART", help="stills at 0.7 of their size too"
    )
    parser.add_argument(
        "--shrink-jpeg", type=float, nargs="+", metavar="PART", help="JPEGs at 0.5 of theirs alone"
    )
    parser.add_argument("--activation", choices=ACTIVATIONS)
    parser.add_argument(
        "--expansion", type=int, metavar="P", help="channels inside a block, default 256"
    )
    parser.add_argument("--form", choices=("collapsed", "expanded"), help="how a step computes")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--lr", type=float, metavar="RATE", help="Adam's peak rate")
    parser.add_argument(
        "--schedule", type=int, metavar="N", help="steps that the rate falls over, default all"
    )
    parser.add_argument(
        "--loss", choices=("l1", "l2", "rms"), help="default l1; rms: of each patch; l2 refines"
    )
    parser.add_argument(
        "--init",
        metavar="SOURCE",
        help="start from what fits of this network: a run, a file or a shipped name",
    )
    parser.add_argument(
        "--qat", action="store_true", help="train the int8 file's own arithmetic; needs --init"
    )
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bf16"), help="default: bf16 on a GPU only"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="make kernels for the step; needs a C++ compiler"
    )
    parser.add_argument("--teacher", metavar="SOURCE", help="a network to learn from beside HR")
    add_weights(parser)
    parser.add_argument(
        "--teacher-weight", type=float, metavar="W", help="its output's share of the loss, 0.5"
    )
    parser.add_argument(
        "--feature-weight", type=float, metavar="W", help="its features' weight, default 0"
    )
    parser.add_argument("--every", type=int, metavar="N", help="steps between checkpoints")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where prepared frames are kept")


def _collapse(verbs: Verbs[Any]) -> None:
    parser = add_verb(
        verbs, "collapse", "collapse a wide network, with measured proof", writes=True
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_output(parser, "NET.onnx", "default: NAME.onnx")


def _quantize(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "quantize", "quantize a network to int8 from real frames", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--calib",
        type=Path,
        metavar="PATH",
        help="LR frames: a folder or a video; for a recurrent net videos or numbered frames; "
        "none for a net trained with --qat",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="HR images to measure the drop on")
    parser.add_argument("--max-drop", type=float, metavar="DB", help="gate: largest PSNR-Y drop")
    parser.add_argument("--ranges", choices=("minmax", "percentile", "mse"))
    parser.add_argument("--rounding", choices=("nearest", "together"))
    parser.add_argument(
        "--activations", choices=("int8", "int16"), help="int16 is for .onnx alone; default int8"
    )
    parser.add_argument("--bias-correction", action=argparse.BooleanOptionalAction)
    add_output(parser, "FILE", "default: NAME-w8a8.onnx or -w8a16")


def _export(verbs: Verbs[Any]) -> None:
    parser = add_verb(
        verbs, "export", "write the file that a device runs, and its card", writes=True
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    parser.add_argument("--target", required=True, metavar="T", help="of: edgevsr list targets")
    parser.add_argument(
        "--int8", action="store_true", help="quantize a float source; needs --calib"
    )
    parser.add_argument("--calib", type=Path, metavar="PATH", help="LR frames for --int8")
    parser.add_argument("--io", choices=("int8", "uint8", "float"), help="type of the frames")
    parser.add_argument(
        "--weights",
        choices=("float32", "float16"),
        help="how a float file keeps them",
    )
    add_size(parser)
    add_output(parser, "FILE", "default: NAME-TARGET.EXT")


def _verify(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "verify", "prove that a file computes what its source computes")
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tflite or .onnx")
    parser.add_argument("--against", required=True, metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--clip",
        type=Path,
        metavar="PATH",
        help="LR video or numbered frames to stream a recurrent net on; default a made-up picture",
    )
    add_run_options(parser)


def _evaluate(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "evaluate", "measure PSNR-Y and SSIM-Y of any stage", writes=True)
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="HR images, videos")
    parser.add_argument(
        "--lr-y",
        choices=("float", "8bit"),
        help="the papers' unrounded luma, or (default) the rounded one a decoder delivers",
    )
    parser.add_argument(
        "--degradation", choices=("bi", "bd"), help="bicubic (default), or Gaussian blur"
    )
    add_reset_on_cut(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")
    add_weights(parser)
    add_run_options(parser)


def _upscale(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "upscale", "super-resolve an image or a video", writes=True)
    parser.add_argument("input", type=Path, metavar="INPUT", help="an image or a video")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUTPUT")
    parser.add_argument("--net", metavar="SOURCE", help=SOURCE)
    add_weights(parser)
    add_run_options(parser)
    parser.add_argument("--codec", metavar="NAME", help="video encoder, such as libx264")
    parser.add_argument("--crf", type=int, metavar="N", help="constant rate factor of the encoder")
    parser.add_argument("--tile", type=int, metavar="N", help="run the net on N×N LR pieces")
    add_reset_on_cut(parser)


def _demo(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "demo", "serve networks on live video to a browser, also a phone's")
    parser.add_argument(
        "--net", action="append", metavar="SOURCE", help="may be given again; " + SOURCE
    )
    parser.add_argument("--port", type=int, metavar="P", help="default: 8360; 0 takes any")
