"""The arguments of the verbs that say what a network costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgevsr.cli.arguments import SOURCE, Verbs, add_output, add_run_options, add_size, add_verb


def add_lint(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "lint", "say what in a file does not suit a target, with the fix")
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tflite or .onnx of anyone's")
    parser.add_argument("--target", required=True, metavar="T", help="of: edgevsr list targets")


def add_profile(verbs: Verbs[Any]) -> None:
    parser = add_verb(
        verbs, "profile", "count, estimate or measure what a network costs", writes=True
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_size(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--device", metavar="D", help="estimate for one of: edgevsr list devices")
    place.add_argument(
        "--on",
        action="append",
        metavar="PLACE",
        help="measure: host, this machine, or phones: adb, adb:SERIAL, adb:all; may be repeated",
    )
    parser.add_argument("--fps", type=float, metavar="F", help="gate: frames a second to reach")
    add_run_options(parser)
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")
    add_output(parser, "FILE.json", "the measurement; default for phones: profiles/measured/")
    phones = parser.add_argument_group("phones")
    phones.add_argument(
        "--benchmark-binary", type=Path, metavar="PATH", help="benchmark_model or perf_test for it"
    )
    phones.add_argument("--adb", type=Path, metavar="PATH", help="default: of PATH, or adbutils'")
    phones.add_argument("--delegate", metavar="NAME", help="cpu (default), gpu, nnapi, qnn …")
    phones.add_argument("--runs", type=int, metavar="N", help="frames, at least; default 50")
    phones.add_argument(
        "--sustained", type=float, metavar="SECONDS", help="then go on, to see it throttle"
    )


def add_calibrate(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "calibrate", "fit a device profile to measured latencies", writes=True)
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="FILE.csv",
        help="columns model, file, …_ms; or a folder of measurements",
    )
    parser.add_argument("--models", type=Path, metavar="DIR", help="default: the CSV's folder")
    parser.add_argument("--column", metavar="NAME", help="of milliseconds, where there are several")
    parser.add_argument("--title", metavar="TEXT", help="the device's full name")
    parser.add_argument("--origin", metavar="TEXT", help="who measured, for the profile's sources")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NAME.toml", help="the profile"
    )


def add_fit(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "fit", "list the shipped networks that fit a budget, best first")
    parser.add_argument("--device", required=True, metavar="D", help="of: edgevsr list devices")
    add_size(parser, required=True)
    parser.add_argument("--scale", type=int, required=True, help="2, 3 or 4")
    parser.add_argument("--fps", type=float, required=True, metavar="F")
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")
    parser.add_argument(
        "--design", action="store_true", help="propose networks to train that just meet it"
    )


def add_compare(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "compare", "compare two results, in ratios of B to A")
    parser.add_argument("a", metavar="A.json", help="a result of edgevsr profile")
    parser.add_argument("b", metavar="B.json", help="another")
    parser.add_argument(
        "--max-slowdown", type=float, metavar="PERCENT", help="gate: how much longer B may take"
    )
    parser.add_argument(
        "--across-kinds", action="store_true", help="even an estimate with a measurement"
    )


def add_report(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "report", "write one page about results and networks", writes=True)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a result of edgevsr profile (.json), a folder of them, an artifact, a shipped name",
    )
    parser.add_argument(
        "--fps", type=float, action="append", metavar="F", help="a budget; default 24, 30 and 60"
    )
    parser.add_argument(
        "--no-crops", action="store_false", dest="crops", help="do not run int8 beside float"
    )
    add_output(parser, "REPORT.html", "default: report.html")
