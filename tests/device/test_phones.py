"""A run on a phone, through the real adb client: what comes back, and what each fault gives."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgevsr.files import write_json
from edgevsr.profiling.measured import LayerTime, Measured, read_measured
from edgevsr.profiling.phones.adb import Adb, DisconnectedError, find_adb
from edgevsr.profiling.phones.fleet import measure_phones
from edgevsr.profiling.phones.session import Request, measure_phone
from edgevsr.profiling.subject import SubjectFacts
from tests.device.conftest import BENCHMARK, LIMITS, MakePhone
from tests.loopback_phone import PROPERTIES, Faults, LoopbackPhone

RequestFor = Callable[..., Request]

#: What Android's shell says of a binary for another processor.
NOT_EXECUTABLE = "#!/bin/sh\necho 'sh: ./benchmark: not executable: 64-bit ELF file'; exit 126\n"


def measure(adb: Adb, phone: LoopbackPhone, request: Request) -> Measured:
    return measure_phone(adb.phone(phone.serial), request, adb.version())


def left_behind(phone: LoopbackPhone) -> list[str]:
    """Return the run folders that are still on the phone."""
    return [path.name for path in phone.storage.iterdir() if path.name.startswith("edgevsr-")]


def clients() -> list[str]:
    """Name the clients at hand; the last exits 0 where the real one says that it was cut off."""
    debian = Path("/usr/lib/android-sdk/platform-tools/adb")
    return ["carried", *(["debian"] if debian.exists() else []), "exits-0"]


@pytest.fixture(params=clients())
def each_client(request: pytest.FixtureRequest, client: Path, tmp_path: Path) -> Path:
    """An adb client: the carried one, Debian's where it is installed, and one that hides faults."""
    if request.param == "debian":
        return Path("/usr/lib/android-sdk/platform-tools/adb")
    if request.param == "carried":
        return client
    wrapper = tmp_path / "adb"
    wrapper.write_text(
        f'#!/bin/sh\n"{client}" "$@"\ncode=$?\n'
        'case "$*" in *" shell "*) test $code = 255 && exit 0 ;; esac\nexit $code\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def test_a_run_brings_everything_back(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor, tmp_path: Path
) -> None:
    """Times, layers, memory, device facts, temperatures and versions; nothing stays behind."""
    request = request_for(threads=2, runs=50, subject=SubjectFacts("640x360", "sesr-m5", 2))
    measured = measure(adb, phone, request)
    assert (measured.partial, measured.faults) == (False, ())
    assert (measured.runs, measured.latency_ms.mean, measured.init_ms) == (50, 33.2094, 0.855)
    assert measured.first_ms == 49.06
    assert (measured.size, measured.net, measured.scale) == ("640x360", "sesr-m5", 2)
    assert measured.memory_bytes == int(12.5 * 2**20)
    assert measured.layers == (
        LayerTime("head", "CONV_2D", 9.05),
        LayerTime("sr", "DEPTH_TO_SPACE", 3.0),
    )
    device = measured.device
    assert (device.name, device.model) == ("loopback-1-emu8100", "edgevsr Loopback 1")
    assert (device.soc, device.android, device.abi) == ("Test EMU8100", "14", "arm64-v8a")
    assert (device.cores, device.governor) == (8, "schedutil")
    assert {(each.zone, each.celsius) for each in measured.temperatures_c} == {("cpu-0-0", 36.5)}
    assert measured.temperatures_c[0].seconds <= 0 <= measured.temperatures_c[-1].seconds
    assert measured.throttled is False
    assert measured.tools["adb"] == adb.version()
    said = (phone.storage / "arguments").read_text().splitlines()
    assert "--graph=model.tflite --num_runs=50" in said[0]
    assert "--num_threads=2" in said[0]
    assert left_behind(phone) == []
    write_json(tmp_path / "measured.json", measured.to_json())
    assert read_measured(tmp_path / "measured.json") == measured


def test_a_sustained_run_goes_on_in_stretches(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor
) -> None:
    """Stretch by stretch, with temperatures between; the figures are those of the first run."""
    counting = (
        "#!/bin/sh\nn=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n\n"
        "echo count=1 curr=9\necho count=1 curr=$((n*1000))\n"
        "echo 'Inference timings in us: Init: 1, Inference (avg): 1'\n"
    )
    measured = measure(adb, phone, request_for(counting, sustained_s=1.0))
    milliseconds = [each.ms for each in measured.sustained]
    assert milliseconds == [2.0 + index for index in range(len(milliseconds))] != []
    assert len(measured.temperatures_c) == 2 + len(milliseconds)
    assert measured.latency_ms.p50 == 1.0


