"""Estimates by the real Vela compiler, what they leave out, and Vela that fails or is missing."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import BudgetError, DeviceError, EdgeVsrError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.targets import lower
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.profiling import vela
from edgevsr.profiling.devices import load_device, parse_device
from tests.graphs import quantized, sesr_graph

SIZE = (64, 36)
DEVICES = ("ethos-u55-256", "ethos-u65-512", "ethos-u85-1024")
NET = quantized(sesr_graph(m=2, activation="leaky"), SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The net as a plain .tflite and as a QDQ .onnx."""
    (tmp_path / "plain.tflite").write_bytes(tflite_bytes(NET, SIZE))
    (tmp_path / "net.onnx").write_bytes(onnx_bytes(NET))
    (tmp_path / "float.onnx").write_bytes(onnx_bytes(sesr_graph(m=1)))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "scale"),
    [(DEVICES[0], 2), (DEVICES[0], 4), (DEVICES[1], 3), (DEVICES[2], 2), (DEVICES[2], 4)],
)
def test_what_export_writes_for_an_ethos_u_runs_whole_on_it(name: str, scale: int) -> None:
    device = load_device(name)
    graph = quantized(sesr_graph(m=1, scale=scale, channels=3), SIZE)
    data = tflite_bytes(lower(graph, vela.target_of(device)), SIZE)
    found = vela.compile_with_vela(data, device)
    assert found.cpu_operators == ()
    assert found.obstacles == ()
    assert found.cycles > 0
    assert sum(found.layer_cycles.values()) == found.cycles


def test_each_generation_gets_the_cheaper_form() -> None:
    """The one-hot form costs the U85 more than rows, and rows cost the U55 more."""
    forms = {name: tflite_bytes(lower(NET, name), SIZE) for name in ("ethos-u", "ethos-u85")}
    for name, best in (("ethos-u55-256", "ethos-u"), ("ethos-u85-1024", "ethos-u85")):
        device = load_device(name)
        cycles = {form: vela.compile_with_vela(forms[form], device).cycles for form in forms}
        assert min(cycles, key=lambda form: cycles[form]) == best == vela.target_of(device)


