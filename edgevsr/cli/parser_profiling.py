"""The arguments of the verbs that say what a network costs."""

from __future__ import annotations

from typing import Any

from edgevsr.cli.arguments import SOURCE, Verbs, add_run_options, add_size, add_verb


def add_profile(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "profile", "count, estimate or measure what a network costs")
    parser.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_size(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--device", metavar="D", help="estimate for one of: edgevsr list devices")
    place.add_argument("--on", choices=("host",), help="measure on this machine")
    parser.add_argument("--fps", type=float, metavar="F", help="gate: frames a second to reach")
    add_run_options(parser)
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")


def add_fit(verbs: Verbs[Any]) -> None:
    parser = add_verb(verbs, "fit", "list the shipped networks that fit a budget, best first")
    parser.add_argument("--device", required=True, metavar="D", help="of: edgevsr list devices")
    add_size(parser, required=True)
    parser.add_argument("--scale", type=int, required=True, help="2, 3 or 4")
    parser.add_argument("--fps", type=float, required=True, metavar="F")
    parser.add_argument("--dram-gb-s", type=float, metavar="GB", help="the device's DRAM, 1e9 B/s")
