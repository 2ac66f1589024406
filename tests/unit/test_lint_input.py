"""The linter's input: damaged and foreign files, and the facts of targets."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

import edgevsr
from edgevsr.errors import ExportError, SourceError, SpecError
from edgevsr.exporters.targets import load_target, parse_target, target_names
from edgevsr.exporters.tflite import tflite_bytes
from tests.foreign_tflite import Net
from tests.graphs import quantized, sesr_graph

SIZE = (24, 16)
GOOD = tflite_bytes(quantized(sesr_graph(m=1), SIZE), SIZE)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(8, len(GOOD) - 1), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_refused_or_read_never_a_crash(
    at: int, flip: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = GOOD[:at] if cut else GOOD[:at] + bytes([GOOD[at] ^ flip]) + GOOD[at + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(data)
    with contextlib.suppress(SourceError):
        assert edgevsr.lint(path, target="tflite").target == "tflite"


def test_what_is_no_file_of_the_target_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "net.tflite"
    text.write_text("not a model at all")
    with pytest.raises(SourceError, match=r"no TFL3 mark"):
        edgevsr.lint(text, target="tflite")
    other = tmp_path / "net.onnx"
    other.write_bytes(b"\x08\x07garbage")
    with pytest.raises(SourceError, match=r"not an ONNX file|no network"):
        edgevsr.lint(other, target="onnx")
    with pytest.raises(SourceError, match=r"lint reads \.tflite and \.onnx"):
        edgevsr.lint(Path(__file__), target="tflite")
    with pytest.raises(SourceError, match=r"no such file"):
        edgevsr.lint(tmp_path / "nothing.tflite", target="tflite")
    good = tmp_path / "good.tflite"
    good.write_bytes(GOOD)
    with pytest.raises(ExportError, match=r"runs \.onnx files.*edgevsr list targets"):
        edgevsr.lint(good, target="onnx")


def test_huge_counts_are_refused_before_they_are_looped_over(tmp_path: Path) -> None:
    """The vector of tensors claims 2³¹ entries."""
    net = Net()
    net.leaky(net.tensor("x"), net.tensor("y"))
    data = bytearray(net.done("x", "y"))
    model = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    start = graph._tab.Vector(graph._tab.Offset(4))
    data[start - 4 : start] = (2**31 - 1).to_bytes(4, "little")
    path = tmp_path / "huge.tflite"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"2147483647 entries|damaged"):
        edgevsr.lint(path, target="tflite")


@pytest.mark.parametrize("name", target_names())
def test_every_target_has_facts_with_a_source(name: str) -> None:
    facts = load_target(name).lint
    assert facts is not None
    assert facts.source
    assert facts.int8


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ('wher = "x"', r"'lint\.wher'.*did you mean 'where'"),
        ('where = ""', r"'lint\.where': expected a text"),
        ("int8 = 3", r"'lint\.int8': expected a list"),
        ("max_rank = 99", r"'lint\.max_rank': expected 0 to 8"),
        ('severity = { operator = "fatal" }', r"'lint\.severity\.operator'"),
        ('fix = { "a b" = "x" }', r"'lint\.fix\.a b'"),
        ("fix = 3", r"'lint\.fix': expected a table, got 3"),
        ('severity = "error"', r"'lint\.severity': expected a table"),
    ],
)
def test_wrong_facts_are_named(line: str, match: str) -> None:
    good = {"where": '"x"', "elsewhere": '"y"', "source": '"z"', "int8": "[]", "float": "[]"}
    key, _, value = line.partition(" = ")
    table = "\n".join(f"{k} = {v}" for k, v in {**good, key: value}.items())
    text = (
        'schema_version = 1\nname = "mine"\nsummary = "a runtime"\nformat = "tflite"\n'
        'precisions = ["int8"]\nio = ["int8"]\noperators = ["conv2d"]\nrewrites = []\n'
        f'[activations]\nprelu = "keep"\n[way_out]\n[lint]\n{table}\n'
    )
    with pytest.raises(SpecError, match=match):
        parse_target(text, "mine")


def test_the_command_exits_by_its_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgevsr.cli import main

    path = tmp_path / "net.tflite"
    path.write_bytes(GOOD)
    assert main(["lint", str(path), "--target", "tflite"]) == 0
    assert main(["lint", str(path), "--target", "ethos-u"]) == 1
    out = capsys.readouterr().out
    assert "DEPTH_TO_SPACE" in out
    assert "errors: 1" in out
    assert main(["lint", str(path), "--target", "ethos-u", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == 1
    assert main(["lint", str(tmp_path / "none.tflite"), "--target", "tflite"]) == 2
