"""`edgevsr compare`: ratios with units, like with like, and its gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import DataError, SpecError
from tests.unit.test_reporting import measured, profile, written


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A measurement, a slower one by another tool, and an estimate."""
    layers = [{"name": "conv", "op": "CONV_2D", "ms": 2.0}, {"name": "add", "op": "ADD", "ms": 1.0}]
    slower = [{**layers[0], "ms": 6.0}, {"name": "new", "op": "ADD", "ms": 1.0}]
    values = {
        "a": measured(layers=layers, memory_bytes=100, init_ms=0),
        "b": measured(
            layers=slower, latency_ms={"p50": 5.5}, memory_bytes=150, init_ms=2,
            runtime={"name": "litert", "threads": 4},
        ),
        "mean": measured(latency_ms={"mean": 5.0}),
        "estimate": profile(),
        "static": profile(kind="static", latency_ms=None),
    }  # fmt: skip
    return {name: written(tmp_path, value, f"{name}.json") for name, value in values.items()}


def test_ratios_by_hand(files: dict[str, Path]) -> None:
    """5.5 ms against 5 is 10 % longer and inside 4.5 to 6; layers go by name."""
    found = edgevsr.compare(files["a"], files["b"]).to_json()
    assert found["latency"] == {"name": "p50", "unit": "ms", "a": 5.0, "b": 5.5, "ratio": 1.1}
    assert found["slowdown_percent"] == pytest.approx(10)
    assert (found["met"], found["within_spread"], found["same_kind"]) == (None, True, True)
    ratios = {each["name"]: (each["unit"], each["ratio"]) for each in found["ratios"]}
    assert ratios == {"init_ms": ("ms", None), "memory_bytes": ("bytes", 1.5)}
    assert [(each["name"], each["ratio"]) for each in found["layers"]] == [("conv", 3.0)]
    assert found["conditions"] == [{"name": "threads", "a": None, "b": "4"}]


def test_gate_and_exit_codes(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """0 within the gate, 1 beyond it with the result printed, 2 for what cannot be compared."""
    command = ["compare", str(files["a"]), str(files["b"])]
    assert main([*command, "--max-slowdown", "10.5"]) == 0
    assert "met: at most 10.5 % slower" in capsys.readouterr().out
    assert main([*command, "--max-slowdown", "5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["met"] is False
    assert main(["compare", str(files["b"]), str(files["a"]), "--max-slowdown", "-5"]) == 0
    assert main(["compare", str(files["a"]), str(files["estimate"])]) == 2
    assert "--across-kinds" in capsys.readouterr().err


def test_kinds_are_mixed_only_when_asked_and_said(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """An estimate beside a measurement says that it is no like with like."""
    assert main(["compare", str(files["a"]), str(files["estimate"]), "--across-kinds"]) == 0
    assert "A is measured and B is estimated: no like with like" in capsys.readouterr().out
    assert edgevsr.compare(files["estimate"], files["estimate"]).slowdown_percent == 0


def test_what_cannot_be_compared(files: dict[str, Path], tmp_path: Path) -> None:
    """No statistic in common, no time at all, no file, no such gate."""
    with pytest.raises(DataError, match=r"no statistic in common \(one has p50, p90, min"):
        edgevsr.compare(files["a"], files["mean"])
    with pytest.raises(DataError, match="is static and has no latency"):
        edgevsr.compare(files["static"], files["static"])
    with pytest.raises(DataError, match="cannot read this result"):
        edgevsr.compare(files["a"], tmp_path / "absent.json")
    with pytest.raises(SpecError, match="--max-slowdown -100"):
        edgevsr.compare(files["a"], files["b"], max_slowdown=-100)
