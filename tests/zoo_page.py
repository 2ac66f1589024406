"""docs/zoo.md and its pictures, from the cards of the shipped networks and what peers published.

python -m tests.zoo_page    writes them
"""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import edgevsr
from edgevsr.aims import missing_db, still_aims
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.roofline import estimate
from edgevsr.sources import ZooEntry, list_zoo, open_source
from edgevsr.zoo import read_card
from tests import zoo_curves, zoo_points
from tests.readme_table import README, results_table
from tests.zoo_points import Point

DOCS = README.parent / "docs"
PAGE, PICTURE, PEERS = DOCS / "zoo.md", DOCS / "zoo.png", DOCS / "peers.csv"
CURVES = DOCS / "curves.png"
#: The folders of training data that no codec has touched.
LOSSLESS = {"general100", "t91"}
PRECISIONS = DOCS / "precisions.json"
DEVICE = "dimensity-8100-nnapi"
#: As ETDS's table has it, for every scale.
LR_SIZE = (640, 360)

#: What int8 is to lose at most on each set, in dB.
DROP_AIM = 0.05
#: PSNR-Y in dB that the int8 form of a recurrent x4 network of so many GMAC at most is to reach.
CLIP_AIMS, CLIP_GMAC = {"city": 26.15, "walk": 28.20}, 2.04

_HEAD = """# The shipped networks

Written by `python -m tests.zoo_page` from the cards in `edgevsr/zoo/`; each network has its recipe
in `edgevsr/zoo/recipes/`; `python -m edgevsr.recipes NAME --data FOLDER --runs FOLDER` follows it.

## Quality

"""
_PROTOCOL = """
PSNR-Y in dB by the protocol of the papers (README). "Float" is fed unrounded luma, "8-bit" and
int8 the rounded one. GMAC is for an output of 1280×720.

## What int8 loses, and what training took

"""
_DATA = """
The data: 590 stills of General-100, T91 and BSDS500 and 139 crops of modern photographs. Networks
of stills at ×2 and ×3 end on the lossless ones alone, General-100 and T91, at three sizes; SESRs of
luma at ×2 then see all again, JPEGs at half of their size ([ablations.md](ablations.md)); recurrent
ones see all under a moving camera and 19 real clips, `-mc` ones 16 septuplets of Vimeo-90K
beside them. Steps count those of the network that one began as.

"""
_CURVES = """
## Learning curves

![Held-out PSNR-Y over the steps of training](curves.png)

PSNR-Y of the averaged weights on the held-out pictures, over the steps of all stages. Networks
trained on clips hold out frames of clips too, so a line steps where its data changed, and only
lines on the same data compare; where lossless pictures alone were left, a second picture goes on. A
×4 network that began as a ×2 one, or one that was grown from a smaller, has its line from there on.
"""
_AIMS = """
## What was aimed at

PSNR-Y in dB, and what int8 loses to float. The aim for a network of stills is the published figure
plus a little; SESR's authors trained on DIV2K, which is not among the data here. Recurrent networks
are held to theirs up to {gmac:g} GMAC.

"""
_MISSED = """
Where an aim is missed, the card says by how much, and what it would take. On fewer pictures (one
seed, float):

{table}

"""
_LADDER = """
## From float to int8, rung by rung

PSNR-Y on the same 8-bit luma, Set5 / Set14 or city / walk, and in brackets what is lost against
float32; measured by `python -m benchmarks.precisions NET… --data Set5 Set14 --json`, calibrated as
their recipes say (`--calib`): SESRs on LR frames of General-100 and T91, FSRCNN on the sample clip,
recurrent networks on four training clips. "Reconstructed" fits each layer's weights to what the
layers before it deliver in int8 and rounds them together; shipped recurrent networks were quantized
before the sum on their picture had its rule (design.md), and were not trained for int8 here.
"Trained" goes on from the float network on lossless pictures, with its own scale and activation:
`edgevsr train NET --scale 2 --activation relu --init NAME --qat --data general100 t91 --shrink 0.7
0.5 --expansion 64 --steps 1000 --lr 3e-5 --seed 91`.

"""
_PEERS = """
## Against what others published

![Set14 PSNR-Y over GMAC and over milliseconds](zoo.png)

Ours are our own measurements of float and int8; the time is estimated by the profile
`dimensity-8100-nnapi`, which is fitted to ETDS's table (a network left out is off by 3.3 % in the
mean). Peers' points are **published, not measured here**: SESR's Set14 ×2 from its authors'
repository, the others from table 2 of ETDS (CVPR 2023; float PSNR of RGB networks on Y, int8 time).
They trained on DIV2K, which is not among the data here.

"""


