"""The pieces of the report: escaping, axes, fronts, and what is refused as a result."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import DataError
from edgevsr.reporting.fits import fit_cards
from edgevsr.reporting.inputs import read_inputs
from edgevsr.reporting.markup import Html, join, plain, tag
from edgevsr.reporting.numbers import byte_count, significant
from edgevsr.reporting.pareto import Point, front
from edgevsr.reporting.reading import read_result, read_results
from edgevsr.reporting.results import Result, commonest_set
from edgevsr.reporting.roofline_chart import spots
from edgevsr.reporting.scales import Scale
from edgevsr.reporting.svg import Box, Labels

LAYER = {"name": "first", "op": "conv2d", "gmac": 2.0, "bytes": 1_000_000, "ms": 4.0}


def profile(**changes: Any) -> dict[str, Any]:
    """A report as `edgevsr profile --json` prints it."""
    values = {
        "kind": "estimated", "source": "net", "size": "640x360", "scale": 2, "device": "npu",
        "params": 10, "gmac": 2.0, "latency_ms": 4.0, "layers": [LAYER], "assumptions": ["a note"],
    }  # fmt: skip
    return {**values, **changes}


def measured(**changes: Any) -> dict[str, Any]:
    """A measurement of a phone."""
    values = {
        "schema": "edgevsr-measured/1", "kind": "measured", "date": "2026-01-02T03:04:05+00:00",
        "file": {"name": "net.tflite"}, "device": {"name": "phone"}, "runtime": {"name": "litert"},
        "runs": 9, "latency_ms": {"p50": 5.0, "min": 4.5, "p90": 6.0},
    }  # fmt: skip
    return {**values, **changes}


def written(folder: Path, values: Any, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def result(ms: float, db: float, net: str = "net", **changes: Any) -> Result:
    made = Result(
        "measured", "file", net, "phone", "640x360", 2, {"p50": ms}, {}, psnr_y_db={"Set14": db}
    )
    return replace(made, **changes)


class Reader(HTMLParser):
    """Collects the elements, the attributes and the text that a browser would see."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(max_size=400))
def test_no_text_becomes_markup(text: str) -> None:
    """Whatever a file says is read back as that text, in an element and in an attribute."""
    seen = Reader(tag("p", text, title=text, class_="c"))
    assert seen.elements == ["p"]
    assert seen.attributes == [("title", plain(text)), ("class", "c")]
    assert seen.text == plain(text)


@given(st.text(max_size=100))
def test_unseen_characters_are_made_visible(text: str) -> None:
    """No control, override or half of a pair reaches the page, so it can be written as UTF-8."""
    shown = plain(text)
    assert len(shown) == len(text)
    assert shown.encode().decode() == shown
    assert not {"\x00", "\x1b", "\n", "\u202e", "\u2066"} & set(shown)


def test_markup_is_escaped_once_and_long_text_cut() -> None:
    """Markup stays markup, text is escaped where it is put in, and a flood is cut short."""
    inner = tag("b", "1 < 2")
    assert tag("p", inner, " & ", None) == "<p><b>1 &lt; 2</b> &amp; </p>"
    assert isinstance(join(inner, "<"), Html)
    assert tag("details", open=True, hidden=False, id=None) == "<details open></details>"
    assert tag("svg", view_box="0 0 1 1", aria_label='"') == (
        '<svg viewBox="0 0 1 1" aria-label="&quot;"></svg>'
    )
    assert len(plain("x" * 10_000)) == 500


@given(
    st.floats(1e-3, 1e5), st.floats(1.05, 1e4), st.booleans(), st.integers(3, 10),
)  # fmt: skip
def test_ticks_are_few_and_on_the_axis(low: float, times: float, log: bool, count: int) -> None:
    """An axis has between one and `count` ticks (one more where it begins and ends on one)."""
    scale = Scale(low, low * times, 0, 100, log)
    ticks = scale.ticks(count)
    assert len(ticks) <= count + 1
    assert ticks == sorted(set(ticks))
    assert all(low * 0.999 <= tick <= low * times * 1.001 for tick in ticks)


def test_axes_put_values_where_they_belong() -> None:
    """By hand: linear and logarithmic, and clamped outside."""
    assert Scale(0, 10, 100, 0).at(2.5) == 75
    assert Scale(1, 100, 0, 200, log=True).at(10) == pytest.approx(100)
    assert Scale(0, 10, 0, 100).at(99) == 100
    assert Scale(0, 10, 0, 1).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Scale(10, 200, 0, 1, log=True).ticks(6) == [10, 20, 50, 100, 200]


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(20, 40)), min_size=1, max_size=30))
def test_nothing_beats_the_front(pairs: list[tuple[float, float]]) -> None:
    """Every point off the front is beaten by one on it, and none on it is."""
    points = [Point(result(ms, db), ms, db) for ms, db in pairs]
    best = front(points)
    for point in points:
        beaten = any(
            other.ms <= point.ms and other.db >= point.db and (other.ms, other.db)
            != (point.ms, point.db)
            for other in best
        )  # fmt: skip
        on_it = any((other.ms, other.db) == (point.ms, point.db) for other in best)
        assert beaten != on_it


def test_labels_never_cover_one_another() -> None:
    """Twenty labels at one place: those that are placed are apart, the rest is left out."""
    labels = Labels(Box(0, 0, 400, 300))
    placed = [labels.place(200, 150, ["network", "device"]) for _ in range(20)]
    assert 5 < sum(label is not None for label in placed) < 20