def test_operators_on_the_cpu_are_named_and_fail_the_budget(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plain file leaves DEPTH_TO_SPACE to the CPU, and no time of it is in the latency."""
    command = ["profile", str(folder / "plain.tflite"), "--device", "ethos-u55-256", "--fps", "1"]
    assert main([*command, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["cpu_operators"] == [{"operator": "DEPTH_TO_SPACE", "tensor": "sr"}]
    assert report["fps"] > 1
    assert report["met"] is False
    assert "DEPTH_TO_SPACE 'sr'" in report["obstacles"][0]
    assert any("lower bound" in line for line in report["assumptions"])


def test_the_report_says_who_estimated_and_what_was_compiled(folder: Path) -> None:
    report = edgevsr.profile(folder / "net.onnx", device="ethos-u85-1024", size=SIZE, fps=1)
    values = report.to_json()
    assert values["kind"] == "estimated"
    assert values["estimator"] == f"ethos-u-vela {vela.vela_version()}"
    assert values["met"] is True
    assert values["cpu_operators"] == values["obstacles"] == []
    assert values["latency_ms"] == pytest.approx(values["cycles"] / 1e9 * 1e3)
    assert 0 < values["arena_bytes"] <= values["arena_limit_bytes"] == 393_216
    assert values["dram_bytes"] > 0
    assert 0 < values["utilisation"] < 1
    assert "compiled: the file of edgevsr export --target ethos-u85" in values["assumptions"]
    known = sum(layer["ms"] for layer in values["layers"] if layer["ms"] is not None)
    assert known == pytest.approx(values["latency_ms"])


def test_our_own_model_is_named_too(folder: Path) -> None:
    report = edgevsr.profile(folder / "plain.tflite", device="ethos-n78-4tops")
    assert report.estimator is not None
    assert report.estimator.startswith("edgevsr ")
    assert report.cycles is None


def test_an_arena_larger_than_the_devices_fails_the_budget() -> None:
    """A U55 has no DRAM for activations, so what its profile gives them is all there is."""
    device = load_device("ethos-u55-256")
    small = replace(device.facts["arena_bytes"], value=4096)
    tight = replace(device, facts={**device.facts, "arena_bytes": small})
    data = tflite_bytes(lower(NET, "ethos-u"), SIZE)
    (obstacle,) = vela.compile_with_vela(data, tight).obstacles
    assert "has 4,096" in obstacle


def test_float_nets_and_options_of_the_other_model_are_refused(folder: Path) -> None:
    with pytest.raises(BudgetError, match=r"int8 only; quantize"):
        edgevsr.profile(folder / "float.onnx", device="ethos-u55-256")
    with pytest.raises(SpecError, match=r"--dram-gb-s: Vela has its own"):
        edgevsr.profile(folder / "net.onnx", device="ethos-u55-256", dram_gb_s=1.0)


def test_without_vela_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(vela, "version", missing)
    with pytest.raises(EdgeVsrError, match=r"ethos-u-vela.*pip install 'edgevsr\[npu\]'"):
        edgevsr.profile(folder / "plain.tflite", device="ethos-u55-256")


def test_a_vela_that_fails_or_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = load_device("ethos-u55-256")
    odd = replace(device, vela={**(device.vela or {}), "accelerator": "ethos-u55-999"})
    data = tflite_bytes(NET, SIZE)
    with pytest.raises(DeviceError, match=r"Vela failed \(exit code \d+\): .*ethos-u55-999"):
        vela.compile_with_vela(data, odd)
    with pytest.raises(DeviceError, match=r"Vela failed"):
        vela.compile_with_vela(data[:1000], device)
    monkeypatch.setattr(vela, "_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(DeviceError, match=r"longer than 0\.01 s"):
        vela.compile_with_vela(data, device)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, r"wrote 0 files like net_summary"),
        ({"net_summary_x.csv": "cycles_total\nmany\n"}, r"gives 'many' for 'cycles_total'"),
        ({"net_summary_x.csv": "cycles_total\n0\n"}, r"nothing of the network runs on the NPU"),
        ({"net_summary_x.csv": "cycles_total\n"}, r"summary has 0 rows"),
    ],
)
def test_tables_that_make_no_sense_are_refused(
    files: dict[str, str], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: Path, names: Any) -> None:
        del names
        (folder / "net_per-layer.csv").write_text("Name,Op Cycles\n")
        (folder / "net_vela.tflite").write_bytes(b"")
        for name, text in files.items():
            (folder / name).write_text(text)

    monkeypatch.setattr(vela, "_run", run)
    with pytest.raises(DeviceError, match=match):
        vela.compile_with_vela(b"", load_device("ethos-u55-256"))


def test_cycles_go_to_the_layers_by_the_tensors_they_make() -> None:
    data = tflite_bytes(lower(NET, "ethos-u85"), SIZE)
    found = vela.compile_with_vela(data, load_device("ethos-u85-1024"))
    odd = replace(found, layer_cycles={"sr": 1, "sr/slice_0": 2, "sr_half": 4, "#120": 8})
    assert vela.cycles_of(odd, ["last", "sr"]) == ([None, 7], 8)


PROFILE = """title = "mine"
[peak_int8_tops]
value = 1.0
source = "s"
mark = "assumed"
"""


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("vela = 3\n" + PROFILE, r"vela: expected a table of accelerator"),
        (PROFILE + '[vela]\naccelerator = "a"\n', r"vela: expected a table"),
        (
            PROFILE + '[vela]\naccelerator = "--help"\nsystem = "s"\nmemory = "m"\n',
            r"vela\.accelerator: expected a name",
        ),
    ],
)
def test_a_malformed_vela_table_is_named(table: str, match: str) -> None:
    with pytest.raises(BudgetError, match=match):
        parse_device(table.encode(), "mine", origin="mine.toml")


def test_vela_is_never_imported_here() -> None:
    assert not any(name.startswith("ethosu") for name in sys.modules)
