"""The real adb client, driven so that every fault of the link has a name.

adb may exit 0 although the phone went away in mid-run (Debian's client 29 does), so every remote
command ends by printing a random sentinel with its exit code; where that is missing, the phone
has gone, whatever adb says.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgevsr.errors import DeviceError
from edgevsr.profiling.phones.process import Finished, Stopped, run_bounded
from edgevsr.profiling.phones.text import clean

#: States in which a phone that is listed cannot be used, and what to do about each.
_WAY_OUT = {
    "unauthorized": "unlock it and allow USB debugging from this computer, then run again",
    "authorizing": "unlock it and allow USB debugging from this computer, then run again",
    "offline": "replug it, or run: adb reconnect offline",
    "no permissions": "give your user access to USB devices (udev rules), then: adb kill-server",
    "recovery": "boot it into Android",
    "sideload": "boot it into Android",
    "bootloader": "boot it into Android",
}
_GONE = re.compile(
    r"device '.*' not found|device not found|no devices|device (still )?(offline|connecting)"
    r"|closed|connection reset|broken pipe|protocol fault|couldn't read|failed to (read|send)"
    r"|transport|EOF|device disconnected",
    re.IGNORECASE,
)


class LinkError(DeviceError):
    """A remote command that was cut off; `output` is what it had printed until then."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class DisconnectedError(LinkError):
    """The phone went away while something was asked of it; the one fault that is tried again."""


class HungError(LinkError):
    """A command took longer than it may, or printed without end."""


@dataclass(frozen=True)
class Limits:
    """How long each step may take, in seconds, and how much it may print.

    A push has `step_s` and, on top, the time its bytes take at 1 MB/s.
    """

    step_s: float = 20.0
    bench_s: float = 600.0
    reconnect_s: float = 20.0
    output_bytes: int = 8 << 20
    push_bytes_per_s: float = 1e6


@dataclass(frozen=True)
class Attached:
    """One line of `adb devices`."""

    serial: str
    state: str


@dataclass(frozen=True)
class Reply:
    """What a remote command printed, and its exit code from the phone itself."""

    stdout: str
    stderr: str
    exit_code: int


