"""What the arguments of every verb are made of."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from edgevsr.errors import SpecError, nearest
from edgevsr.spec import RUNTIMES, parse_size

SOURCE = "a run folder, a checkpoint, a .onnx, a .tflite, or a shipped name (edgevsr list zoo)"

Verbs = argparse._SubParsersAction  # argparse has no public name for what it returns


class Parser(argparse.ArgumentParser):
    """Reports wrong use as every other error: one line with the way out."""

    def error(self, message: str) -> NoReturn:
        raise SpecError(f"{message}; see: {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what a verb does not know in that verb's own words, the nearest flag named."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = nearest(unknown[0].partition("=")[0], self._option_string_actions, cutoff=0.6)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{flag}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[-1] if action.option_strings else action.metavar
            known = [str(choice) for choice in action.choices]
            raise SpecError(
                f"{name} {value!r}{nearest(str(value), known)}: expected {', '.join(known)}; "
                f"see: {self.prog} --help"
            )


def add_verb(verbs: Verbs[Any], name: str, promise: str, *, writes: bool = False) -> Parser:
    parser: Parser = verbs.add_parser(
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


def add_output(parser: Parser, metavar: str, text: str) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar=metavar, help=text)


def add_size(parser: Parser, *, required: bool = False) -> None:
    parser.add_argument(
        "--size",
        type=parse_size,
        required=required,
        metavar="WxH",
        help="LR frame" if required else "LR frame; default: the source's own, else 640x360",
    )


def add_run_options(parser: Parser) -> None:
    parser.add_argument("--runtime", choices=RUNTIMES, help="default: what the file is made for")
    parser.add_argument("--threads", type=int, metavar="N", help="default: this machine's cores")


def add_reset_on_cut(parser: Parser) -> None:
    parser.add_argument(
        "--reset-on-cut", action="store_true", help="recurrent nets start anew at scene cuts"
    )


def add_weights(parser: Parser) -> None:
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="checkpoint of a name of: list references"
    )
