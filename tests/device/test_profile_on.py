"""`edgevsr profile --on …`: phones and this host through the whole verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevsr.cli import main
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.profiling.measured import read_measured
from edgevsr.profiling.phones.session import Request
from tests.device.conftest import BENCHMARK, MakePhone
from tests.device.test_phones import left_behind
from tests.graphs import sesr_graph
from tests.loopback_phone import Faults, LoopbackPhone

RequestFor = Callable[..., Request]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small network as a file."""
    path = tmp_path / "m5.onnx"
    path.write_bytes(onnx_bytes(sesr_graph()))
    return path


def test_profile_on_phones(
    make_phone: MakePhone, request_for: RequestFor, server: Path, net: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Two phones at once: one file each, the report is that of the phones, exit code 0."""
    phones = [make_phone(), make_phone()]
    places = [word for phone in phones for word in ("--on", f"adb:{phone.serial}")]
    code = main(
        ["profile", str(net), *places, "--adb", str(server), "--size", "64x36", "--fps", "20",
         "--benchmark-binary", str(request_for().program), "-o", str(tmp_path / "m.json"),
         "--json"]
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report
    assert (report["kind"], report["latency_ms"], report["met"]) == ("measured", 33.2094, True)
    stored = [read_measured(Path(path)) for path in report["outputs"]]
    assert [each.to_json() for each in stored] == report["measured"]
    assert len({*report["outputs"]}) == 2
    assert (stored[0].size, stored[0].scale, stored[0].file.name) == ("64x36", 2, "m5.tflite")
    assert stored[0].gmac == report["gmac"]


def test_a_phone_that_fails_is_exit_code_2_and_its_result_is_kept(
    make_phone: MakePhone, request_for: RequestFor, server: Path, net: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One line says why and where the result is; beside one that works it is exit code 1."""
    full, _ = make_phone(Faults(quota_bytes=10)), make_phone()
    common = ["--adb", str(server), "--size", "32x18", "--json",
              "--benchmark-binary", str(request_for().program)]  # fmt: skip
    alone = ["profile", str(net), "--on", f"adb:{full.serial}", "-o", str(tmp_path / "a.json")]
    assert main([*alone, *common]) == 2
    errors = capsys.readouterr().err
    assert "storage is full" in errors
    assert errors.count("\n") == 1
    assert read_measured(tmp_path / "a.json").partial
    both = ["profile", str(net), "--on", "adb:all", "-o", str(tmp_path / "b.json")]
    assert main([*both, *common]) == 1
    report = json.loads(capsys.readouterr().out)
    assert sorted(each["partial"] for each in report["measured"]) == [False, True]
    assert "storage is full" in report["obstacles"][0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on", "adb"], "--benchmark-binary"),
        (["--on", "fridge"], "expected host"),
        (["--on", "host", "--on", "adb"], "one after the other"),
        (["--runs", "3"], "only a phone has it"),
        (["--on", "host", "--delegate", "gpu"], "only a phone has it"),
        (["-o", "x.json"], "only a measurement is written"),
        (["--on", "adb", "--benchmark-binary", "nothing"], "no such file"),
        (["--on", "adb", "--benchmark-binary", "{net}", "--delegate", "nnapy"], "did you mean"),
        (["--on", "adb", "--benchmark-binary", "{net}", "--runs", "0"], "--runs 0"),
        (["--on", "adb", "--benchmark-binary", "{net}", "--sustained", "nan"], "--sustained nan"),
        (["--on", "adb", "--benchmark-binary", "{net}", "--runtime", "litert"], "onnxruntime"),
        (["--on", "adb", "--benchmark-binary", "{net}", "--adb", "nothing"], "no such program"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(
    net: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    """Before any phone is asked: exit code 2 and the way out."""
    program = net.with_name("onnx_perf_test")
    program.touch()
    words = [word.format(net=program) for word in arguments]
    assert main(["profile", str(net), "--size", "32x18", *words]) == 2
    errors = capsys.readouterr().err
    assert says in errors
    assert errors.count("\n") == 1


def test_ctrl_c_cleans_up(
    phone: LoopbackPhone, request_for: RequestFor, tmp_path: Path, server: Path, net: Path
) -> None:
    """SIGINT to the whole command: exit code 130, partial result written, nothing left behind."""
    request = request_for(BENCHMARK.replace("${SLEEP:-0}", "60"))
    command = [
        sys.executable, "-m", "edgevsr", "profile", str(net), "--on", f"adb:{phone.serial}",
        "--adb", str(server), "--benchmark-binary", str(request.program), "--runtime", "litert",
        "--size", "32x18", "-o", str(tmp_path / "cut.json"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 200
    while not any("--graph" in command for command in phone.commands):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(left_behind(phone)) == 1
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert left_behind(phone) == []
    kept = read_measured(tmp_path / "cut.json")
    assert kept.partial
    assert kept.device.model == "edgevsr Loopback 1"


def test_the_host_gives_the_same_object(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--on host -o` writes a measurement with this machine's facts, and refuses to replace it."""
    monkeypatch.setattr("edgevsr.profiling.host.WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(
        "edgevsr.profiling.host.time_calls.__kwdefaults__",
        {"seconds": 0.05, "min_runs": 5, "max_seconds": 5.0},
    )
    output = tmp_path / "host.json"
    words = ["profile", str(net), "--on", "host", "--size", "32x18", "--threads", "1"]
    assert main([*words, "-o", str(output), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    measured = read_measured(output)
    assert report["outputs"] == [str(output)]
    assert report["measured"] == [measured.to_json()]
    assert (measured.size, measured.scale, measured.file.name) == ("32x18", 2, "m5.onnx")
    assert measured.latency_ms.p50 == report["latency_ms"]
    assert measured.device.name.startswith("host-")
    assert {layer.op for layer in measured.layers} >= {"conv2d"}
    assert main([*words, "-o", str(output)]) == 2
    assert "--force" in capsys.readouterr().err