def find_adb(given: Path | None = None) -> Path:
    """Return the adb client: the one given, else that of PATH, else the one adbutils carries.

    Raises:
        DeviceError: there is none.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise DeviceError(f"--adb {given}: no such program")
        return Path(found)
    if found := shutil.which("adb"):
        return Path(found)
    package = importlib.util.find_spec("adbutils")
    for folder in (package and package.submodule_search_locations) or ():
        for name in ("adb", "adb.exe"):
            if os.access(carried := Path(folder) / "binaries" / name, os.X_OK):
                return carried
    raise DeviceError("no adb client; install Android's platform-tools, or: pip install adbutils")


@dataclass(frozen=True)
class Adb:
    """One adb client and the limits it is held to; `stop` ends whatever it is doing."""

    client: Path
    limits: Limits = Limits()
    stop: threading.Event = field(default_factory=threading.Event)

    def call(
        self, arguments: Sequence[str], *, timeout_s: float | None = None, heed_stop: bool = True
    ) -> Finished:
        """Run `adb ARGUMENTS…` to its end.

        Raises:
            HungError: it did not end in time, or printed without end.
            Stopped: `stop` was set, unless `heed_stop` is off as in a clean-up.
            DeviceError: the client cannot be run.
        """
        timeout_s = self.limits.step_s if timeout_s is None else timeout_s
        finished = run_bounded(
            [str(self.client), *arguments],
            timeout_s=timeout_s,
            output_bytes=self.limits.output_bytes,
            stop=self.stop if heed_stop else None,
        )
        if finished.ending == "stopped":
            raise Stopped
        return finished

    def version(self) -> str:
        """Return the client's version.

        Raises:
            DeviceError: the program is no adb client.
        """
        text = self.call(["version"]).stdout.decode("utf-8", "replace")
        found = re.search(r"^Version (\S{1,60})", text, re.MULTILINE)
        if "Android Debug Bridge" not in text or found is None:
            raise DeviceError(f"{self.client}: is not an adb client; give --adb PATH")
        return found[1]

    def devices(self) -> list[Attached]:
        """Return what is attached, whatever its state.

        Raises:
            HungError: the adb server does not answer.
            DeviceError: the adb server cannot be started.
        """
        self.call(["start-server"])
        finished = self.call(["devices"])
        if finished.ending != "exited":
            raise HungError("adb devices: no answer; run: adb kill-server, then try again")
        if finished.exit_code != 0:
            raise DeviceError(
                f"adb devices: {clean(finished.stderr)}; run: adb kill-server, then try again"
            )
        lines = finished.stdout.decode("utf-8", "replace").splitlines()
        pairs = (line.split("\t", 1) for line in lines if "\t" in line)
        # "no permissions (user in …); see […]" is the one state with an explanation behind it.
        return [
            Attached(serial, "no permissions" if "no perm" in state else clean(state))
            for serial, state in pairs
        ]

    def choose(self, places: Sequence[str]) -> list[str]:
        """Return the serials that `adb`, `adb:SERIAL` and `adb:all` stand for, each once.

        Raises:
            DeviceError: there is none, one is not usable, or bare `adb` could be several.
        """
        attached = self.devices()
        wanted = {place.partition(":")[2] for place in places}
        if "all" in wanted:
            if not attached:
                raise DeviceError(f"--on adb:all: {_NONE}")
            return [_usable(each) for each in attached]
        return list(dict.fromkeys(_usable(_pick(serial, attached)) for serial in sorted(wanted)))

    def phone(self, serial: str) -> Phone:
        """Return the phone of this serial."""
        return Phone(self, serial)


_NONE = "no phone is attached; enable USB debugging, plug it in and check with: adb devices"


def _pick(serial: str, attached: Sequence[Attached]) -> Attached:
    names = ", ".join(clean(each.serial) for each in attached)
    if not serial:
        if not attached:
            raise DeviceError(f"--on adb: {_NONE}")
        if len(attached) > 1:
            raise DeviceError(
                f"--on adb: {len(attached)} phones are attached ({names}); say which with "
                "--on adb:SERIAL, or --on adb:all"
            )
        return attached[0]
    for each in attached:
        if each.serial == serial:
            return each
    raise DeviceError(f"--on adb:{serial}: is not attached; attached: {names or 'nothing'}")


def _usable(attached: Attached) -> str:
    if attached.state == "device":
        return attached.serial
    way_out = _WAY_OUT.get(attached.state, "check with: adb devices -l")
    raise DeviceError(f"{clean(attached.serial)}: is {attached.state}; {way_out}")


@dataclass(frozen=True)
class Phone:
    """One attached phone."""

    adb: Adb
    serial: str

    def shell(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        heed_stop: bool = True,
        what: str = "shell",
    ) -> Reply:
        """Run a command line in the phone's shell and return what it printed and its exit code.

        `what` names it in errors.

        Raises:
            DisconnectedError: the phone went away before the command ended.
            HungError: it did not end in time, or printed without end.
            Stopped: the run was asked to stop.
            DeviceError: the phone refuses, as one that has not allowed this computer does.
        """
        token = f"edgevsr-{secrets.token_hex(8)}"
        finished = self._call(
            ["shell", f"({command}\n); code=$?; echo; echo {token}=$code"],
            what,
            timeout_s,
            heed_stop,
        )
        text = finished.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
        body, found, code = text.rpartition(f"\n{token}=")
        if not found or not code.strip().isdecimal():
            raise self._failure(what, finished, sentinel=False)
        return Reply(body, finished.stderr.decode("utf-8", "replace"), int(code))

    def push(self, local: Path, remote: str) -> None:
        """Copy a file to the phone.

        Raises:
            DisconnectedError: the phone went away.
            HungError: it took longer than the file's bytes at 1 MB/s.
            DeviceError: the phone's storage is full, or it refuses the file.
        """
        self._copy(["push", str(local), remote], f"push of {local.name}", local.stat().st_size)

    def pull(self, remote: str, local: Path) -> None:
        """Copy a file from the phone.

        Raises:
            DisconnectedError: the phone went away.
            HungError: it took too long.
            DeviceError: the phone has no such file.
        """
        self._copy(["pull", remote, str(local)], f"pull of {remote}", self.adb.limits.output_bytes)

    def reconnect(self) -> bool:
        """Wait for the phone to come back, briefly where the run is to stop; say if it did."""
        stopping = self.adb.stop.is_set()
        limit_s = min(self.adb.limits.reconnect_s, 5.0 if stopping else math.inf)
        deadline = time.monotonic() + limit_s
        over_tcp = re.fullmatch(r".+:\d+", self.serial) is not None
        while (left := deadline - time.monotonic()) > 0:
            if over_tcp and not self._answers("get-state", left):
                # The server holds on to a dead connection, calls it "already connected", and
                # tries again only after ten seconds.
                for verb in ("disconnect", "connect"):
                    self.adb.call([verb, self.serial], timeout_s=left, heed_stop=False)
            if self._answers("wait-for-device", min(left, 2.0) if over_tcp else left):
                return True
        return False

    def _answers(self, request: str, timeout_s: float) -> bool:
        finished = self.adb.call(["-s", self.serial, request], timeout_s=timeout_s, heed_stop=False)
        return finished.ending == "exited" and finished.exit_code == 0

    def _copy(self, arguments: Sequence[str], what: str, size_bytes: int) -> None:
        limits = self.adb.limits
        timeout_s = limits.step_s + size_bytes / limits.push_bytes_per_s
        finished = self._call(arguments, what, timeout_s, heed_stop=True)
        if finished.exit_code != 0:
            raise self._failure(what, finished)

    def _call(
        self, arguments: Sequence[str], what: str, timeout_s: float | None, heed_stop: bool
    ) -> Finished:
        finished = self.adb.call(
            ["-s", self.serial, *arguments], timeout_s=timeout_s, heed_stop=heed_stop
        )
        output = finished.stdout.decode("utf-8", "replace")
        if finished.ending == "timeout":
            spent = self.adb.limits.step_s if timeout_s is None else timeout_s
            raise HungError(
                f"{self.serial}: {what}: no end after {spent:.0f} s; it was stopped", output
            )
        if finished.ending == "flood":
            raise HungError(
                f"{self.serial}: {what}: printed more than "
                f"{self.adb.limits.output_bytes >> 10} KiB; it was stopped",
                output,
            )
        return finished

    def _failure(self, what: str, finished: Finished, *, sentinel: bool = True) -> DeviceError:
        """Return the error of a call that failed: refused, full, or cut off."""
        # A push tells its progress beside its errors.
        lines = finished.stderr.decode("utf-8", "replace").splitlines()
        said = clean("; ".join(each for each in lines if "pushed," not in each), 400)
        if "unauthorized" in said:
            return DeviceError(f"{self.serial}: is unauthorized; {_WAY_OUT['unauthorized']}")
        if "No space left" in said:
            return DeviceError(
                f"{self.serial}: {what}: the phone's storage is full; free some room in "
                "/data/local/tmp"
            )
        if not sentinel or _GONE.search(said) or not said:
            return DisconnectedError(
                f"{self.serial}: {what}: the phone was disconnected (adb exit code "
                f"{finished.exit_code}{', ' * bool(said)}{said})",
                finished.stdout.decode("utf-8", "replace"),
            )
        return DeviceError(f"{self.serial}: {what}: {said}")
