"""`edgevsr report`: the page in a real Chromium, on a phone, with strings that mean harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import DataError, EdgeVsrError, OutputError, SourceError, SpecError
from edgevsr.sources import open_source
from tests.unit.test_reporting import measured, profile, written

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HARM = (
    "</title></script><img src=x onerror=\"document.title='harmed'\"><svg onload=alert(1)>\u202e'"
)
PHONE, DESKTOP = {"width": 360, "height": 800}, {"width": 1280, "height": 900}
NET = "sesr-m5-x2-w8a8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every kind, two devices of one kind, a hostile phone, and their page."""
    place = tmp_path_factory.mktemp("report")
    for device in ("npu-4tops", "ethos-n78-4tops"):
        for net in (NET, "fsrcnn-x2-w8a8"):
            found = edgevsr.profile(net, device=device, size=(640, 360), fps=50).to_json()
            if net != NET:
                found["latency_ms"] = 1.0  # less quality for less time: both are on the front
            written(place, found, f"{net}-{device}.json")
    hostile = {
        "device": {"name": "phone", "model": HARM, "soc": "<b>", "governor": "x" * 400},
        "layers": [{"name": HARM, "op": HARM, "ms": 1.5}],
        "faults": [HARM],
    }
    good = {
        "net": NET, "size": "640x360", "scale": 2, "psnr_y_db": {"Set14": 32.7},
        "temperatures_c": [{"seconds": -1, "zone": "cpu", "celsius": 31.5}],
        "sustained": [{"seconds": 1, "ms": 5}, {"seconds": 9, "ms": 8}],
        "throttled": True, "partial": True, "tools": {"adb": HARM},
    }  # fmt: skip
    written(place, measured(**hostile, **good), "phone.json")
    equality = {"against": "x86_64", "elements": 100, "different": 0, "max_abs_diff": 0}
    written(place, measured(kind="emulated", latency_ms={}, equality=equality), "emulated.json")
    written(place, profile(kind="static", latency_ms=None), "static.json")
    result = edgevsr.report([place, "sesr-m5-x2"], output=place / "report.html").to_json()
    (place / "printed").write_text(json.dumps(result))
    return place


@pytest.fixture
def page(browser: Browser, folder: Path) -> Iterator[Page]:
    """The page as a phone shows it; any error, any request and any dialog fails the test."""
    wrong: list[str] = []
    context = browser.new_context(viewport=PHONE, color_scheme="light", reduced_motion="reduce")
    opened = context.new_page()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    opened.on("request", lambda request: wrong.append(request.url))
    url = (folder / "report.html").as_uri()
    opened.goto(url)
    yield opened
    context.close()
    assert [each for each in wrong if each != url and not each.startswith("data:")] == []


def style(page: Page, selector: str, name: str) -> str:
    """A computed style of the first element that a selector finds."""
    script = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
    return str(page.evaluate(script, [selector, name]))


def test_it_says_what_is_on_it(folder: Path) -> None:
    """Counts by kind, budgets with the one that was asked for, the networks and their pictures."""
    result = json.loads((folder / "printed").read_text())
    assert result["kinds"] == {"emulated": 1, "measured": 1, "estimated": 4, "static": 1}
    assert result["budgets_fps"] == [24, 30, 50, 60]
    assert set(result["networks"]) == {"sesr-m5-x2", "fsrcnn-x2-w8a8", NET}
    assert result["bytes"] == (folder / "report.html").stat().st_size < 1_000_000
    int8 = {each["int8"]: each for each in result["int8_against_float"]}
    assert int8.keys() == {"fsrcnn-x2-w8a8", NET}
    assert all(each["psnr_db"] > 45 for each in int8.values())
    assert all(0 < each["changed"] < 1 for each in int8.values())


def test_harm_stays_text(page: Page) -> None:
    """What a phone says of itself is read, not run, and the page forbids what slips through."""
    assert page.title() == "edgevsr report"
    assert page.locator("script").count() == 1
    assert page.locator("img:not([src^='data:image/png'])").count() == 0
    shown = page.locator("#devices dd", has_text="onerror").inner_text()
    assert shown == HARM.replace("\u202e", "\N{REPLACEMENT CHARACTER}")


