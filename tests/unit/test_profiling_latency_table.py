"""Tables of latencies from elsewhere: what is read of them, and how each fault is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import DataError
from edgevsr.profiling.latency_table import read_table

GOOD = "model,file,phone_ms\nA,a.tflite,1.5\nB,b.tflite,\nC,c/d.tflite, 20 \n"


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_is_read_and_empty_cells_are_left_out(tmp_path: Path) -> None:
    """Milliseconds a file, whose network has the same name at every scale."""
    found = read_table(table(tmp_path, GOOD), None, "any")
    assert [(row.file, row.network, row.latency_ms) for row in found.rows] == [
        ("a.tflite", "A", 1.5),
        ("c/d.tflite", "C", 20.0),
    ]
    assert found.column == "phone_ms"


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    """What a spreadsheet writes."""
    data = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert len(read_table(table(tmp_path, data), None, "any").rows) == 2


def test_the_column_is_named_or_told_by_the_devices_name(tmp_path: Path) -> None:
    """Of several columns the one made of the same words is taken; else it must be named."""
    text = "model,file,nnapi_phone8_ms,gpu_phone8_ms\nA,a.tflite,1,2\n"
    path = table(tmp_path, text)
    assert read_table(path, None, "phone-8-nnapi").rows[0].latency_ms == 1
    assert read_table(path, "gpu_phone8_ms", "phone-8-nnapi").rows[0].latency_ms == 2
    with pytest.raises(DataError, match=r"which latency.*nnapi_phone8_ms or gpu_phone8_ms"):
        read_table(path, None, "phone")
    with pytest.raises(DataError, match=r"no column 'gpu_ms'.*did you mean 'gpu_phone8_ms'"):
        read_table(path, "gpu_ms", "phone")
    with pytest.raises(DataError, match="column 'model': give milliseconds"):
        read_table(path, "model", "phone")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'model'"),
        ("model,phone_ms\nA,1\n", "no column 'file'"),
        ("modle,file,phone_ms\nA,a,1\n", "no column 'model'.*did you mean 'modle'"),
        ("model,file,phone_s\nA,a,1\n", "no column of milliseconds"),
        (GOOD.replace("1.5", "-1.5"), "line 2: phone_ms: expected positive milliseconds.*'-1.5'"),
        (GOOD.replace("1.5", "0"), "line 2: phone_ms: expected positive"),
        (GOOD.replace("1.5", "nan"), "line 2: phone_ms: expected positive"),
        (GOOD.replace("1.5", "1,5"), "line 2: expected 3 values"),
        (GOOD.replace("A,a.tflite,1.5", "A,a.tflite"), "line 2: expected 3 values"),
        (GOOD.replace(" 20 ", "fast"), "line 4: phone_ms: expected positive.*'fast'"),
        (GOOD.replace("1.5", "1500000"), "line 2: .*cannot be milliseconds.*another unit"),
        (GOOD.replace("1.5", "1.5e-6"), "line 2: .*cannot be milliseconds.*another unit"),
        (GOOD.replace("A,", ","), "line 2: model: is empty"),
        (GOOD.replace("a.tflite", "/etc/passwd"), "line 2: file: expected a path below"),
        (GOOD.replace("a.tflite", "../a.tflite"), "line 2: file: expected a path below"),
        (GOOD.replace("c/d.tflite", "a.tflite"), "a file stands there twice"),
        (b"model,file,phone_ms\nA,\xff\xfe,1\n", "not a CSV"),
        ('model,file,phone_ms\n"A,a,1\n', "not a CSV"),
        (b"x" * ((4 << 20) + 1), "larger than 4 MiB"),
    ],
)
def test_faults_are_one_line_that_names_the_place(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    """Missing columns, times that cannot be, another unit, paths that lead elsewhere."""
    with pytest.raises(DataError, match=message) as caught:
        read_table(table(tmp_path, text), None, "phone")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """No such file, no measurements in a folder."""
    with pytest.raises(DataError, match="cannot read these latencies"):
        read_table(tmp_path / "none.csv", None, "phone")
    with pytest.raises(DataError, match="no measurements there"):
        read_table(tmp_path, None, "phone")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_table_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """No bytes raise anything but DataError."""
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"model,file,phone_ms\n" + data)
    try:
        found = read_table(path, None, "phone")
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most bytes raise, some are a table
    else:
        assert all(row.latency_ms > 0 for row in found.rows)


def test_measurements_are_read_from_a_folder(tmp_path: Path) -> None:
    """Complete measurements of one device give their median; emulated ones no time."""

    def measurement(name: str, **changes: object) -> None:
        value = {
            "schema": "edgevsr-measured/1",
            "kind": "measured",
            "date": "2024-01-02T03:04:05+00:00",
            "file": {"name": f"{name}.tflite", "sha256": None, "bytes": None},
            "net": "sesr-m5",
            "device": {"name": "phone"},
            "runtime": {"name": "litert", "delegate": "nnapi"},
            "runs": 50,
            "latency_ms": {"p50": 4.5},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps({**value, **changes}))

    measurement("a")
    measurement("b", net=None, latency_ms={"mean": 6.0})
    measurement("c", partial=True)
    found = read_table(tmp_path, None, "phone")
    assert [(row.file, row.network, row.latency_ms) for row in found.rows] == [
        ("a.tflite", "sesr-m5", 4.5),
        ("b.tflite", "b", 6.0),
    ]
    measurement("d", device={"name": "other"})
    with pytest.raises(DataError, match="2 devices"):
        read_table(tmp_path, None, "phone")
