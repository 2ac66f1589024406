"""Keeps what native libraries print out of the user's terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
#: TensorFlow Lite's own log lines, abseil's (I0000 …, W0000 …) and onnxruntime's.
_NATIVE_LINE = re.compile(
    rb"(VERBOSE|INFO|WARNING|ERROR): |[IWEF]\d{4} |.{0,80}\[[VIWEF]:onnxruntime"
)


class Captured:
    """What native code printed while it was kept quiet; `lines` is filled when it ends."""

    lines: tuple[str, ...] = ()


@contextlib.contextmanager
def quiet_native() -> Iterator[Captured]:
    """Hold back the log lines that native code writes to standard error inside the block.

    Anything else that reached standard error meanwhile is passed on afterwards.
    """
    captured = Captured()
    with _LOCK, tempfile.TemporaryFile() as held:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        try:
            terminal = os.dup(2)
        except OSError:  # standard error is closed: nothing can be printed there
            yield captured
            return
        os.dup2(held.fileno(), 2)
        try:
            yield captured
        finally:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            captured.lines = _sort_out(held.read())


def _sort_out(text: bytes) -> tuple[str, ...]:
    """Return the native log lines of `text`; write the others to standard error."""
    native: list[str] = []
    for line in text.splitlines(keepends=True):
        if _NATIVE_LINE.match(line):
            native.append(line.decode(errors="replace").strip())
        else:
            with contextlib.suppress(OSError):
                os.write(2, line)
    return tuple(native)