@pytest.mark.parametrize(
    ("faults", "begins"),
    [
        (Faults(cut_push_bytes=100_000), "push of net.tflite"),
        (Faults(cut_start="--graph"), "benchmark_model"),
    ],
    ids=["push", "run"],
)
def test_a_phone_that_comes_back_is_measured_afresh(
    adb: Adb, make_phone: MakePhone, request_for: RequestFor, faults: Faults, begins: str
) -> None:
    """A disconnect in mid-push or mid-run is noted, waited for and the run begun again."""
    phone = make_phone(faults)
    measured = measure(adb, phone, request_for(model_bytes=1_000_000))
    assert len(measured.faults) == 1
    assert f"{phone.serial}: {begins}" in measured.faults[0]
    assert "the phone was disconnected" in measured.faults[0]
    assert (measured.partial, measured.latency_ms.mean) == (False, 33.2094)
    assert left_behind(phone) == []


def test_a_disconnect_is_seen_whatever_adb_exits_with(
    each_client: Path, make_phone: MakePhone, server: Path, request_for: RequestFor
) -> None:
    """Cut in mid-run, client 36 exits 255 and 29 exits 0: the missing sentinel tells."""
    phone = make_phone(Faults(cut_run="mark"))
    environment_of_its_own = each_client.name == "adb" and "android-sdk" in str(each_client)
    if environment_of_its_own:
        # A server of another version would be replaced by the client's own.
        subprocess.run([server, "kill-server"], check=False, capture_output=True)
    try:
        adb = Adb(find_adb(each_client), LIMITS)
        adb.call(["connect", phone.serial])
        with pytest.raises(DisconnectedError, match="the phone was disconnected") as caught:
            adb.phone(phone.serial).shell("echo begun; echo mark; sleep 2; echo late")
        assert "begun" in caught.value.output
    finally:
        if environment_of_its_own:
            subprocess.run([each_client, "kill-server"], check=False, capture_output=True)
            subprocess.run([server, "start-server"], check=True, capture_output=True)


def test_a_phone_that_stays_away_leaves_what_came(
    adb: Adb, make_phone: MakePhone, request_for: RequestFor
) -> None:
    """Cut after the timed run, the times are kept, marked partial, and the folder is named."""
    phone = make_phone(Faults(cut_start="op_profiling", comes_back=False))
    quick = Adb(adb.client, replace(LIMITS, reconnect_s=0.5))
    measured = measure(quick, phone, request_for())
    assert measured.partial
    assert measured.latency_ms.mean == 33.2094
    assert any("the phone was disconnected" in fault for fault in measured.faults)
    assert any("may still be on the phone" in fault for fault in measured.faults)


@pytest.mark.parametrize(
    ("faults", "facts", "script", "says"),
    [
        (Faults(quota_bytes=3000), {}, BENCHMARK, "the phone's storage is full"),
        (Faults(corrupt_push=True), {}, BENCHMARK, "arrived damaged"),
        (Faults(), {}, "#!/no/such/interpreter\n", "is missing"),
        (Faults(), {}, "#!/bin/sh\nexec ./libLiteRt.so\n", "is missing"),
        (Faults(), {}, NOT_EXECUTABLE, "cannot be executed there, as by a wrong ABI (sh: "),
        (Faults(), {}, "#!/bin/sh\necho ERROR: no GPU here; exit 1\n", "ERROR: no GPU here"),
        (Faults(), {}, "#!/bin/sh\nkill -SEGV $$\n", "SIGSEGV"),
        (Faults(), {}, "#!/bin/sh\necho hello\n", "said no time"),
        (Faults(), {}, "#!/bin/sh\necho count=9; echo count=9 avg=-4\n", "cannot be a time"),
    ],
    ids=["full", "damaged", "no-interpreter", "no-library", "not-executable", "fails", "crashes",
         "no-times", "negative-time"],
)  # fmt: skip
def test_faults_that_no_second_try_mends(
    adb: Adb, make_phone: MakePhone, request_for: RequestFor,
    faults: Faults, facts: dict[str, str], script: str, says: str,
) -> None:  # fmt: skip
    """Each is one line that names the phone's trouble; one attempt, and the folder is removed."""
    phone = make_phone(faults, **facts)
    measured = measure(adb, phone, request_for(script))
    assert measured.partial
    assert measured.typical_ms is None
    assert len(measured.faults) == 1
    assert says in measured.faults[0]
    assert "\n" not in measured.faults[0]
    assert left_behind(phone) == []


