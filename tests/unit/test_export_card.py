"""The artifact and its card: complete, true of the file, both or neither."""

from __future__ import annotations

import errno
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edgevsr.collapsing import narrow_graph
from edgevsr.errors import ExportError, OutputError
from edgevsr.exporters.card import write_artifact
from edgevsr.exporters.targets import load_target, target_names
from edgevsr.nets.registry import build, net_spec
from tests.graphs import cell_graph, quantized, sesr_graph
from tests.litert import count_tflite_ops, open_tflite

SIZE = (24, 16)
SCHEMA = json.loads(resources.files("edgevsr").joinpath("card.schema.json").read_text())
SESR = quantized(sesr_graph(1))
CELL = quantized(cell_graph())


def write(graph: Any, folder: Path, target: str = "tflite", io: str | None = None) -> Any:
    goal = load_target(target)
    return write_artifact(graph, goal, SIZE, io, folder / f"net.{goal.format}")


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("target", target_names())
@pytest.mark.parametrize("graph", [SESR, CELL, sesr_graph(1), cell_graph()])
def test_every_card_follows_the_schema(graph: Any, target: str, tmp_path: Path) -> None:
    if not graph.quantized and target in ("ethos-u", "ethos-u85"):
        with pytest.raises(ExportError):
            write(graph, tmp_path, target)
        assert list(tmp_path.iterdir()) == []
        return
    artifact = write(graph, tmp_path, target)
    jsonschema.validate(json.loads(artifact.card_path.read_text()), SCHEMA)


def test_the_card_is_true_of_the_file(tmp_path: Path) -> None:
    artifact = write(CELL, tmp_path, io="uint8")
    card = json.loads(artifact.card_path.read_text())
    data = artifact.path.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data)
    assert card["ops"] == count_tflite_ops(data)
    assert card["recurrent"] is True
    assert card["params"] == CELL.params
    interpreter = open_tflite(data)
    for side in ("input", "output"):
        details = getattr(interpreter, f"get_{side}_details")()
        assert len(details) == len(card[f"{side}s"])
        for entry, detail in zip(card[f"{side}s"], details, strict=True):
            assert entry["name"] == detail["name"]
            assert entry["shape"] == detail["shape"].tolist()
            assert entry["dtype"] == np.dtype(detail["dtype"]).name
            assert (entry["scale"], entry["zero_point"]) == pytest.approx(detail["quantization"])
    assert [entry["role"] for entry in card["inputs"]] == ["frame", "state_in:0"]
    assert [entry["role"] for entry in card["outputs"]] == ["sr", "state_out:0"]


def test_quality_and_training_are_told_or_null(tmp_path: Path) -> None:
    card = json.loads(write(SESR, tmp_path).card_path.read_text())
    assert (card["psnr_y_db"], card["training"]) == (None, None)
    facts = {"psnr_y_db": {"set5": {"float": 37.1, "int8": None}}, "training": {"data": ["a"]}}
    path = tmp_path / "told.tflite"
    artifact = write_artifact(SESR, load_target("tflite"), SIZE, None, path, facts=facts)
    card = json.loads(artifact.card_path.read_text())
    jsonschema.validate(card, SCHEMA)
    assert {key: card[key] for key in facts} == facts


@pytest.mark.parametrize(
    ("curve", "fits"),
    [
        ([[1000, 33.1], [2000, 33.2]], True),
        ([], True),
        ([[1000]], False),
        ([[1000, 33.1, 0.0]], False),
        ([[1000, None]], False),
        ([[0.5, 33.1]], False),
        ([[step, 33.1] for step in range(1, 42)], False),
    ],
)
def test_a_learning_curve_is_forty_points_at_most(curve: Any, fits: bool) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA["properties"]["training"])
    assert validator.is_valid({"curve": curve}) is fits


def test_the_two_files_are_written_both_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        write(SESR, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["net.tflite", "net.json"])
def test_what_exists_is_kept(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        write(SESR, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize(
    ("graph", "target", "io", "text"),
    [
        (sesr_graph(1), "tflite", "int8", "this network is float"),
        (SESR, "ethos-u", "float", "takes int8, uint8"),
        (SESR, "onnx", "int8", "takes float"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    graph: Any, target: str, io: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=text):
        write(graph, tmp_path, target, io)


def test_the_suffix_has_to_be_the_formats(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"writes \.tflite"):
        write_artifact(SESR, load_target("tflite"), SIZE, None, tmp_path / "net.onnx")


def test_a_network_that_sees_its_sr_before_is_recurrent(tmp_path: Path) -> None:
    graph = narrow_graph(build(net_spec("rsesr-f4-m1-mc", 2)))
    card = json.loads(write(graph, tmp_path).card_path.read_text())
    assert card["recurrent"] is True
    assert {end["role"] for end in card["inputs"]} == {"frame", "previous_frame", "previous_sr"}
