"""One run on one phone: push, check, cool down, measure, read back, clean up.

What is tried again: a phone that goes away before any time has come back is waited for and the
run begins afresh, `ATTEMPTS` times in all. Nothing else is: a full storage, a missing library, a
wrong ABI or a hung program would fail alike. Once a time has come back, what came is kept and
marked partial.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shlex
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgevsr.errors import DataError, DeviceError
from edgevsr.files import sha256_of
from edgevsr.profiling.measured import Measured, MeasuredFile
from edgevsr.profiling.phones.adb import DisconnectedError, LinkError, Phone
from edgevsr.profiling.phones.facts import Heat, read_facts, read_heat
from edgevsr.profiling.phones.logs import BenchmarkLog, parse_op_profile
from edgevsr.profiling.phones.process import Stopped
from edgevsr.profiling.phones.record import Record
from edgevsr.profiling.phones.text import clean
from edgevsr.profiling.phones.tools import OPS_FILE, Job, Tool, check_abi
from edgevsr.profiling.subject import SubjectFacts

ATTEMPTS = 3
REMOTE_ROOT = "/data/local/tmp"

#: A part warmer than this is let cool before the first run, as long as it does cool.
COOL_CELSIUS = 45.0
_COOL_STEP_S = 5.0
_COOLING_CELSIUS = 0.2
_PROFILED_RUNS = 10


@dataclass(frozen=True)
class Request:
    """What is measured, with which program, and how long.

    `threads` None leaves the choice to the program. A sustained run is measured in stretches of
    `slice_s`, with the temperatures read between them.
    """

    model: Path
    program: Path
    tool: Tool
    file: MeasuredFile
    delegate: str = "cpu"
    threads: int | None = None
    runs: int = 50
    sustained_s: float | None = None
    slice_s: float = 10.0
    cool_down_s: float = 120.0
    subject: SubjectFacts = field(default_factory=SubjectFacts)


Tell = Callable[[str], None]


def measure_phone(
    phone: Phone, request: Request, adb_version: str, tell: Tell = lambda _: None
) -> Measured:
    """Return what a phone measured; faults are in it, and it is partial where not all came back.

    Never raises for what a phone does: others measured beside it go on.
    """
    record = Record(request)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _Session(phone, request, record, tell).run()
                break
            except DisconnectedError as error:
                record.fail(error)
                if record.has_times or attempt == ATTEMPTS or not phone.reconnect():
                    break
                tell("came back; beginning afresh")
                record.begin_again()
    except Stopped:
        record.fail("stopped before its end")
    except (DeviceError, DataError) as error:
        record.fail(error)
    return record.to_measured(adb_version)


@dataclass(frozen=True)
class _Session:
    phone: Phone
    request: Request
    record: Record
    tell: Tell

    def run(self) -> None:
        facts = read_facts(self.phone)
        self.record.device = facts.device
        check_abi(self.request.program, facts.abis)
        folder = f"{REMOTE_ROOT}/edgevsr-{secrets.token_hex(6)}"
        try:
            self._send(folder)
            self._cool_down()
            self.record.start()
            self._bench(folder)
            self._sustain(folder)
            self._profile_ops(folder)
        finally:
            self._clean_up(folder)

    def _send(self, folder: str) -> None:
        """Push the files, and see that what arrived is what was sent."""
        request = self.request
        files = {self._model_name: request.model, "benchmark": request.program}
        companions = request.tool.companions(request.program, request.delegate)
        files |= {path.name: path for path in companions}
        self._must(f"mkdir {folder}", "making a folder")
        for name, path in files.items():
            self.tell(f"pushing {path.name}")
            remote = f"{folder}/{name}"
            self.phone.push(path, remote)
            quoted = shlex.quote(remote)
            digest = f"sha256sum {quoted} 2>/dev/null || md5sum {quoted} 2>/dev/null || true"
            said = self._must(f"wc -c < {quoted}; {digest}", f"checking {name}").split()
            if said[:1] != [str(path.stat().st_size)] or not _same_digest(said[1:2], path):
                raise DeviceError(
                    f"{self.phone.serial}: {path.name} arrived damaged: expected "
                    f"{path.stat().st_size} bytes, got {clean(' '.join(said))}; run again"
                )
        self._must(f"chmod 755 {folder}/benchmark", "chmod")

    def _cool_down(self) -> None:
        """Wait while a hot phone cools, so that runs begin alike."""
        heat, waited = self._note_heat(), 0.0
        while _hot(heat) and waited < self.request.cool_down_s:
            self.tell(f"cooling down from {heat.hottest or 0:.0f} °C")
            step = min(_COOL_STEP_S, self.request.cool_down_s - waited)
            if self.phone.adb.stop.wait(step):
                raise Stopped
            waited += step
            before, heat = heat, self._note_heat()
            if not _cools(before, heat):
                break
        if _hot(heat):
            self.record.faults.append(
                f"began warm: {heat.hottest or 0:.1f} °C, thermal status {heat.status}, after a "
                f"cool-down of {waited:.0f} s"
            )

    def _bench(self, folder: str) -> None:
        self.tell("measuring")
        log = self._run_tool(folder, Job(self._model_name, self.request.runs))
        if log.latency_ms.mean is None and log.latency_ms.p50 is None:
            raise DeviceError(
                f"{self.phone.serial}: {self.request.program.name} ended well but said no time; "
                "is it benchmark_model or onnxruntime_perf_test?"
            )
        if not log.complete:
            self.record.fail("the benchmark's log is cut short")
        self._note_heat()

    def _sustain(self, folder: str) -> None:
        seconds = self.request.sustained_s
        if seconds is None:
            return
        begun = time.monotonic()
        while (left := seconds - (time.monotonic() - begun)) > 0:
            stretch = max(1.0, min(self.request.slice_s, left))
            job = Job(self._model_name, 1, min_s=stretch, max_s=2 * stretch)
            log = self._run_tool(folder, job, keep=False)
            milliseconds = log.latency_ms.mean or log.latency_ms.p50
            if milliseconds is None:
                raise DeviceError(
                    f"{self.phone.serial}: no time came back after "
                    f"{time.monotonic() - begun:.0f} s of the sustained run"
                )
            self.record.add_slice(milliseconds)
            self.tell(f"{milliseconds:.2f} ms, {left:.0f} s to go")
            self._note_heat()

    def _profile_ops(self, folder: str) -> None:
        """Run once more under the profiler, which slows it, and read the time of each operator.

        A program without that profiler writes no file; a phone without its layers' times is
        still measured.
        """
        if not self.request.tool.profiles_ops:
            return
        self.tell("profiling operators")
        job = Job(self._model_name, _PROFILED_RUNS, min_s=0.1, profile_ops=True)
        try:
            self._run_tool(folder, job, keep=False)
            if self.phone.shell(f"test -s {folder}/{OPS_FILE}").exit_code == 0:
                with tempfile.TemporaryDirectory(prefix="edgevsr-ops-") as local:
                    self.phone.pull(f"{folder}/{OPS_FILE}", Path(local, OPS_FILE))
                    text = Path(local, OPS_FILE).read_bytes()[: self.phone.adb.limits.output_bytes]
                self.record.layers = parse_op_profile(text.decode("utf-8", "replace"))
        except (DeviceError, DataError) as error:
            if isinstance(error, LinkError):
                raise
            self.record.faults.append(clean(f"no operator times: {error}"))

    def _run_tool(self, folder: str, job: Job, *, keep: bool = True) -> BenchmarkLog:
        """Run the program; `keep` makes its figures those of the measurement, even cut short."""
        request = self.request
        job = replace(job, threads=request.threads, delegate=request.delegate)
        words = shlex.join(["./benchmark", *request.tool.command(job)])
        # The pid lets the clean-up end a program that outlives its connection.
        inner = shlex.quote(f"echo $$ > pid; exec {words}")
        command = f"cd {folder} && LD_LIBRARY_PATH=. ADSP_LIBRARY_PATH=. sh -c {inner} 2>&1"
        limit_s = self.phone.adb.limits.bench_s + (job.min_s if not keep else 0.0)
        try:
            reply = self.phone.shell(command, timeout_s=limit_s, what=request.program.name)
        except LinkError as error:
            if keep:
                self.record.log = _parse_what_is_left(request.tool, error.output)
            raise
        if reply.exit_code != 0:
            if keep:
                self.record.log = _parse_what_is_left(request.tool, reply.stdout)
            raise DeviceError(_explain(self.phone.serial, request, reply.exit_code, reply.stdout))
        log = request.tool.parse(reply.stdout)
        if keep:
            self.record.log = log
        return log

    def _clean_up(self, folder: str) -> None:
        """End what still runs and remove the folder, also after Ctrl-C and a short disconnect."""
        command = (
            f"test -f {folder}/pid && kill -9 $(cat {folder}/pid) 2>/dev/null; rm -rf {folder}"
        )
        for last in (False, True):
            try:
                if self.phone.shell(command, heed_stop=False, what="clean-up").exit_code == 0:
                    return
            except DeviceError:
                if not last and self.phone.reconnect():
                    continue
            break
        self.record.faults.append(
            f"{folder} may still be on the phone; remove it with: adb -s "
            f"{clean(self.phone.serial)} shell rm -rf {folder}"
        )

    @property
    def _model_name(self) -> str:
        return f"model{self.request.model.suffix}"

    def _must(self, command: str, what: str) -> str:
        reply = self.phone.shell(command, what=what)
        if reply.exit_code != 0:
            said = clean(reply.stderr or reply.stdout) or f"exit code {reply.exit_code}"
            raise DeviceError(f"{self.phone.serial}: {what}: {said}")
        return reply.stdout

    def _note_heat(self) -> Heat:
        heat = read_heat(self.phone)
        self.record.add_heat(heat)
        return heat


def _parse_what_is_left(tool: Tool, text: str) -> BenchmarkLog:
    with contextlib.suppress(DataError):
        return tool.parse(text)
    return BenchmarkLog()


def _same_digest(said: list[str], path: Path) -> bool:
    """Compare by what the phone can compute; one without digests is believed by the size."""
    if not said:
        return True
    if len(said[0]) == 32:
        with path.open("rb") as file:
            return said[0] == hashlib.file_digest(file, "md5").hexdigest()
    return said[0] == sha256_of(path)


def _hot(heat: Heat) -> bool:
    return (heat.status or 0) > 0 or (heat.hottest or 0.0) > COOL_CELSIUS


def _cools(before: Heat, after: Heat) -> bool:
    if before.hottest is None or after.hottest is None:
        return (after.status or 0) > 0
    return before.hottest - after.hottest >= _COOLING_CELSIUS


def _explain(serial: str, request: Request, code: int, output: str) -> str:
    """Return what an exit code of the program means, and what it said last."""
    lines = [line for line in output.splitlines() if line.strip()]
    said = clean(lines[-1]) if lines else "it said nothing"
    name = request.program.name
    if code == 126:
        return f"{serial}: {name}: cannot be executed there, as by a wrong ABI ({said})"
    if code == 127:
        return f"{serial}: {name}: it or a library that it needs is missing ({said})"
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"{serial}: {name}: was ended by {signal.Signals(code - 128).name} ({said})"
    return f"{serial}: {name}: failed with exit code {code} ({said})"
