"""`profiles/adb`: the same steps in plain shell, and what `read_collected` makes of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgevsr.errors import DataError
from edgevsr.exporters.targets import load_target, lower
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.profiling.phones.collected import is_collected, read_collected
from tests.conftest import ROOT
from tests.device.conftest import BENCHMARK, MakePhone
from tests.device.test_phones import left_behind
from tests.graphs import quantized, sesr_graph
from tests.loopback_phone import Faults, LoopbackPhone

SCRIPTS = ROOT / "profiles" / "adb"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real int8 .tflite."""
    path = tmp_path_factory.mktemp("model") / "net's own.tflite"
    graph = lower(quantized(sesr_graph()), load_target("tflite"))
    path.write_bytes(tflite_bytes(graph, (64, 36), io="int8"))
    return path


def collect(
    server: Path, phone: LoopbackPhone, model: Path, out: Path, script: str = BENCHMARK
) -> subprocess.CompletedProcess[str]:
    program = out.parent / "benchmark_model"
    program.write_text(script)
    return subprocess.run(
        [SCRIPTS / "collect", model, program, out, "--num_threads=2", "--note=it's odd"],
        env={**os.environ, "ADB": str(server), "ANDROID_SERIAL": phone.serial, "THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_collect_brings_back_what_report_reads(
    server: Path, phone: LoopbackPhone, model: Path, tmp_path: Path
) -> None:
    """Facts, times, layers and temperatures arrive; odd arguments too; nothing stays behind."""
    done = collect(server, phone, model, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (measured,) = read_collected(tmp_path / "out")
    assert (measured.partial, measured.faults) == (False, ())
    assert (measured.latency_ms.mean, measured.runs) == (33.2094, 50)
    assert [layer.op for layer in measured.layers] == ["CONV_2D", "DEPTH_TO_SPACE"]
    device = measured.device
    assert (device.model, device.cores) == ("edgevsr Loopback 1", 8)
    assert device.governor == "schedutil"
    assert device.serial_hash == hashlib.sha256(phone.serial.encode()).hexdigest()[:12]
    assert (measured.runtime.threads, measured.runtime.delegate) == (2, "cpu")
    assert measured.file.name == "net's own.tflite"
    assert (measured.size, measured.scale) == ("64x36", 2)
    assert {each.celsius for each in measured.temperatures_c} == {36.5}
    assert left_behind(phone) == []
    assert "--num_threads=2 --note=it's odd" in (phone.storage / "arguments").read_text()
    assert is_collected(tmp_path)
    assert read_collected(tmp_path) == [measured]


@pytest.mark.parametrize(
    ("faults", "script", "code", "says"),
    [
        (Faults(cut_start="--graph"), BENCHMARK, 75, "the phone was disconnected in mid-run"),
        (Faults(), "#!/bin/sh\necho broken; exit 9\n", 9, "failed with exit code 9"),
        (Faults(quota_bytes=100), BENCHMARK, 2, "the files did not reach the phone"),
    ],
    ids=["disconnect", "fails", "full"],
)  # fmt: skip
def test_collect_says_what_went_wrong(
    server: Path, make_phone: MakePhone, model: Path, tmp_path: Path,
    faults: Faults, script: str, code: int, says: str,
) -> None:  # fmt: skip
    """The exit code tells, the fault is in the folder, and the result is partial."""
    phone = make_phone(faults)
    done = collect(server, phone, model, tmp_path / "out", script)
    assert done.returncode == code, done.stderr
    (measured,) = read_collected(tmp_path / "out")
    assert measured.partial
    assert any(says in fault for fault in measured.faults)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="device: no shellcheck here")
@pytest.mark.parametrize("name", ["common", "push", "bench", "pull", "collect"])
def test_the_scripts_are_plain_posix_shell(name: str) -> None:
    """By shellcheck, as POSIX sh."""
    command = ["shellcheck", "--shell=sh", "-x", "-P", SCRIPTS, SCRIPTS / name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "text",
    ["", "format=edgevsr-collected/9\n", "format=edgevsr-collected/1\ndate=yesterday\n",
     "format=edgevsr-collected/1\ndate=2026-01-01T00:00:00+00:00\nbytes=-1\n",
     "format=edgevsr-collected/1\ndate=2026-01-01T00:00:00+00:00\nbytes=5\nsha256=zz\n"],
)  # fmt: skip
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    """One line that names the file; never a traceback."""
    (tmp_path / "collected.txt").write_text(text)
    with pytest.raises(DataError, match=r"collected\.txt"):
        read_collected(tmp_path)


def test_an_empty_folder_is_not_collected(tmp_path: Path) -> None:
    """It says which script makes one."""
    assert not is_collected(tmp_path)
    with pytest.raises(DataError, match="profiles/adb/collect"):
        read_collected(tmp_path)
