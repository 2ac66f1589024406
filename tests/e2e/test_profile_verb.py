"""`edgevsr profile`: the three kinds of report, their JSON, their gate and their errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import BudgetError, DeviceError, EdgeVsrError, SourceError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.targets import load_target, lower
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.ir import Graph
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph

KEYS = {
    "kind", "params", "gmac", "gmac_per_hr_pixel", "file_bytes", "peak_activation_bytes",
    "dram_bytes", "latency_ms", "latency_ms_p90", "latency_ms_min", "fps", "bound_by", "met",
    "layers", "size", "scale", "device", "runtime", "threads", "assumptions", "convention",
}  # fmt: skip
TIMES = ("latency_ms", "latency_ms_p90", "latency_ms_min", "fps", "bound_by", "utilisation")
SIZE = (64, 36)

Json = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SESR-M5 x2 and a recurrent cell as float .onnx, QDQ .onnx and int8 .tflite."""
    place = tmp_path_factory.mktemp("nets")
    m5 = sesr_graph()
    (place / "m5.onnx").write_bytes(onnx_bytes(m5))
    (place / "m5-w8a8.onnx").write_bytes(onnx_bytes(quantized(m5)))
    (place / "m5-fixed.onnx").write_bytes(onnx_bytes(m5, SIZE))
    (place / "fsrcnn.onnx").write_bytes(onnx_bytes(fsrcnn_graph()))
    (place / "m5-w8a8.tflite").write_bytes(tflite(quantized(m5), io="uint8"))
    (place / "cell.tflite").write_bytes(tflite(quantized(cell_graph()), io="int8"))
    return place