def test_a_binary_for_another_processor_is_refused_before_it_is_sent(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor
) -> None:
    """The ELF header of an x86-64 program against an Arm phone's ABIs."""
    request = request_for()
    request.program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00")
    measured = measure(adb, phone, request)
    assert "is built for x86_64, the phone runs arm64-v8a, armeabi-v7a" in measured.faults[0]
    assert not any("mkdir" in command for command in phone.commands)


def test_a_hung_program_is_ended_on_the_phone_too(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor
) -> None:
    """What it had printed is kept, its process does not outlive the run."""
    script = f"#!/bin/sh\necho $$ > {phone.root}/hung\n{BENCHMARK[10:]}"
    request = request_for(script.replace("${SLEEP:-0}", "600"))
    hasty = Adb(adb.client, replace(LIMITS, bench_s=3.0))
    measured = measure(hasty, phone, request)
    assert "no end after 3 s" in measured.faults[0]
    assert measured.partial
    pid = int((phone.root / "hung").read_text())
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists() or _is_zombie(pid):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the program still runs")
    assert left_behind(phone) == []


def _is_zombie(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_output_that_never_ends_is_cut_off(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor
) -> None:
    """A program that prints without end is stopped at the limit, not when memory is full."""
    measured = measure(adb, phone, request_for("#!/bin/sh\nexec yes 0123456789abcdef\n"))
    assert "printed more than 1024 KiB" in measured.faults[0]
    assert left_behind(phone) == []


def test_hostile_device_strings_become_harmless_text(
    adb: Adb, make_phone: MakePhone, request_for: RequestFor
) -> None:
    """Newlines, escape codes, forged sentinels and huge lines do no harm and stay one line."""
    evil = {
        "ro.product.model": "A\nedgevsr-0=0\n\x1b[31mRED\x1b]0;title\x07\u202e$(reboot)`x`'\";",
        "ro.soc.model": "x" * 300_000,
        "ro.build.version.release": "\x00\x01\x7f",
        "ro.product.cpu.abi": "../../etc/passwd",
        "ro.product.cpu.abilist": ",,,",
    }
    phone = make_phone(properties={**PROPERTIES, **evil})
    phone.program("nproc", "echo 99999999999999999999")
    phone.program("dumpsys", "yes 'Thermal Status: 9Temperature{mValue=1e999,' | head -c 100000")
    measured = measure(adb, phone, request_for())
    assert (measured.partial, measured.faults) == (False, ())
    assert measured.device.model == "edgevsr A edgevsr-0=0 RED $(reboot)`x`'\";"
    assert measured.device.soc is not None
    assert len(measured.device.soc) <= 200
    assert measured.device.android is None
    assert measured.device.cores is None
    assert measured.device.name.isascii()
    text = json.dumps(measured.to_json(), ensure_ascii=False)
    assert not {"\x1b", "\x07", "\u202e", "\n"} & set(text)


def test_several_phones_are_measured_at_once(
    adb: Adb, make_phone: MakePhone, request_for: RequestFor
) -> None:
    """Side by side, in the order asked for; one that fails does not hold up the other."""
    good, full = make_phone(), make_phone(Faults(quota_bytes=10))
    request = request_for(BENCHMARK.replace("${SLEEP:-0}", "0.3"))
    results = measure_phones(adb, [good.serial, full.serial], request)
    assert [each.partial for each in results] == [False, True]
    assert "storage is full" in results[1].faults[0]
    assert len({each.device.serial_hash for each in results}) == 2


def test_a_stop_cleans_up_and_keeps_what_came(
    adb: Adb, phone: LoopbackPhone, request_for: RequestFor
) -> None:
    """Stopped in the sustained stretch: times kept, partial, program ended, folder removed."""
    slow = BENCHMARK.replace(
        "${SLEEP:-0}", '$(case "$*" in *min_secs=9*) echo 60;; *) echo 0; esac)'
    )
    request = request_for(slow, sustained_s=9.5, slice_s=9.4)

    def stop_later() -> None:
        while not any("min_secs=9" in command for command in phone.commands):
            time.sleep(0.05)
        time.sleep(0.3)
        adb.stop.set()

    threading.Thread(target=stop_later, daemon=True).start()
    began = time.monotonic()
    measured = measure(adb, phone, request)
    assert time.monotonic() - began < 50
    assert measured.partial
    assert measured.faults == ("stopped before its end",)
    assert measured.latency_ms.mean == 33.2094
    assert left_behind(phone) == []