def test_what_slips_through_is_forbidden(browser: Browser, folder: Path) -> None:
    """Markup put into the finished page runs no script, and nothing leaves the page."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto((folder / "report.html").as_uri())
    opened.evaluate(
        "window.harmed = false; document.body.insertAdjacentHTML("
        "'beforeend', '<img id=slipped src=x onerror=\"window.harmed = true\">');"
    )
    opened.wait_for_function("document.getElementById('slipped').complete")
    opened.wait_for_timeout(100)
    assert opened.evaluate("window.harmed") is False
    asked = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.message)"
    blocked: list[str] = []
    opened.on("console", lambda message: blocked.append(message.text))
    assert opened.evaluate(asked) != "sent"
    assert any("Content Security Policy" in text for text in blocked)
    context.close()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page: Page, viewport: Any, scheme: Any) -> None:
    """Nothing is wider than the screen, one drawing of each chart shows, colours have contrast."""
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    narrow = viewport is PHONE
    assert style(page, ".chart.narrow", "display") == ("block" if narrow else "none")
    assert style(page, ".chart.wide", "display") == ("none" if narrow else "block")
    text_px = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.chart text')].filter(t => "
        "t.getClientRects().length).map(t => parseFloat(getComputedStyle(t).fontSize) * "
        "t.ownerSVGElement.getScreenCTM().a))"
    )
    assert text_px > 9.5
    grounds = [style(page, place, "backgroundColor") for place in ("body", ".card")]
    for kind in ("measured", "estimated", "emulated", "static"):
        colour = style(page, f".badge.{kind}", "color")
        for ground in grounds:
            assert contrast(colour, ground) >= 4.5
    assert contrast(style(page, ".soft", "color"), grounds[1]) >= 4.5


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours as `rgb(r, g, b)`. Source: WCAG 2.2, 1.4.3."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_kinds_are_told_apart_and_can_be_hidden(page: Page) -> None:
    """Each kind has its own shape and word; unticking one leaves no figure of it."""
    plot = page.locator("#quality .chart.narrow")
    assert plot.locator(".mark.measured circle.shape").count() == 1
    assert plot.locator(".mark.estimated path.shape").count() == 4
    budgets = plot.locator(".budget-name").all_text_contents()
    assert budgets == ["60 FPS", "50 FPS", "30 FPS", "24 FPS"]
    fronts = plot.locator("path.front")
    assert [each.get_attribute("class") for each in fronts.all()] == ["front estimated"] * 2
    for kind in ("measured", "estimated"):
        assert page.locator(f"main .badge.{kind}:visible").count() > 0
        page.locator(f"#show-{kind}").uncheck()
        assert page.locator(f"main .badge.{kind}:visible, main .mark.{kind}:visible").count() == 0


def test_a_keyboard_reaches_and_reads_every_mark(page: Page) -> None:
    """Tab stops once at a chart, arrows walk its marks in order, and each is read out."""
    figure = page.locator("#quality .figure").first
    marks = figure.locator(".chart.narrow .mark")
    marks.first.focus()
    seen = []
    for _ in range(marks.count()):
        seen.append(figure.locator(".readout").inner_text())
        page.keyboard.press("ArrowRight")
    assert len(set(seen)) == marks.count() == 5
    assert all(re.search(r"ms.*FPS.*dB PSNR-Y, (measured|estimated)$", text) for text in seen)
    assert figure.locator(".readout").inner_text() == seen[0]
    stops = figure.locator(".chart.narrow .mark[tabindex='0']")
    assert stops.count() == 1


def test_a_finger_reads_a_mark(page: Page) -> None:
    """A tap on a bar of the memory says which layer it is."""
    bar = page.locator("#memory .chart.narrow .mark").nth(2)
    bar.click()
    readout = page.locator("#memory .readout").first.inner_text()
    assert re.fullmatch(r"layer 3, .* alive, static", readout)


def test_pictures_are_there(page: Page) -> None:
    """Float, int8 and their difference, two places each, decoded by the browser."""
    sizes = page.evaluate(
        "[...document.querySelectorAll('.crops img')].map(i => [i.naturalWidth, i.naturalHeight])"
    )
    assert sizes == [[104, 72]] * 12
    assert page.locator(".crops img:not([alt])").count() == 0


def test_what_went_wrong_is_in_plain_sight(page: Page) -> None:
    """Faults, partial and throttled runs, equality and assumptions have their places."""
    for text in ("partial", "throttled"):
        assert page.locator("#latency .flag", has_text=text).is_visible()
    assert page.locator("#faults li").count() == 1
    assert "0 of 100" in page.locator("#equality").inner_text()
    assert "assumed: dram_gb_s" in page.locator("#basis").inner_text()
    assert "edgevsr" in page.locator("#basis table").inner_text()


def test_on_paper_everything_is_unfolded(page: Page) -> None:
    """Printing opens what is folded and leaves the controls out."""
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert style(page, "nav", "display") == style(page, ".readout", "display") == "none"


def test_a_page_about_nothing_but_a_network(tmp_path: Path, browser: Browser) -> None:
    """An artifact alone: its memory, and plain words where there are no times."""
    edgevsr.report(["sesr-m5-x4"], output=tmp_path / "page.html")
    context = browser.new_context(viewport=PHONE)
    opened = context.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert "No result has" in opened.locator("#quality").inner_text()
    layers = open_source("sesr-m5-x4").graph.nodes
    assert opened.locator("#memory .mark:visible").count() >= len(layers)
    context.close()


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        (["absent.json"], {}, DataError, "absent.json: cannot read this result"),
        (["nonet"], {}, SourceError, "no shipped network"),
        (["."], {}, DataError, "holds no result"),
        ([], {}, DataError, "nothing to report on"),
        ([NET], {"fps": [0]}, SpecError, "--fps 0"),
        ([NET], {"output": "."}, OutputError, "is a folder"),
    ],
)
def test_wrong_use_is_one_line(
    inputs: list[str],
    options: dict[str, Any],
    error: type[EdgeVsrError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is written, and the way out is said."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as caught:
        edgevsr.report(inputs, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, an existing page kept, and the pictures left out when asked."""
    output = folder / "cli.html"
    command = ["report", str(folder / "phone.json"), NET, "--no-crops", "--fps", "30"]
    assert main([*command, "-o", str(output), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["results"], result["budgets_fps"], result["int8_against_float"]) == (1, [30], [])
    assert main([*command, "-o", str(output)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "-o", str(output), "--force"]) == 0
