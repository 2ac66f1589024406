"""A phone on a loopback port, with faults on demand.

Shell commands run in this machine's /bin/sh with the phone's folders put below `root`; push, pull
and stat go to the same folders.
"""

from __future__ import annotations

import contextlib
import errno
import posixpath
import re
import shlex
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.adbd import Connection

PROPERTIES = {
    "ro.product.manufacturer": "edgevsr",
    "ro.product.model": "Loopback 1",
    "ro.soc.manufacturer": "Test",
    "ro.soc.model": "EMU8100",
    "ro.build.version.release": "14",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a",
}


@dataclass
class Faults:
    """What goes wrong, and when.

    `cut_push_bytes` unplugs the phone after so many pushed bytes, `cut_start` when a command that
    matches has begun, `cut_run` after the first output of one. Each happens `cuts` times;
    `comes_back` says whether the phone may be connected to again. `quota_bytes` is the free
    storage.
    """

    cut_push_bytes: int | None = None
    cut_start: str | None = None
    cut_run: str | None = None
    cuts: int = 1
    comes_back: bool = True
    quota_bytes: int | None = None
    unauthorised: bool = False
    corrupt_push: bool = False


@dataclass
class LoopbackPhone:
    """A phone on a loopback port, with its storage below `root`."""

    root: Path
    faults: Faults = field(default_factory=Faults)
    properties: Mapping[str, str] = field(default_factory=lambda: PROPERTIES)
    celsius: float = 36.5
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("data/local/tmp", "system/bin", "sys/class/thermal/thermal_zone0"):
            (self.root / folder).mkdir(parents=True)
        zone = self.root / "sys/class/thermal/thermal_zone0"
        (zone / "type").write_text("cpu-0-0\n")
        (zone / "temp").write_text(f"{self.celsius * 1000:.0f}\n")
        governor = self.root / "sys/devices/system/cpu/cpu0/cpufreq"
        governor.mkdir(parents=True)
        (governor / "scaling_governor").write_text("schedutil\n")
        for name, value in self.properties.items():
            (self.root / "system" / name).write_text(value + "\n")
        self.program("getprop", f'cat "{self.root}/system/$1"')
        self.program("dumpsys", "echo 'Thermal Status: 0'")
        self.program("nproc", "echo 8")
        self._connections: list[Connection] = []
        self._pushed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def storage(self) -> Path:
        """The phone's /data/local/tmp."""
        return self.root / "data/local/tmp"

    def program(self, name: str, script: str) -> None:
        """Put a program into the phone's PATH."""
        path = self.root / "system/bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def banner(self) -> bytes:
        model = self.properties["ro.product.model"]
        return f"device::ro.product.model={model};features=shell_v2".encode()

    def local(self, path: str) -> Path:
        return Path(f"{self.root}{posixpath.normpath('/' + path)}")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        below = shlex.quote(str(self.root))
        moved = re.sub(r"(?<![\w./-])/(?=(data|sys)/)", f"{below}/", command)
        return subprocess.Popen(
            ["/bin/sh", "-c", moved],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": f"{self.root}/system/bin:/usr/bin:/bin"},
            cwd="/",
        )

    def take_room(self, count: int) -> None:
        if self.faults.quota_bytes is not None:
            self.faults.quota_bytes -= count
            if self.faults.quota_bytes < 0:
                raise OSError(errno.ENOSPC, "")

    def after_push(self, count: int) -> None:
        self._pushed += count
        limit = self.faults.cut_push_bytes
        if limit is not None and self._pushed >= limit:
            self._cut()

    def cut_if(self, pattern: str | None, command: str) -> None:
        if pattern is not None and re.search(pattern, command):
            self._cut()

    def unplug(self) -> None:
        """Drop every connection, as a pulled cable does."""
        for connection in self._connections:
            connection.unplug()

    def close(self) -> None:
        self._stay_away()
        self.unplug()

    def _stay_away(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone leaves accept() waiting
        self._listener.close()

    def _cut(self) -> None:
        if self.faults.cuts > 0:
            self.faults.cuts -= 1
            self._pushed = 0
            if not self.faults.comes_back:
                self._stay_away()
            self.unplug()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = Connection(self, self._listener.accept()[0])
                self._connections.append(connection)
                threading.Thread(target=connection.serve, daemon=True).start()
