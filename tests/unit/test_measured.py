"""Measurements as JSON: the schema, the reader and the type say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import DataError
from edgevsr.profiling.decoding import MAX_BYTES
from edgevsr.profiling.measured import (
    Latency,
    Measured,
    MeasuredDevice,
    MeasuredFile,
    MeasuredRuntime,
    Slice,
    Temperature,
    parse_measured,
    read_measured,
)

SCHEMA = json.loads(
    resources.files("edgevsr.profiling").joinpath("measured.schema.json").read_text()
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

EXAMPLE = Measured(
    kind="measured",
    date="2026-01-02T03:04:05+00:00",
    file=MeasuredFile("net.tflite", "0" * 64, 1234),
    device=MeasuredDevice("phone", "A Phone", cores=8, serial_hash="0123456789ab"),
    runtime=MeasuredRuntime("litert", "2.2", "gpu", 4),
    runs=50,
    latency_ms=Latency(p50=10.0, mean=10.5, min=9.0, max=20.0),
    size="640x360",
    net="sesr-m5",
    scale=2,
    psnr_y_db={"Set5": 37.0},
    gmac=3.115,
    temperatures_c=(Temperature(-1.5, "cpu", 40.0),),
    sustained=(Slice(10.0, 11.0),),
    throttled=False,
    tools={"adb": "36"},
)

Change = Callable[[dict[str, Any]], object]


def parse(value: Any) -> Measured:
    return parse_measured(json.dumps(value).encode(), origin="m.json")


def test_what_is_written_is_what_is_read() -> None:
    """A round trip loses nothing, and the schema is content."""
    value = EXAMPLE.to_json()
    VALIDATOR.validate(value)
    assert parse(value) == EXAMPLE
    assert EXAMPLE.typical == ("p50", 10.0)
    assert EXAMPLE.fps == 100.0


def test_the_least_that_is_enough() -> None:
    """Only what every tool knows is required; the rest is null by being absent."""
    least = {
        "schema": "edgevsr-measured/1",
        "kind": "measured",
        "date": "2026-01-02T03:04:05Z",
        "file": {"name": "net.onnx"},
        "device": {"name": "browser"},
        "runtime": {"name": "onnxruntime-web"},
        "runs": 0,
        "latency_ms": {},
    }
    VALIDATOR.validate(least)
    measured = parse(least)
    assert (measured.typical, measured.fps, measured.layers) == (None, None, ())
    assert parse({**least, "of_a_later_version": [1]}) == measured
    for key in least:
        missing = {name: value for name, value in least.items() if name != key}
        assert not VALIDATOR.is_valid(missing)
        with pytest.raises(DataError, match=key):
            parse(missing)


WRONG: dict[str, Change] = {
    "schema": lambda m: m.update(schema="edgevsr-measured/2"),
    "kind": lambda m: m.update(kind="estimated"),
    "file.name": lambda m: m["file"].update(name="a\nb"),
    "file.sha256": lambda m: m["file"].update(sha256="../../etc"),
    "file.bytes": lambda m: m["file"].update(bytes=-1),
    "device.name": lambda m: m["device"].update(name="x\x1b[31m"),
    "device.model": lambda m: m["device"].update(model="y" * 501),
    "device.cores": lambda m: m["device"].update(cores=True),
    "runtime": lambda m: m.update(runtime=[]),
    "runs": lambda m: m.update(runs=1.5),
    "latency_ms.p50": lambda m: m["latency_ms"].update(p50=-1),
    "latency_ms.mean": lambda m: m["latency_ms"].update(mean="10"),
    "size": lambda m: m.update(size="0x10"),
    "psnr_y_db.Set5": lambda m: m["psnr_y_db"].update(Set5=None),
    "layers": lambda m: m.update(layers={}),
    "layers[0].ms": lambda m: m.update(layers=[{"name": "a", "op": "b"}]),
    "temperatures_c[0].celsius": lambda m: m["temperatures_c"][0].update(celsius=5000),
    "throttled": lambda m: m.update(throttled="no"),
    "faults[0]": lambda m: m.update(faults=[7]),
    "tools.adb": lambda m: m["tools"].update(adb=36),
}


@pytest.mark.parametrize("key", WRONG)
def test_reader_and_schema_refuse_alike(key: str) -> None:
    """Each wrong value is refused by both, and the reader names the key."""
    value = EXAMPLE.to_json()
    WRONG[key](value)
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(DataError) as caught:
        parse(value)
    assert f"m.json: {key}:" in str(caught.value) or key == "schema"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("key", ["latency_ms", "init_ms", "first_ms", "layers", "sustained"])
def test_an_emulated_run_has_no_times(key: str) -> None:
    """Right bits, wrong clock: a time in it is refused by reader and schema."""
    bare = {**EXAMPLE.to_json(), "kind": "emulated", "latency_ms": {}, "sustained": []}
    VALIDATOR.validate(bare)
    assert parse(bare).fps is None
    times = {"latency_ms": {"p50": 1.0}, "layers": [{"name": "a", "op": "b", "ms": 1}],
             "sustained": [{"seconds": 1, "ms": 1}]}  # fmt: skip
    slow = {**bare, key: times.get(key, 1.0)}
    assert not VALIDATOR.is_valid(slow)
    with pytest.raises(DataError, match="wrong clock"):
        parse(slow)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": "edgevsr-measured/1"}', b"[" * 100_000,
     b'{"schema": NaN}', b" " * (MAX_BYTES + 1),
     json.dumps({**EXAMPLE.to_json(), "gmac": 1}).replace('"gmac": 1', '"gmac": Infinity').encode(),
     json.dumps({**EXAMPLE.to_json(), "date": "yesterday"}).encode(),
     json.dumps({**EXAMPLE.to_json(), "date": "2026-01-02T03:04:05"}).encode()],
    ids=range(12),
)  # fmt: skip
def test_damaged_files_are_one_line(tmp_path: Path, data: bytes) -> None:
    """Cut, foreign, deep, huge or undated: refused, with the file's name."""
    path = tmp_path / "m.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"m\.json: "):
        read_measured(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Missing, or a folder."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_measured(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(EXAMPLE.to_json())), value=JSON)
def test_any_value_anywhere_is_read_or_refused(key: str, value: Any) -> None:
    """The reader takes a change or raises DataError; what it takes the schema takes too."""
    changed = {**EXAMPLE.to_json(), key: value}
    try:
        measured = parse(changed)
    except DataError:
        return
    VALIDATOR.validate(measured.to_json())
    assert parse(measured.to_json()) == measured