def test_numbers_are_read_by_people() -> None:
    """By hand."""
    assert [significant(value) for value in (0.01234, 33.333, 174.06, 1234.5, 12_345.6)] == [
        "0.0123", "33.3", "174", "1,230", "12,300",
    ]  # fmt: skip
    assert [byte_count(value) for value in (None, 12, 24_960, 101_606_400, 3e9)] == [
        "–", "12 B", "25 kB", "102 MB", "3 GB",
    ]  # fmt: skip


def test_a_profile_and_a_measurement_become_results(tmp_path: Path) -> None:
    """The quoted figure, the spread and the layers, of both kinds of file."""
    estimate = read_result(
        written(tmp_path, profile(latency_ms_low=3.0, latency_ms_high=5.5, target_fps=50))
    )
    assert (estimate.kind, estimate.quoted, estimate.spread_ms) == (
        "estimated", ("p50", 4.0), (3.0, 5.5),
    )  # fmt: skip
    assert estimate.target_fps == 50
    phone = read_result(written(tmp_path, measured()))
    assert (phone.kind, phone.ms, phone.spread_ms, phone.net) == (
        "measured", 5.0, (4.5, 6.0), "net.tflite",
    )  # fmt: skip
    mean_only = read_result(written(tmp_path, measured(latency_ms={"mean": 7.0})))
    assert mean_only.quoted == ("mean", 7.0)
    emulated = read_result(written(tmp_path, measured(kind="emulated", latency_ms={})))
    assert emulated.ms is None


def test_a_report_of_several_phones_is_several_results(tmp_path: Path) -> None:
    """Each phone's own times, with what the report knows of the network; compare wants one."""
    phones = [measured(device={"name": name}, runs=9) for name in ("p1", "p2")]
    phones[0]["layers"] = [{"name": "first", "op": "CONV_2D", "ms": 3.0}]
    path = written(tmp_path, profile(kind="measured", latency_ms=None, measured=phones))
    first, second = read_results(path)
    assert (first.device, second.device, first.net, first.params) == ("p1", "p2", "net", 10)
    assert (first.layers[0].ms, first.layers[0].gmac) == (3.0, 2.0)
    with pytest.raises(DataError, match="holds measurements of 2 devices"):
        read_result(path)


def test_a_layers_place_under_the_roof(tmp_path: Path) -> None:
    """2 GMAC over 1 MB in 4 ms: 4000 operations a byte at 1000 Gop/s."""
    (spot,) = spots(read_result(written(tmp_path, profile())))
    assert (spot.intensity, spot.gops) == (4000, 1000)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected one JSON object"),
        ("[" * 100_000, "not JSON"),
        ({"kind": "estimated"}, "is no result"),
        ({"schema_version": 1, "net": "n"}, "give the artifact itself"),
        (profile(layers=[{"name": "x"}]), r"layers\[0\].op: is missing"),
        (profile(latency_ms=None), "latency_ms: a estimated report needs its latency"),
        (profile(kind="static"), "has no times"),
        (profile(latency_ms=-1), "latency_ms: expected a number from 0"),
        (profile(latency_ms=1e400), "latency_ms: expected"),
        (profile(size="big"), "size: expected"),
        (profile(source="two\nlines"), "source: expected one line"),
        (measured(schema="edgevsr-measured/9"), "edgevsr-measured/1"),
        (measured(latency_ms={"p50": "fast"}), r"latency_ms.p50: expected"),
        (measured(kind="emulated"), "wrong clock"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, values: Any, message: str) -> None:
    """One line that names the file and the key."""
    path = written(tmp_path, values)
    with pytest.raises(DataError, match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_are_read_whole_and_empty_ones_refused(tmp_path: Path) -> None:
    """A folder of results is its results, by name; one without any is a mistake."""
    with pytest.raises(DataError, match="holds no result"):
        read_inputs([tmp_path])
    written(tmp_path, measured(net="b"), "b.json")
    written(tmp_path, measured(net="a"), "a.json")
    results, networks = read_inputs([tmp_path])
    assert [each.net for each in results] == ["a", "b"]
    assert networks == []


def test_a_name_alone_is_no_proof(tmp_path: Path) -> None:
    """A result called as a shipped network is it only with the same number of weights."""
    shipped, other = (
        written(tmp_path, profile(source="sesr-m5-x2-w8a8", params=params), f"{params}.json")
        for params in (13_520, 13_521)
    )
    results, networks = read_inputs([shipped])
    assert [network.name for network in networks] == ["sesr-m5-x2-w8a8"]
    assert results[0].psnr_y_db["Set14"] == networks[0].psnr_y_db["Set14"] > 30
    results, networks = read_inputs([other])
    assert (networks, results[0].psnr_y_db) == ([], {})


def test_the_best_within_a_budget() -> None:
    """Quality decides among those in time; a hindered estimate is never in time."""
    fast, good = result(10, 32.0, "fast"), result(30, 33.0, "good")
    assert "good" in fit_cards([fast, good], [30])
    assert "nothing given" in fit_cards([good], [60])
    hindered = replace(fast, kind="estimated", faults=("CONV_2D on the CPU",))
    assert "nothing given" in fit_cards([hindered], [30])
    assert "cannot run as it is" in fit_cards([hindered], [30])


def test_the_test_set_that_most_have() -> None:
    """Set14 wins a tie; no quality, no set."""
    two = replace(result(1, 2), psnr_y_db={"Set5": 37.0, "Set14": 32.0})
    assert commonest_set([two]) == "Set14"
    assert commonest_set([two, replace(two, psnr_y_db={"Set5": 36.0})]) == "Set5"
    assert commonest_set([replace(two, psnr_y_db={})]) is None
