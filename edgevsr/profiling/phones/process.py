"""Runs a client program so that it always ends: in time, in bounds, and when asked to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from edgevsr.errors import DeviceError

_POLL_S = 0.05
_CHUNK_BYTES = 1 << 16
#: A server that the client left behind may hold its pipes open; nobody waits for it.
_DRAIN_S = 1.0

Ending = Literal["exited", "timeout", "flood", "stopped"]


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked
    """The run was asked to stop, as by Ctrl-C."""


@dataclass(frozen=True)
class Finished:
    """What a program printed and how it ended; `exit_code` is negative for a signal."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    ending: Ending


def run_bounded(
    command: Sequence[str],
    *,
    timeout_s: float,
    output_bytes: int,
    stop: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end, or kill it after `timeout_s`, `output_bytes` or `stop`.

    It gets a session of its own, so Ctrl-C in the terminal reaches us alone and what it was
    doing can be cleaned up.

    Raises:
        DeviceError: the program cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DeviceError(f"{command[0]}: cannot be run ({reason}); give --adb PATH") from error
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [_Reader(process.stdout, output_bytes), _Reader(process.stderr, output_bytes)]
    try:
        ending = _watch(process, readers, time.monotonic() + timeout_s, stop)
    finally:
        _kill(process)
    for reader in readers:
        reader.join(_DRAIN_S)
    out, err = (bytes(reader.data) for reader in readers)
    return Finished(out, err, process.wait(), ending)


class _Reader(threading.Thread):
    """Collects a pipe up to a limit, and tells when there was more."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        super().__init__(daemon=True)
        self.pipe, self.limit = pipe, limit
        self.data = bytearray()
        self.flooded = False
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self.pipe.fileno(), _CHUNK_BYTES):
                self.flooded |= len(self.data) + len(chunk) > self.limit
                self.data += chunk[: self.limit - len(self.data)]
        with contextlib.suppress(OSError):
            self.pipe.close()


def _watch(
    process: subprocess.Popen[bytes],
    readers: Sequence[_Reader],
    deadline: float,
    stop: threading.Event | None,
) -> Ending:
    while True:
        if any(reader.flooded for reader in readers):
            return "flood"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
            return "exited"
        if stop is not None and stop.is_set():
            return "stopped"
        if time.monotonic() > deadline:
            return "timeout"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the client; the server it may have started has left its group and lives on."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
