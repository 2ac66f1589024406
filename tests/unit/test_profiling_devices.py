"""Device profiles: the shipped ones are complete, and a malformed one names its key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import BudgetError
from edgevsr.profiling.devices import MARKS, device_names, load_device, parse_device
from edgevsr.profiling.profile_toml import profile_toml

PEAK = '[peak_int8_tops]\nvalue = 4.0\nsource = "a data sheet"\nmark = "published"\n'
GOOD = f'title = "A device"\n{PEAK}'


@pytest.mark.parametrize("name", device_names())
def test_every_shipped_profile_says_where_its_numbers_come_from(name: str) -> None:
    """Each fact carries a source and a mark, and each device a full name."""
    device = load_device(name)
    assert device.name == name
    assert device.title
    assert device.facts or device.unpublished
    for fact in device.facts.values():
        assert fact.source.strip()
        assert fact.mark in MARKS
    assert device.to_json()["facts"].keys() == device.facts.keys()


def test_the_devices_to_start_from_ship() -> None:
    """Ethos-N78 at 4 TOP/s has its peak and SRAM published and its bandwidth only assumed."""
    device = load_device("ethos-n78-4tops")
    assert device.value("peak_int8_tops") == 4.0
    assert device.value("sram_bytes") == 1 << 20
    assert device.facts["sram_bytes"].mark == "published"
    assert device.facts["dram_gb_s"].mark == "assumed"
    assert device.value("elementwise_gops") is None
    assert {
        "npu-4tops", "coral-edge-tpu", "rk3588", "hailo-8", "dimensity-9000", "tensor-g3",
        "dimensity-8100-nnapi", "dimensity-8100-neuron", "snapdragon-888-gpu",
        *(f"ethos-n78-{tops}tops" for tops in (1, 2, 4, 8)),
        *(f"snapdragon-8-gen-{generation}" for generation in (1, 2, 3)),
        *(f"apple-{chip}-ane" for chip in ("a15", "a17-pro", "m4")),
    } <= set(device_names())  # fmt: skip
    assert {"npu-4tops", "ethos-u55-256", "ethos-u65-512", "ethos-u85-1024"} <= set(device_names())


def test_unknown_device_suggests_the_nearest_name() -> None:
    """A slip of the keyboard is answered with the name that was meant."""
    with pytest.raises(BudgetError, match=r"did you mean 'ethos-n78-4tops'.*edgevsr list devices"):
        load_device("ethos-n78-4top")
    with pytest.raises(BudgetError, match=r"'\.\./etc/passwd' is not known"):
        load_device("../etc/passwd")


def test_a_profile_of_your_own(tmp_path: Path) -> None:
    """A path to a .toml is read where it lies."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert load_device(str(path)).name == "mine"
    with pytest.raises(BudgetError, match=r"absent\.toml: cannot read"):
        load_device(str(tmp_path / "absent.toml"))
    with pytest.raises(BudgetError, match="cannot read"):
        load_device("nul\0.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = A", r"not valid TOML: .*line 1, column 9"),
        ('title = "A', "not valid TOML: "),
        (PEAK, "title: is missing"),
        (f"title = 3\n{PEAK}", "title: expected text, got 3"),
        ('title = "A"', "peak_int8_tops: is missing"),
        (f"{GOOD}[dram_gbs]\nvalue = 1", r"'dram_gbs': is not a key.*did you mean 'dram_gb_s'"),
        (f"dram_gb_s = 3\n{GOOD}", "dram_gb_s: expected a table of value, source and mark, got 3"),
        (f"{GOOD}[dram_gb_s]\nvalue = 3", "dram_gb_s: expected a table"),
        (GOOD.replace("published", "guessed"), r"peak_int8_tops\.mark: expected one of published"),
        (GOOD.replace("a data sheet", " "), r"peak_int8_tops\.source: expected where"),
        (GOOD.replace("4.0", "-4.0"), r"peak_int8_tops\.value: -4.0 cannot be right in 10\^12"),
        (GOOD.replace("4.0", "4e12"), r"peak_int8_tops\.value: .*cannot be right"),
        (GOOD.replace("4.0", "nan"), r"peak_int8_tops\.value: expected a number"),
        (GOOD.replace("4.0", '"4"'), r"peak_int8_tops\.value: expected a number.*got '4'"),
        (GOOD.replace("4.0", "true"), r"peak_int8_tops\.value: expected a number"),
        (GOOD.replace("peak_int8_tops", "sram_bytes"), r"sram_bytes\.value: expected a whole"),
        (GOOD.replace("peak_int8_tops", "winograd"), r"winograd\.value: expected true or false"),
        (f'title = "A"\n{"#" * 70_000}', "larger than 64 KiB"),
        (GOOD.replace("4.0", "-4.0"), r"line 3: peak_int8_tops\.value: -4.0"),
        (GOOD.replace("published", "guessed"), r"line 5: peak_int8_tops\.mark: expected one"),
        (f"{GOOD}\n[dram_gb_s]\nvalue = 3", "line 7: dram_gb_s: expected a table"),
        (f"dram_gb_s = 3\n{GOOD}", "line 1: dram_gb_s: expected a table"),
        (f"{GOOD}[calibration]\nfiles = 0\n", r"line 7: calibration\.files: '0' is not one"),
        (f"{GOOD}[launch_ms]\nvalue = 1e9\nsource = 's'\nmark = 'measured'", "line 7: launch_ms.v"),
    ],
)
def test_malformed_profiles_name_the_key(text: str, message: str) -> None:
    """Every fault is one line that names the file and the key (or the line of the TOML)."""
    with pytest.raises(BudgetError, match=rf"^mine\.toml: .*{message}") as caught:
        parse_device(text.encode(), "mine", origin="mine.toml")
    assert "\n" not in str(caught.value)


def test_a_profile_may_say_that_nothing_is_published() -> None:
    """Then no peak is needed, and none is guessed."""
    device = parse_device(
        b'title = "A"\nunpublished = "Its vendor publishes nothing"\n', "a", origin="a"
    )
    assert not device.facts
    assert device.range_of(10.0)[:2] == (None, None)
    assert device.to_json()["unpublished"] == "Its vendor publishes nothing"


def test_what_another_estimator_says_is_the_range() -> None:
    """Vela's times over ours bound the estimate for Ethos-U."""
    low, high, why = load_device("ethos-u65-512").range_of(10.0)
    assert (low, high) == (15.0, 25.0)
    assert "vela" in why


@pytest.mark.parametrize("name", device_names())
def test_a_profile_is_written_as_it_was_read(name: str) -> None:
    """Written as TOML and read back it is the same device, but for Vela's names."""
    device = replace(load_device(name), vela=None)
    assert parse_device(profile_toml(device).encode(), name, origin=name) == device


@given(st.text(max_size=40))
def test_any_text_is_written_so_that_it_is_read_back(text: str) -> None:
    """Quotes, newlines and control characters in a title survive."""
    device = replace(load_device("npu-4tops"), title=text, notes="")
    assert parse_device(profile_toml(device).encode(), "a", origin="a").title == text


@given(st.binary(max_size=200))
def test_any_bytes_are_a_device_or_one_clear_line(data: bytes) -> None:
    """No bytes raise anything but BudgetError."""
    with pytest.raises(BudgetError, match=r"^x: "):
        parse_device(data, "x", origin="x")
