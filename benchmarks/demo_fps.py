"""Frames a second that the demo's page shows, against what its engine does alone.

    python -m benchmarks.demo_fps                       shipped networks, every engine
    python -m benchmarks.demo_fps --rounds 5 --net NET… --json fps.json

Both run in one page of a headless Chromium and in the same worker: the sample plays through the
network for some seconds, then the network runs on the last frame alone, and so on in turn; the
table gives medians, and the median of the shares within a round. Other work on the machine takes
more from the page than from the engine, because the page needs further processors to decode, read
and draw.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgevsr
from edgevsr.errors import EdgeVsrError
from tests.chromium import FLAGS, find

if TYPE_CHECKING:
    from playwright.sync_api import Page

NETS = ("sesr-m5-x2-w8a8", "sesr-m5-x2")
SIZES = ("320×180", "640×360")
WAYS = ("ort-wasm", "litert-wasm")
STAGES = ("upload", "net", "draw")
#: Less of the engine's rate than this is a failure.
LEAST_SHARE = 0.85
#: Asking on every animation frame, as is the default, would take time from the page.
POLL_MS = 250

Row = dict[str, Any]


@contextmanager
def opened(nets: Sequence[str]) -> Iterator[Page]:
    """The page with these networks, playing the sample."""
    from playwright.sync_api import sync_playwright

    chromium = find()
    if chromium is None:
        sys.exit("demo_fps: no Chromium here; run: python -m tests.chromium")
    served = edgevsr.demo(list(nets), port=0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.path,
            args=list(FLAGS),
            env={**os.environ, **chromium.environment},
        )
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(120_000)
        page.goto(served.address)
        page.wait_for_function("() => globalThis.edgevsrDemo")
        page.evaluate("edgevsrDemo.ready")
        yield page
        browser.close()
    served.close()


def one_round(page: Page, frames: int, alone_s: float) -> Row:
    """Return the rate shown over some frames, and that of the engine alone right after."""
    page.evaluate("edgevsrDemo.play()")
    page.wait_for_function("(n) => edgevsrDemo.figures().counted >= n", arg=frames, polling=POLL_MS)
    figures = page.evaluate("edgevsrDemo.figures()")
    page.evaluate("edgevsrDemo.pause()")
    alone_ms = statistics.median(page.evaluate("(s) => edgevsrDemo.time(s)", alone_s))
    return {
        "fps": figures["fps"],
        "alone_fps": 1e3 / alone_ms,
        "share": figures["fps"] * alone_ms / 1e3,
        **{f"{stage}_ms": figures["ms"][stage] for stage in STAGES},
    }


def measure(page: Page, net: str, size: str, way: str, options: argparse.Namespace) -> Row | None:
    """Return the medians of some rounds; None where the network does not run this way."""
    if page.evaluate("([n, s, w]) => edgevsrDemo.select(n, s, w)", [net, size, way]) != way:
        return None
    page.evaluate("edgevsrDemo.play()")
    page.wait_for_function("() => edgevsrDemo.figures().shown > 3", polling=POLL_MS)
    rounds = [one_round(page, options.frames, options.alone) for _ in range(options.rounds)]
    medians = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    return {"net": net, "size": size, "way": way, "rounds": len(rounds), **medians}


def main() -> None:
    """Measure every network, size and engine; exit 1 where int8 onnxruntime-web falls short."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", action="append", metavar="SOURCE", help=f"default {NETS}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=40, help="shown in a round, up to 60")
    parser.add_argument("--alone", type=float, default=3.0, help="seconds of the engine alone")
    parser.add_argument("--json", type=Path, help="write the table there too")
    options = parser.parse_args()
    print(f"{'':44}{'FPS':>7}{'alone':>8}{'share':>7}   " + "  ".join(f"{s} ms" for s in STAGES))
    rows: list[Row] = []
    with opened(options.net or NETS) as page:
        names = page.locator("#net option").all_inner_texts()
        for size in SIZES:
            for net in names:
                for way in WAYS:
                    row = measure(page, net, size, way, options)
                    if row is None:
                        continue
                    rows.append(row)
                    stages = "  ".join(f"{row[f'{s}_ms']:{len(s) + 3}.1f}" for s in STAGES)
                    name = f"{net}, {size}, {way}"
                    print(
                        f"{name:44}{row['fps']:7.2f}{row['alone_fps']:8.2f}{row['share']:7.2f}"
                        f"   {stages}",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    short = [row for row in rows if "int8" in row["net"] and row["share"] < LEAST_SHARE]
    if short:
        sys.exit(f"demo_fps: {len(short)} rows under {LEAST_SHARE:.0%} of the engine's rate")


if __name__ == "__main__":
    try:
        main()
    except EdgeVsrError as error:
        sys.exit(f"demo_fps: {error}")