def peers() -> list[Point]:
    """Return what was published."""
    with PEERS.open(newline="") as file:
        return [
            Point(
                row["name"], int(row["scale"]), float(row["gmac_720p"]),
                float(row["set14_psnr_y_db"]),
                float(row["dimensity_8100_nnapi_ms"]) if row["dimensity_8100_nnapi_ms"] else None,
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def ours() -> list[Point]:
    """Return the shipped single-image networks."""
    gmac = _gmac()
    points = []
    for entry in narrow():
        if entry.recurrent:
            continue
        int8 = open_source(f"{entry.name}-w8a8")
        assert int8.card is not None
        points.append(
            Point(
                entry.name,
                entry.scale,
                gmac[entry.name],
                entry.card["psnr_y_db"]["Set14"]["float"],
                estimate(int8.graph, LR_SIZE, load_device(DEVICE)).latency_ms,
                int8.card["psnr_y_db"]["Set14"]["int8"],
            )
        )
    return points


def _gmac() -> dict[str, float]:
    return {entry["name"]: entry["gmac"] for entry in edgevsr.list("zoo").to_json()["zoo"]}


def narrow() -> list[ZooEntry]:
    """Return the shipped networks in their narrow form."""
    return [entry for entry in list_zoo() if entry.form == "narrow"]


def page() -> str:
    """Return the page in Markdown."""
    return (
        _HEAD
        + results_table()
        + _PROTOCOL
        + _training_table()
        + _DATA
        + (_CURVES if curves() else "")
        + _AIMS.format(gmac=CLIP_GMAC)
        + _aims_table()
        + _missed()
        + _LADDER
        + _ladder_tables()
        + _PEERS
        + _points_table()
    )


def _training_table() -> str:
    rows = [
        ["network", "int8 drop", "steps", "hours", "machine"],
        [":--", ":--", "--:", "--:", ":--"],
    ]
    for entry in narrow():
        training = entry.card["training"]
        drops = ", ".join(f"{name} {drop:.3f}" for name, drop in _drops(entry).items())
        rows.append(
            [f"`{entry.name}`", drops, f"{training['steps']:,}", f"{training['hours']:.1f}",
             training["machine"]]
        )  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _drops(entry: ZooEntry) -> dict[str, float]:
    """Return what int8 loses to float on the same 8-bit luma, by set or clip, in dB."""
    int8 = read_card(f"{entry.name}-w8a8")
    if entry.recurrent:
        pairs: dict[str, tuple[Any, Any]] = {
            name: (row["8bit"], int8["clips"]["Vid4"][name]["int8"])
            for name, row in entry.card["clips"]["Vid4"].items()
        }
        return {name: a["psnr_y_db"] - b["psnr_y_db"] for name, (a, b) in pairs.items()}
    return {
        name: row["8bit"] - int8["psnr_y_db"][name]["int8"]
        for name, row in entry.card["psnr_y_db"].items()
    }


@dataclass(frozen=True)
class Aim:
    """What a network is to reach, by set or clip; `drop` where it is a loss, to stay below."""

    network: str
    figure: str
    aim: dict[str, float]
    reached: dict[str, float]
    drop: bool = False

    def missed_by(self) -> list[float]:
        """Return what is missing to each, in thousandths; 0 where it is reached."""
        aim, reached = (self.reached, self.aim) if self.drop else (self.aim, self.reached)
        return list(missing_db({name: aim[name] for name in self.aim}, reached).values())


def aims() -> Iterator[Aim]:
    """Yield what the shipped networks are held to."""
    gmac, of_stills = _gmac(), still_aims()
    for entry in narrow():
        if (aim := of_stills.get(entry.name)) is not None:
            quality = entry.card["psnr_y_db"]
            reached = {name: quality[name]["float"] for name in aim}
            yield Aim(entry.name, "float", aim, reached)
            drops = _drops(entry)
            yield Aim(entry.name, "int8 drop", dict.fromkeys(drops, DROP_AIM), drops, drop=True)
        elif entry.recurrent and entry.scale == 4 and gmac[entry.name] <= CLIP_GMAC:
            clips = read_card(f"{entry.name}-w8a8")["clips"]["Vid4"]
            reached = {name: clips[name]["int8"]["psnr_y_db"] for name in CLIP_AIMS}
            yield Aim(entry.name, "int8", CLIP_AIMS, reached)


def _aims_table() -> str:
    rows = [
        ["network", "figure", "aim", "reached", "missed by"],
        [":--", ":--", "--:", "--:", "--:"],
    ]
    for each in aims():
        missed = each.missed_by()
        rows.append(
            [f"`{each.network}`", f"{each.figure}, {' / '.join(each.aim)}",
             f"{DROP_AIM:g}" if each.drop else " / ".join(f"{x:.2f}" for x in each.aim.values()),
             " / ".join(f"{each.reached[name]:.3f}" for name in each.aim),
             " / ".join(f"{x:.3f}" if x else "–" for x in missed)]
        )  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _missed() -> str:
    """Return what missing an aim is put down to: the same training on fewer pictures."""
    told = next(
        (aim for entry in narrow() if "would_take" in (aim := entry.card.get("aim", {}))), None
    )
    if told is None:
        return ""
    tables = told["over_pictures"]
    names = list(tables[0]["rows"][0]["psnr_y_db"])
    rows = [["network", "steps", "pictures", *names], [":--", *["--:"] * (2 + len(names))]]
    for over in tables:
        for row in over["rows"]:
            figures = (f"{row['psnr_y_db'][name]:.3f}" for name in names)
            rows.append(
                [f"`{over['network']}`", f"{over['steps']:,}", str(row["pictures"]), *figures]
            )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    wrapped = "\n".join(textwrap.wrap(told["would_take"], 100))
    return f"{_MISSED.format(table=table)}{wrapped}\n"


def _ladder_tables() -> str:
    """Return the rungs of networks of stills, then those of recurrent ones on clips."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads(PRECISIONS.read_text("utf-8"))
    clips = {name for name, rungs in found.items() if "city" in rungs["float32"]}
    parts = ([name for name in sorted(found) if (name in clips) == kind] for kind in (False, True))
    return "\n".join(_ladder_table({name: found[name] for name in part}) for part in parts if part)


def _ladder_table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    rungs = list(dict.fromkeys(rung for rows in found.values() for rung in rows))
    rows = [["network", *rungs], [":--" for _ in ["network", *rungs]]]
    for name, given in found.items():
        rows.append([f"`{name}`", *(_cell(given["float32"], given.get(rung)) for rung in rungs)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cell(best: dict[str, float], got: dict[str, float] | None) -> str:
    if got is None:
        return "–"
    return " / ".join(f"{got[name]:.3f} ({best[name] - got[name]:+.3f})" for name in got)


def _points_table() -> str:
    rows = [
        ["network", "×", "GMAC", "Set14 float", "Set14 int8", "ms, 640×360"],
        [":--", "--:", "--:", "--:", "--:", "--:"],
    ]
    for point in ours():
        assert point.ms is not None
        rows.append(
            [f"`{point.name}`", str(point.scale), f"{point.gmac:.2f}", f"{point.psnr_y_db:.2f}",
             f"{point.int8_psnr_y_db:.2f}", f"{point.ms:.1f} (estimated)"]
        )  # fmt: skip
    for point in peers():
        ms = "–" if point.ms is None else f"{point.ms:g}"
        rows.append(
            [f"{point.name} (published)", str(point.scale), f"{point.gmac:.2f}",
             f"{point.psnr_y_db:.2f}", "–", ms]
        )  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def curves() -> dict[str, list[tuple[int, float]]]:
    """Return (steps, held-out PSNR-Y in dB) of the networks whose cards have their curve."""
    found = {entry.name: entry.card["training"].get("curve") for entry in narrow()}
    return {name: [(x, y) for x, y in curve] for name, curve in found.items() if curve}


def stages(entry: ZooEntry) -> list[tuple[int, bool]]:
    """Return the last step of each stage of training, and whether it sees lossless pictures alone.

    As the commands of the card say.
    """
    found, done = [], 0
    for command in entry.card["training"]["command"].split(" && "):
        words = command.split()
        done += int(words[words.index("--steps") + 1])
        data = takewhile(lambda word: not word.startswith("--"), words[words.index("--data") + 1 :])
        found.append((done, set(data) <= LOSSLESS))
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    zoo_points.draw(PICTURE, ours(), peers())
    if curves():
        scales = {entry.name: entry.scale for entry in narrow()}
        zoo_curves.draw(CURVES, curves(), scales, {e.name: stages(e) for e in narrow()})
