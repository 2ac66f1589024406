"""The page: one file that needs nothing else, whose scripts are the one that stands in it."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from edgevsr import __version__
from edgevsr.reporting.crops import FRAME, Comparison
from edgevsr.reporting.device_parts import (
    assumptions,
    device_sections,
    equality_table,
    fault_list,
    tool_table,
)
from edgevsr.reporting.fits import fit_cards
from edgevsr.reporting.markup import Html, join, tag
from edgevsr.reporting.memory_chart import memory_chart
from edgevsr.reporting.networks import Network, counts_at, network_of
from edgevsr.reporting.numbers import significant
from edgevsr.reporting.pareto import pareto_plots
from edgevsr.reporting.parts import icon, section
from edgevsr.reporting.results import KINDS, Result
from edgevsr.reporting.roofline_chart import shipped_device
from edgevsr.reporting.timing_parts import all_results, latency_bars, layer_sections


@dataclass(frozen=True)
class Contents:
    """All that the page shows. `tools` maps an input to the versions it was made by."""

    results: Sequence[Result]
    networks: Sequence[Network]
    comparisons: Sequence[Comparison]
    budgets_fps: Sequence[float]
    tools: Mapping[str, Mapping[str, str]]
    date: str


def render_page(contents: Contents) -> str:
    """Return the page as one HTML document that loads nothing."""
    style, script = _asset("page.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    sections = _sections(contents)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "edgevsr report"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the figures", href="#quality", class_="skip"),
        _header(contents, [(name, title) for name, title, _ in sections]),
        tag("main", (section(name, title, *content) for name, title, content in sections)),
        tag("footer", tag("p", f"Written by edgevsr {__version__}, {contents.date}.")),
        tag("script", Html(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return (resources.files("edgevsr.reporting") / name).read_text("utf-8")


def _header(contents: Contents, sections: Sequence[tuple[str, str]]) -> Html:
    counts = Counter(result.kind for result in contents.results)
    toggles = [
        tag(
            "label",
            tag("input", type="checkbox", id=f"show-{kind}", checked=True),
            icon(kind),
            tag("b", f"{kind} ({counts[kind]})"),
            tag("span", meaning, class_="soft"),
        )
        for kind, meaning in KINDS.items()
        if counts[kind]
    ]
    return tag(
        "header",
        tag("p", "edgevsr", class_="brand"),
        tag("h1", "What it costs, and how we know"),
        tag("fieldset", tag("legend", "Figures shown"), toggles, class_="kinds"),
        tag(
            "nav",
            (tag("a", title, href=f"#{name}") for name, title in sections),
            aria_label="Contents",
        ),
    )


def _sections(contents: Contents) -> list[tuple[str, str, list[Html | None]]]:
    budgets = contents.budgets_fps
    order = list(KINDS)
    results = sorted(contents.results, key=lambda each: (order.index(each.kind), each.ms or 0))
    precision = {network.name: network.precision for network in contents.networks}
    timed = [result for result in results if result.ms]
    found: list[tuple[str, str, list[Html | None]]] = [
        (
            "quality",
            "Quality against latency",
            [pareto_plots(results, budgets)],
        ),
        ("fits", "What fits which budget", [fit_cards(results, budgets)]),
        ("latency", "Latency against budgets", [latency_bars(results, budgets)]),
        ("layers", "Time by layer", [layer_sections(timed, precision)]),
    ]
    if contents.networks:
        found.append(("memory", "Memory over the layers", [_memory(contents)]))
    if contents.comparisons:
        found.append(("int8", "Float beside int8", [_crops(each) for each in contents.comparisons]))
    found.append(("devices", "Devices", [device_sections(results)]))
    equality = equality_table(results)
    if equality is not None:
        found.append(("equality", "Equality of outputs", [equality]))
    faults = fault_list(results)
    if faults is not None:
        found.append(("faults", "What went wrong", [faults]))
    found.append(("results", "Every figure", [all_results(results)]))
    notes = assumptions(results)
    found.append(
        (
            "basis",
            "What it rests on",
            [tag("h3", "Assumptions of the estimates") if notes else None, notes,
             tag("h3", "Tool versions"), tool_table(contents.tools)],
        )
    )  # fmt: skip
    return found


def _memory(contents: Contents) -> Html:
    """Return a chart for each network, at the largest size that a result has, or at its own."""
    charts = []
    for network in contents.networks:
        own = [each for each in contents.results if network_of(each, [network]) is network]
        sizes = dict.fromkeys([each.size for each in own] or [None])
        counted = [counts for size in sizes if (counts := counts_at(network, size))]
        if not counted or not network.graph.nodes:
            continue
        counted.sort(key=lambda each: -each.peak_activation_bytes)
        devices = [shipped_device(each.device) for each in own]
        sram = {
            device.name: value
            for device in devices
            if device is not None and (value := device.value("sram_bytes"))
        }
        charts.append(memory_chart(network.name, counted[0], sram, counted[1:]))
    return join(charts)


def _crops(comparison: Comparison) -> Html:
    titles = (comparison.float_name, comparison.int8_name, "difference in luma")
    figures = []
    for window in comparison.windows:
        uris = (window.float_uri, window.int8_uri, window.error_uri)
        place = f"at {window.left}, {window.top}"
        figures += [
            tag("img", src=uri, alt=f"{title} {place}", width=104, height=72)
            for title, uri in zip(titles, uris, strict=True)
        ]
    psnr = "equal" if comparison.psnr_db is None else f"{comparison.psnr_db:.2f} dB"
    return tag(
        "figure",
        tag("h3", f"{comparison.int8_name} against {comparison.float_name}"),
        tag(
            "div",
            (tag("span", title, class_="caption") for title in titles),
            figures,
            class_="crops",
        ),
        tag(
            "div",
            tag("span", "0"),
            tag("i", class_="heat"),
            tag("span", f"{comparison.full_scale_codes} codes of 255"),
            class_="scale",
        ),
        tag(
            "figcaption",
            f"int8 luma against float luma over the whole frame: {psnr}; "
            f"{significant(100 * comparison.changed)} % of the pixels differ, by "
            f"{comparison.max_codes} codes at most. Run here on frame {FRAME} of the shipped clip; "
            "the upper crops are where the two differ most, the lower ones where either differs "
            "most from bicubic, one SR pixel a square. "
            "Big Buck Bunny, © 2008 Blender Foundation, CC-BY 3.0.",
        ),
    )
