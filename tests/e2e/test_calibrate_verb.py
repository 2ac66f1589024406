"""`edgevsr calibrate`: from a table of latencies to a profile that `profile` and `fit` use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import BudgetError, DataError, OutputError, SourceError
from edgevsr.profiling.devices import load_device
from tests.latencies import SIZE, TRUTH, known_device, write_table


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of latencies beside the files they are of."""
    return write_table(tmp_path_factory.mktemp("measured"))


def test_the_profile_estimates_what_was_measured(measured: Path, tmp_path: Path) -> None:
    """Written, read back by --device PATH, and right on a network that was not measured."""
    output = tmp_path / "phone.toml"
    result = edgevsr.calibrate(source=measured, output=output, title="A phone", origin="me")
    assert load_device(str(output)) == result.device
    assert result.device.title == "A phone"
    assert "column phone_ms: me" in result.device.facts["launch_ms"].source
    assert all(fact.mark == "measured" for fact in result.device.facts.values())
    for file in result.files:
        assert file.fitted_ms == pytest.approx(file.measured_ms, rel=1e-4)
    report = edgevsr.profile("sesr-m5-x2-w8a8", device=str(output), size=SIZE, fps=30)
    truth = known_device()
    from edgevsr.profiling.roofline import estimate
    from edgevsr.sources import open_source

    expected = estimate(open_source("sesr-m5-x2-w8a8").graph, SIZE, truth).latency_ms
    assert report.latency_ms == pytest.approx(expected, rel=1e-4)
    assert report.latency_ms_low is not None
    assert report.latency_ms_high is not None
    assert report.latency_ms_low <= report.latency_ms <= report.latency_ms_high
    assert any("left out of the fit" in line for line in report.assumptions)


def test_another_size_is_called_an_extrapolation(measured: Path, tmp_path: Path) -> None:
    """The error seen at one frame size is not claimed for another."""
    output = tmp_path / "phone.toml"
    edgevsr.calibrate(source=measured, output=output)
    here = edgevsr.profile("sesr-m5-x2-w8a8", device=str(output), size=SIZE)
    there = edgevsr.profile("sesr-m5-x2-w8a8", device=str(output), size=(1920, 1080))
    assert not any(line.startswith("extrapolated") for line in here.assumptions)
    assert any(line.startswith("extrapolated: fitted at LR 640x360") for line in there.assumptions)


def test_json_and_an_existing_profile(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The constants and errors as JSON; an existing profile stays without --force."""
    command = ["calibrate", "--from", str(measured), "-o", str(tmp_path / "phone.toml"), "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["constants"]["launch_ms"] == pytest.approx(TRUTH["launch_ms"])
    assert found["networks"] == 6
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0


def test_models_may_lie_elsewhere(measured: Path, tmp_path: Path) -> None:
    """--models says where; without it they are looked for beside the table."""
    table = tmp_path / "latencies.csv"
    table.write_bytes(measured.read_bytes())
    output = tmp_path / "phone.toml"
    with pytest.raises(SourceError, match=r"narrow-x2\.tflite: cannot read this network"):
        edgevsr.calibrate(source=table, output=output)
    assert not output.exists()
    result = edgevsr.calibrate(source=table, models=measured.parent, output=output)
    assert len(result.files) == 12


def test_bad_input_leaves_nothing_behind(measured: Path, tmp_path: Path) -> None:
    """A negative time, a name that is no profile's, a rate that cannot be in these units."""
    text = measured.read_text()
    table = tmp_path / "bad.csv"
    first = text.splitlines()[1].rsplit(",", 1)[1]
    table.write_text(text.replace(first, f"-{first}"))
    with pytest.raises(DataError, match="line 2: phone_ms: expected positive"):
        edgevsr.calibrate(source=table, models=measured.parent, output=tmp_path / "a.toml")
    with pytest.raises(DataError, match=r"ends in \.toml"):
        edgevsr.calibrate(source=measured, output=tmp_path / "a.json")
    with pytest.raises(OutputError, match="is a folder"):
        edgevsr.calibrate(source=measured, output=_folder(tmp_path / "b.toml"))
    rows = [line.split(",") for line in text.splitlines()[1:]]
    tiny = "\n".join(f"{a},{b},{float(c) / 1e3!r}" for a, b, c in rows)  # seconds, called ms
    table.write_text(f"model,file,phone_ms\n{tiny}\n")
    with pytest.raises(BudgetError, match=r"c\.toml: .*peak_int8_tops\.value: .*cannot be right"):
        edgevsr.calibrate(source=table, models=measured.parent, output=tmp_path / "c.toml")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.csv", "b.toml"}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_calibrating_needs_no_torch() -> None:
    """Nor any runtime: the verb's modules import neither torch nor onnxruntime."""
    script = (
        "import sys, edgevsr.verbs.calibrate; "
        "print({'torch', 'onnxruntime', 'onnx', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
