"""A small adbd: the phone's side of the ADB protocol, for the real client to talk to.

Loopback TCP, no TLS. What the phone is, and what goes wrong with it, `loopback_phone` says.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tests.loopback_phone import LoopbackPhone

SYNC_CHUNK = 64 << 10
MAX_PAYLOAD = 256 << 10
VERSION = 0x01000001
_HEADER = struct.Struct("<6I")
_SHELL_PACKET = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
AUTH_TOKEN = 1


def _command(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


CNXN, OPEN, OKAY, WRTE, CLSE, AUTH = map(_command, ("CNXN", "OPEN", "OKAY", "WRTE", "CLSE", "AUTH"))


class Stream:
    """One logical stream of a connection, with the flow control of the protocol."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.connection, self.local, self.remote = connection, local, remote
        self.buffer = bytearray()
        self.changed = threading.Condition()
        self.ready, self.closed = True, False

    def feed(self, data: bytes) -> None:
        with self.changed:
            self.buffer += data
            self.changed.notify_all()

    def acknowledge(self) -> None:
        with self.changed:
            self.ready = True
            self.changed.notify_all()

    def hang_up(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def read(self, count: int) -> bytes:
        with self.changed:
            self.changed.wait_for(lambda: len(self.buffer) >= count or self.closed)
            if len(self.buffer) < count:
                raise EOFError
            data = bytes(self.buffer[:count])
            del self.buffer[:count]
            return data

    def write(self, data: bytes) -> None:
        step = self.connection.payload
        for start in range(0, len(data), step):
            with self.changed:
                self.changed.wait_for(lambda: self.ready or self.closed)
                if self.closed:
                    raise EOFError
                self.ready = False
            self.connection.send(WRTE, self.local, self.remote, data[start : start + step])

    def flush(self) -> None:
        """Wait until the server has passed on what was written."""
        with self.changed:
            self.changed.wait_for(lambda: self.ready or self.closed, 5)

    def close(self) -> None:
        self.flush()
        self.connection.streams.pop(self.local, None)
        self.hang_up()
        with contextlib.suppress(OSError):
            self.connection.send(CLSE, self.local, self.remote)


class Connection:
    """One adb server that has connected to the phone."""

    def __init__(self, phone: LoopbackPhone, link: socket.socket) -> None:
        self.phone, self.link = phone, link
        self.lock = threading.Lock()
        self.streams: dict[int, Stream] = {}
        self.opened, self.payload = 0, 4096

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = (command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self.lock:
            self.link.sendall(_HEADER.pack(*header) + data)

    def serve(self) -> None:
        try:
            with self.link, self.link.makefile("rb") as incoming:
                while len(header := incoming.read(_HEADER.size)) == _HEADER.size:
                    command, first, second, length, _, _ = _HEADER.unpack(header)
                    self._handle(command, first, second, incoming.read(length))
        except OSError:
            pass
        finally:
            for stream in list(self.streams.values()):
                stream.hang_up()

    def unplug(self) -> None:
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)

    def _handle(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN:
            self.payload = min(second, MAX_PAYLOAD)
            if self.phone.faults.unauthorised:
                self.send(AUTH, AUTH_TOKEN, 0, os.urandom(20))
            else:
                self.send(CNXN, VERSION, MAX_PAYLOAD, self.phone.banner())
        elif command == AUTH:
            # Every signature is refused, and nobody taps "Allow" for the public key.
            if first != 3:
                self.send(AUTH, AUTH_TOKEN, 0, os.urandom(20))
        elif command == OPEN:
            self.opened += 1
            stream = self.streams[self.opened] = Stream(self, self.opened, first)
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=_Service(stream).run, args=(service,), daemon=True).start()
        elif stream_of := self.streams.get(second):
            if command == WRTE:
                stream_of.feed(data)
                self.send(OKAY, stream_of.local, stream_of.remote)
            elif command == OKAY:
                stream_of.acknowledge()
            elif command == CLSE:
                self.streams.pop(second, None)
                stream_of.hang_up()


class _Service:
    """What runs behind a stream: a shell command or a file transfer."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.phone = stream, stream.connection.phone

    def run(self, name: str) -> None:
        kind, _, argument = name.partition(":")
        features = kind.split(",")
        with contextlib.suppress(EOFError, OSError):
            if features[0] not in ("shell", "sync"):
                self.stream.connection.send(CLSE, 0, self.stream.remote)
                return
            self.stream.connection.send(OKAY, self.stream.local, self.stream.remote)
            if features[0] == "shell":
                self._shell(argument, "v2" in features)
            else:
                self._sync()
        with contextlib.suppress(EOFError, OSError):
            self.stream.close()

    def _shell(self, command: str, packets: bool) -> None:
        self.phone.commands.append(command)
        process = self.phone.start(command)
        self.phone.cut_if(self.phone.faults.cut_start, command)
        lock = threading.Lock()

        def forward(pipe: IO[bytes], number: int) -> None:
            with pipe, contextlib.suppress(EOFError, OSError):
                while data := os.read(pipe.fileno(), 32768):
                    head = _SHELL_PACKET.pack(number, len(data)) if packets else b""
                    with lock:
                        self.stream.write(head + data)
                    self.stream.flush()
                    self.phone.cut_if(self.phone.faults.cut_run, command)
                return
            process.kill()

        def hear() -> None:
            with contextlib.suppress(EOFError, OSError, ValueError):
                while True:
                    _, length = _SHELL_PACKET.unpack(self.stream.read(_SHELL_PACKET.size))
                    self.stream.read(length)

        assert process.stdout is not None
        assert process.stderr is not None
        pipes = ((process.stdout, STDOUT), (process.stderr, STDERR))
        threads = [threading.Thread(target=forward, args=each, daemon=True) for each in pipes]
        for thread in (*threads, threading.Thread(target=hear, daemon=True)):
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
        if packets:
            # As adbd reports a program that a signal ended.
            code = code if code >= 0 else 128 - code
            self.stream.write(_SHELL_PACKET.pack(EXIT, 1) + bytes([code & 255]))

    def _sync(self) -> None:
        while True:
            request = self.stream.read(4)
            length = int.from_bytes(self.stream.read(4), "little")
            if request == b"QUIT":
                return
            path = self.stream.read(length).decode()
            if request == b"STAT":
                self._stat(path)
            elif request == b"SEND":
                self._receive(path)
            elif request == b"RECV":
                self._send(path)
            else:
                self._fail("unknown request")

    def _stat(self, path: str) -> None:
        try:
            found = self.phone.local(path).lstat()
            numbers = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            numbers = (0, 0, 0)
        self.stream.write(b"STAT" + struct.pack("<3I", *numbers))

    def _receive(self, argument: str) -> None:
        path, mode = argument.rsplit(",", 1)
        local = self.phone.local(path)
        fault, received = None, bytearray()
        while True:
            kind = self.stream.read(4)
            length = int.from_bytes(self.stream.read(4), "little")
            if kind == b"DONE":
                break
            received += self.stream.read(length)
            self.phone.after_push(length)
            try:
                self.phone.take_room(length)
            except OSError as error:
                fault = fault or error
        try:
            if fault is not None:
                raise fault
            if self.phone.faults.corrupt_push:
                received[-1] ^= 1
            local.write_bytes(received)
            local.chmod(stat.S_IMODE(int(mode)))
        except OSError as error:
            self._fail(os.strerror(error.errno or 0))
            return
        self.stream.write(b"OKAY" + struct.pack("<I", 0))

    def _send(self, path: str) -> None:
        try:
            data = self.phone.local(path).read_bytes()
        except OSError as error:
            self._fail(os.strerror(error.errno or 0))
            return
        for start in range(0, len(data), SYNC_CHUNK):
            chunk = data[start : start + SYNC_CHUNK]
            self.stream.write(b"DATA" + struct.pack("<I", len(chunk)) + chunk)
        self.stream.write(b"DONE" + struct.pack("<I", 0))

    def _fail(self, message: str) -> None:
        self.stream.write(b"FAIL" + struct.pack("<I", len(message)) + message.encode())
