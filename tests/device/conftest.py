"""Phones on loopback, driven by the real adb client through a server of their own."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgevsr.profiling.measured import MeasuredFile
from edgevsr.profiling.phones.adb import Adb, Limits, find_adb
from edgevsr.profiling.phones.session import Request
from edgevsr.profiling.phones.tools import tool_for
from tests.loopback_phone import Faults, LoopbackPhone

#: Generous, for a machine that is busy; what waits for a limit sets its own.
LIMITS = Limits(step_s=60, bench_s=60, reconnect_s=30, output_bytes=1 << 20)

#: What stands in for benchmark_model: it takes its arguments and prints its formats.
BENCHMARK = """#!/bin/sh
test -s model.tflite || { echo "ERROR: Failed to mmap model"; exit 1; }
echo "$@" >> ../arguments
echo 'INFO: Initialized session in 0.855ms.'
echo 'INFO: count=15 first=49060 curr=34012 min=32900 max=49060 avg=34825.1 std=3850'
echo
sleep ${SLEEP:-0}
echo 'INFO: count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450'
echo
echo 'INFO: Inference timings in us: Init: 855, First inference: 49060, '\
'Warmup (avg): 34825.1, Inference (avg): 33209.4'
echo 'INFO: Memory footprint delta from the start of the tool (MB): init=1.2 overall=12.5'
case "$*" in *op_profiling_output_file=*)
cat > ops.csv <<CSV
============================== Run Order ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 9.100, 9.050, 60%, 60%, 0.000, 1, [head]:0
DEPTH_TO_SPACE, 3.100, 3.000, 40%, 100%, 0.000, 1, [sr]:1

============================== Top by Computation Time ==============================
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 9.100, 9.050, 60%, 60%, 0.000, 1, [head]:0
DEPTH_TO_SPACE, 3.100, 3.000, 40%, 100%, 0.000, 1, [sr]:1

Number of nodes executed: 2
============================== Summary by node type ==============================
node type, count, avg_ms, avg %, cdf %, mem KB, times called
CONV_2D, 1, 9.050, 75%, 75%, 0.000, 1
CSV
esac
"""

MakePhone = Callable[..., LoopbackPhone]


@pytest.fixture(scope="session")
def client() -> Path:
    """The client that the adbutils wheel carries."""
    folder = Path(str(__import__("importlib.util").util.find_spec("adbutils").origin)).parent
    return folder / "binaries" / "adb"


@pytest.fixture(scope="session")
def adb_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server port and a home of the tests' own, so that nothing else is touched."""
    home = tmp_path_factory.mktemp("adb-home")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("HOME", str(home))
        patch.setenv("ANDROID_USER_HOME", str(home))
        patch.setenv("ADB_MDNS_AUTO_CONNECT", "0")
        patch.delenv("ANDROID_SERIAL", raising=False)
        yield


@pytest.fixture(scope="session")
def server(adb_environment: None, client: Path) -> Iterator[Path]:
    """The client with its server running; killed at the end."""
    subprocess.run([client, "start-server"], check=True, capture_output=True, timeout=30)
    yield client
    subprocess.run([client, "kill-server"], check=False, capture_output=True, timeout=30)


@pytest.fixture
def adb(server: Path) -> Adb:
    """The real client, held to short limits."""
    return Adb(find_adb(server), LIMITS)


@pytest.fixture
def make_phone(server: Path, tmp_path: Path) -> Iterator[MakePhone]:
    """Make a phone and connect the adb server to it."""
    phones: list[LoopbackPhone] = []

    def make(faults: Faults | None = None, **facts: object) -> LoopbackPhone:
        root = tmp_path / f"phone{len(phones)}"
        phone = LoopbackPhone(root, faults or Faults(), **facts)  # type: ignore[arg-type]
        phones.append(phone)
        subprocess.run([server, "connect", phone.serial], check=True, capture_output=True)
        return phone

    yield make
    for phone in phones:
        subprocess.run([server, "disconnect", phone.serial], check=False, capture_output=True)
        phone.close()


@pytest.fixture
def phone(make_phone: MakePhone) -> LoopbackPhone:
    """One phone without faults."""
    return make_phone()


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    """Make a request for a model of some bytes and a benchmark program that is a script."""

    def make(script: str = BENCHMARK, model_bytes: int = 5000, **options: object) -> Request:
        model, program = tmp_path / "net.tflite", tmp_path / "benchmark_model"
        model.write_bytes(os.urandom(model_bytes))
        program.write_text(script)
        file = MeasuredFile(
            "net.tflite", hashlib.sha256(model.read_bytes()).hexdigest(), model_bytes
        )
        return Request(model, program, tool_for(program), file, **options)  # type: ignore[arg-type]

    return make
