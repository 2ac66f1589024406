"""Serves the demo's page and networks to browsers on this machine, and to a phone on its cable."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgevsr.errors import DeviceError

#: What makes a page cross-origin isolated, which threads in WebAssembly need.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".mp4": "video/mp4",
}
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_CHUNK_BYTES = 1 << 20


class PageServer:
    """A server of a fixed set of files, on the loopback interface alone.

    `files` maps the path of an address, without its leading slash, to a file or to bytes; nothing
    else can be asked for. Port 0 takes any free one.

    Raises:
        DeviceError: the port is taken or not allowed.
    """

    def __init__(self, files: Mapping[str, Path | bytes], port: int) -> None:
        handler = type("_Files", (_Handler,), {"files": {**files}})
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not between 0 and 65535"
            raise DeviceError(
                f"port {port}: cannot be opened ({reason}); give another with --port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._server.server_address[1])

    def wait(self) -> None:
        """Return when the server was closed; Ctrl-C passes through."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    files: Mapping[str, Path | bytes] = {}
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        # A page elsewhere may point its own name at this machine: answer to local names alone.
        if self.headers.get("Host", "localhost").rsplit(":", 1)[0] not in _LOCAL:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        content = self.files.get(name)
        try:
            size = len(content) if isinstance(content, bytes) else _size(content)
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        tag = _tag(content)
        fresh = tag == self.headers.get("If-None-Match")
        self.send_response(HTTPStatus.NOT_MODIFIED if fresh else HTTPStatus.OK)
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        for header, value in {
            **ISOLATION,
            "Content-Type": kind,
            **({} if fresh else {"Content-Length": str(size)}),
            # Kept and asked for anew each time: compiled WebAssembly is kept with it.
            "Cache-Control": "no-cache",
            "ETag": tag,
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(header, value)
        self.end_headers()
        if with_body and not fresh:
            self._send(content)

    def _send(self, content: Path | bytes | None) -> None:
        try:
            if isinstance(content, bytes):
                self.wfile.write(content)
            elif content is not None:
                with content.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        self.wfile.write(chunk)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser went on to another page

    def _refuse(self, status: HTTPStatus) -> None:
        text = json.dumps({"error": status.phrase}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing: stderr is for errors."""


def _tag(content: Path | bytes | None) -> str:
    """Return what changes with the content: its digest, or a file's size and time."""
    if isinstance(content, bytes):
        return f'"{sha256(content).hexdigest()[:32]}"'
    about = content.stat() if content else None
    return f'"{about.st_size:x}-{about.st_mtime_ns:x}"' if about else '""'


def _size(path: Path | None) -> int:
    if path is None:
        raise FileNotFoundError
    return path.stat().st_size