def tflite(graph: Graph, io: str) -> bytes:
    """The graph as the CPU target writes it."""
    return tflite_bytes(lower(graph, load_target("tflite")), SIZE, io=io)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Json:
    """Run `edgevsr profile … --json` and return its exit code and what it printed."""

    def call(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        code = main(["profile", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        assert captured.out, captured.err
        return code, json.loads(captured.out)

    return call


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only."""
    monkeypatch.setattr("edgevsr.profiling.host.WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(
        "edgevsr.profiling.host.time_calls.__kwdefaults__",
        {"seconds": 0.05, "min_runs": 5, "max_seconds": 5.0},
    )


def test_static_report_counts_and_has_no_times(folder: Path, run: Json) -> None:
    """Without a device or host the report is exact and every time in it is null."""
    path = folder / "m5.onnx"
    code, report = run(path)
    assert code == 0
    assert report.keys() >= KEYS
    assert report["kind"] == "static"
    assert (report["size"], report["scale"]) == ("640x360", 2)
    assert report["params"] == 13_520
    assert report["gmac"] == report["gmac_per_hr_pixel"] == pytest.approx(3.115008)
    assert report["file_bytes"] == path.stat().st_size
    assert all(report[key] is None for key in (*TIMES, "met", "device", "runtime"))
    assert all(layer.keys() == {"name", "op", "gmac", "bytes", "ms"} for layer in report["layers"])
    assert all(layer["ms"] is None for layer in report["layers"])
    assert sum(layer["gmac"] for layer in report["layers"]) == pytest.approx(report["gmac"])
    assert sum(layer["bytes"] for layer in report["layers"]) == report["dram_bytes"]


def test_fsrcnn_is_reported_in_both_conventions(folder: Path, run: Json) -> None:
    """Both counts of FSRCNN are there and the convention is named."""
    _, report = run(folder / "fsrcnn.onnx")
    assert report["gmac"] == pytest.approx(2.8717, abs=1e-4)
    assert report["gmac_per_hr_pixel"] == pytest.approx(6.0070, abs=1e-4)
    assert "once per LR pixel" in report["convention"]
    assert "once per HR pixel" in report["convention"]


@pytest.mark.parametrize("name", ["m5-fixed.onnx", "m5-w8a8.tflite"])
def test_size_defaults_to_the_files_own(folder: Path, run: Json, name: str) -> None:
    """A file made for one size is profiled at it, and at another where one is given."""
    assert run(folder / name)[1]["size"] == "64x36"
    assert run(folder / name, "--size", "32x18")[1]["gmac"] == pytest.approx(13_520 * 576 / 1e9)


def test_a_size_may_be_text(folder: Path) -> None:
    """In Python too, as on the command line."""
    text, pair = (edgevsr.profile(folder / "fsrcnn.onnx", size=s) for s in ("32x18", (32, 18)))
    assert text == pair


def test_every_format_of_a_net_counts_alike(folder: Path, run: Json) -> None:
    """Float, QDQ and .tflite have the same MACs and weights; int8 a quarter of the activations."""
    names = ("m5.onnx", "m5-w8a8.onnx", "m5-w8a8.tflite")
    reports = [run(folder / name, "--size", "64x36")[1] for name in names]
    assert len({(report["params"], report["gmac"]) for report in reports}) == 1
    peaks = [report["peak_activation_bytes"] for report in reports]
    assert peaks[0] == 4 * peaks[1] == 4 * peaks[2]


def test_estimate_meets_or_misses_the_budget(folder: Path, run: Json) -> None:
    """The gate decides the exit code, and what was assumed is printed."""
    net, device = folder / "m5-w8a8.onnx", ("--device", "ethos-n78-4tops", "--size", "1920x1080")
    code, report = run(net, *device)
    assert (code, report["kind"], report["met"]) == (0, "estimated", None)
    assert report["fps"] == pytest.approx(1e3 / report["latency_ms"])
    assert report["bound_by"] in ("compute", "memory", "elementwise")
    assert 0 < report["utilisation"] < 1
    assert report["latency_ms_p90"] is report["latency_ms_min"] is report["threads"] is None
    assert sum(layer["ms"] for layer in report["layers"]) == pytest.approx(report["latency_ms"])
    assert any(line.startswith("assumed: dram_gb_s") for line in report["assumptions"])
    assert run(net, *device, "--fps", "1")[1]["met"] is True
    code, missed = run(net, *device, "--fps", "1000")
    assert (code, missed["met"]) == (1, False)
    faster = run(net, *device, "--dram-gb-s", "100")[1]
    assert faster["latency_ms"] < report["latency_ms"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "options", "runtime"),
    [
        ("m5.onnx", (), "onnxruntime"),
        ("m5.onnx", ("--runtime", "litert"), "litert"),
        ("m5-w8a8.onnx", (), "litert"),
        ("m5-w8a8.onnx", ("--runtime", "onnxruntime"), "onnxruntime"),
        ("m5-w8a8.tflite", (), "litert"),
        ("m5-w8a8.tflite", ("--size", "32x20"), "litert"),
        ("m5-w8a8.tflite", ("--runtime", "onnxruntime"), "onnxruntime"),
        ("m5-fixed.onnx", ("--size", "32x20"), "onnxruntime"),
        ("cell.tflite", (), "litert"),
        ("fsrcnn.onnx", ("--runtime", "litert"), "litert"),
    ],
)
def test_measured_on_this_host(
    folder: Path, run: Json, name: str, options: tuple[str, ...], runtime: str
) -> None:
    """Any format runs in either runtime; times are in order and say how they were taken."""
    size = () if "--size" in options else ("--size", "64x36")
    code, report = run(folder / name, "--on", "host", "--threads", "1", *options, *size)
    assert code == 0
    assert (report["kind"], report["runtime"], report["threads"]) == ("measured", runtime, 1)
    assert 0 < report["latency_ms_min"] <= report["latency_ms"] <= report["latency_ms_p90"]
    assert report["fps"] == pytest.approx(1e3 / report["latency_ms"])
    assert report["runs"] >= 5
    assert report["bound_by"] is report["utilisation"] is report["device"] is None
    timed = [layer["ms"] for layer in report["layers"] if layer["op"] == "conv2d"]
    assert all((ms is None) == (runtime == "litert") for ms in timed)
    assert any("random pixels" in line for line in report["assumptions"])


@pytest.mark.usefixtures("quick")
def test_measured_budget(folder: Path, run: Json) -> None:
    """A measurement has the same gate."""
    here = (folder / "m5-w8a8.onnx", "--on", "host", "--size", "64x36", "--fps")
    assert run(*here, "0.01")[0] == 0
    assert run(*here, "1e9")[0] == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "npu-4tops", "on": "host"}, SpecError, "never mixed"),
        ({"on": "phone"}, DeviceError, "expected host"),
        ({"fps": 30}, BudgetError, "add --device NAME or --on host"),
        ({"fps": float("nan"), "on": "host"}, SpecError, "positive"),
        ({"threads": 2}, SpecError, "add --on host"),
        ({"runtime": "litert"}, SpecError, "add --on host"),
        ({"threads": 0, "on": "host"}, SpecError, "expected 1 to"),
        ({"dram_gb_s": 10, "on": "host"}, SpecError, "add --device"),
        ({"device": "ethos-n78-4top"}, BudgetError, "did you mean 'ethos-n78-4tops'"),
        ({"device": "ethos-n78-4tops"}, BudgetError, "edgevsr quantize"),
        ({"on": "host", "runtime": "tflite"}, SpecError, "did you mean 'litert'"),
    ],
)
def test_wrong_use_is_one_line_with_the_way_out(
    folder: Path, options: dict[str, Any], error: type[EdgeVsrError], message: str
) -> None:
    """Options that do not go together, and devices that do not exist."""
    with pytest.raises(error, match=message) as caught:
        edgevsr.profile(folder / "m5.onnx", **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_bad_sources_and_profiles_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, garbage, and a malformed device exit with 2 and no traceback."""
    (tmp_path / "garbage.onnx").write_bytes(b"\x08\x07 not a model")
    for name in ("absent.onnx", "garbage.onnx"):
        with pytest.raises(SourceError):
            edgevsr.profile(tmp_path / name)
        assert main(["profile", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) == 2


def test_own_device_file_with_a_wrong_key(folder: Path, tmp_path: Path) -> None:
    """A profile of one's own is checked, and the key that is wrong is named."""
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\n[peak_int8_tops]\nvalue = "4"\nsource = "x"\nmark = "claimed"')
    line = r"mine\.toml: line 3: peak_int8_tops\.value: expected a number"
    with pytest.raises(BudgetError, match=line):
        edgevsr.profile(folder / "m5-w8a8.onnx", device=str(path))


def test_the_function_returns_what_the_command_prints(folder: Path, run: Json) -> None:
    """`edgevsr.profile` is the verb; its report is frozen."""
    report = edgevsr.profile(folder / "m5.onnx", size=SIZE)
    assert json.loads(json.dumps(report.to_json())) == run(folder / "m5.onnx", "--size", "64x36")[1]
    assert replace(report, latency_ms=20.0, target_fps=50.0).met is True
