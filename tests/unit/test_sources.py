"""A SOURCE is opened as the stage it is, and anything else is refused in one line."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import EdgeVsrError, SourceError
from edgevsr.safetensors_header import read_header
from edgevsr.sources import list_zoo, open_source
from edgevsr.zoo import zoo_names


def safetensors(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


SPEC = {"name": "sesr-m5", "family": "sesr", "scale": 2}
WEIGHT = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
CHECKPOINT = safetensors(
    {"__metadata__": {"edgevsr": json.dumps({"spec": SPEC})}, "net.w": WEIGHT}, bytes(24)
)


def test_the_header_of_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    path = tmp_path / "net.safetensors"
    arrays = {"a": np.zeros((3, 4), np.float32), "b": np.zeros((5,), np.int64)}
    save_file(arrays, path, metadata={"edgevsr": "text"})
    header = read_header(path)
    assert header.metadata == {"edgevsr": "text"}
    assert header.shapes == {"a": (3, 4), "b": (5,)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"1234", "too short"),
        (struct.pack("<Q", 1 << 40) + b"{}", "not a .safetensors header"),
        (struct.pack("<Q", 100) + b"{}", "wants 100 bytes"),
        (struct.pack("<Q", 2) + b"{]", "not JSON"),
        (struct.pack("<Q", 6) + b"[" * 6, "not JSON"),
        (struct.pack("<Q", 200_000) + b"[" * 200_000, "not JSON"),
        (safetensors({"w": WEIGHT}, bytes(23)), "expected"),
        (safetensors({"w": WEIGHT}, bytes(25)), "expected"),
        (safetensors({"w": {**WEIGHT, "dtype": "F128"}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "dtype": []}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "shape": [2, 4]}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "shape": [-2, -3]}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "shape": [2**62, 2**62]}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "data_offsets": [24, 0]}}, bytes(24)), "contradicts"),
        (safetensors({"w": {**WEIGHT, "data_offsets": 24}}, bytes(24)), "contradicts"),
        (safetensors({"w": 3}, bytes(24)), "contradicts"),
        (safetensors({"__metadata__": {"edgevsr": 3}}), "not text"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=words):
        read_header(path)
    with pytest.raises(SourceError):
        open_source(path)


@given(at=st.integers(0, len(CHECKPOINT) - 1), value=st.integers(0, 255), end=st.integers(0, 1000))
def test_no_flipped_byte_or_cut_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, end: int
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "net.safetensors"
    path.write_bytes((CHECKPOINT[:at] + bytes([value]) + CHECKPOINT[at + 1 :])[:end])
    with contextlib.suppress(SourceError):
        open_source(path)


def test_a_checkpoint_is_known_without_torch_and_a_run_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(CHECKPOINT)
    for source in (tmp_path, str(tmp_path), tmp_path / "checkpoint.safetensors"):
        stage = open_source(source)
        assert (stage.kind, stage.name) == ("trained", "sesr-m5-x2")
        assert stage.path == tmp_path / "checkpoint.safetensors"


def test_a_foreign_safetensors_file_says_how_to_come_here(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in ({}, {"edgevsr": "3"}, {"edgevsr": "{"}, {"edgevsr": '{"spec": {}}'}):
        path.write_bytes(safetensors({"__metadata__": metadata, "w": WEIGHT}, bytes(24)))
        with pytest.raises(SourceError, match=r"torch\.onnx\.export"):
            open_source(path)


def test_a_header_of_any_length_is_not_taken_for_a_pickle(tmp_path: Path) -> None:
    """Pickles begin with the byte 0x80, and so do headers of 128, 384, … bytes."""
    path = tmp_path / "net.safetensors"
    starts = set()
    for padding in range(256):
        metadata = {"note": " " * padding}
        path.write_bytes(safetensors({"__metadata__": metadata, "w": WEIGHT}, bytes(24)))
        starts.add(path.read_bytes()[0])
        with pytest.raises(SourceError, match="edgevsr train did not write"):
            open_source(path)
    assert len(starts) == 256


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.ckpt", "net.safetensors", "net.onnx"])
def test_a_pickle_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(SourceError, match="pickle can run code"):
        open_source(name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.onnx", b"", "is empty"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(8), "not a kind of file"),
        ("net.tflite", b"not a flatbuffer", "no TFL3 mark"),
        ("net.tflite", b"\x10\0\0\0TFL3" + bytes(3), "net.tflite"),
        ("net.onnx", b"not a model", "net.onnx"),
        ("net.onnx", b"\x08\x08\x3a\xff\xff\xff\xff\x0f", "net.onnx"),
    ],
)
def test_a_foreign_or_broken_file_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(EdgeVsrError, match=words) as caught:
        open_source(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_beyond_any_phone_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceError, match="beyond the 512 MiB"):
        open_source(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"folder without checkpoint\.safetensors"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="not a regular file"):
        open_source("/dev/null")
    with pytest.raises(SourceError, match="no such file"):
        open_source(tmp_path / "absent.onnx")
    for text in ("a" * 5000, "nul\0byte"):
        with pytest.raises(SourceError):
            open_source(text)


def test_an_unknown_name_suggests_the_nearest_and_the_list() -> None:
    with pytest.raises(SourceError, match=r"did you mean 'sesr-m5-x2'\?.*edgevsr list zoo"):
        open_source("sesr-m5x2")


@pytest.mark.parametrize("name", zoo_names())
def test_every_shipped_network_opens_and_its_card_is_whole(name: str) -> None:
    entry = next(entry for entry in list_zoo() if entry.name == name)
    stage = open_source(name)
    form = {"trained": "wide", "collapsed": "narrow", "quantized": "w8a8"}[stage.kind]
    assert (stage.name, stage.card, form) == (name, entry.card, entry.form)
    assert {
        "name", "net", "scale", "colour", "recurrent", "params", "form", "training",
        "psnr_y_db", "ssim_y",
    } <= set(entry.card)  # fmt: skip
    assert entry.card["name"] == name
    assert {"data", "licences", "steps", "seed", "command", "date"} <= set(entry.card["training"])
    sets = {"Vid4"} if entry.recurrent else {"Set5", "Set14", "B100"}
    assert sets <= set(entry.psnr_y_db)
    if form != "wide":
        graph = stage.graph
        assert (graph.scale, graph.params) == (entry.scale, entry.card["params"])
        assert graph.quantized is (form == "w8a8")
