"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgevsr.errors import EdgeVsrError, OutputError

#: What a run's folder keeps its last weights in.
CHECKPOINT = "checkpoint.safetensors"


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that exists (unless `force`) or whose folder cannot be made.

    Raises:
        OutputError: the path exists, is not a regular file, or is below one.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is not a regular file; give a file name")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; add --force to replace it")
    above = next((folder for folder in path.parents if folder.exists()), None)
    if above is not None and not above.is_dir():
        raise OutputError(f"{path.parent}: cannot make this folder ({above} is a file)")


@contextlib.contextmanager
def atomic_path(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name only when the block succeeds.

    Raises:
        OutputError: the output exists, or the disk is full or not writable.
    """
    check_output(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot make this folder ({error.strerror})") from error
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG):
            raise OutputError(
                f"{path}: could not be written ({error.strerror}); free some room and run again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, force: bool = False) -> None:
    """Write the whole file or nothing.

    Raises:
        OutputError: the output exists, or the disk is full or not writable.
    """
    with atomic_path(path, force) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, force: bool = False) -> None:
    """Write `value` as indented JSON, whole or not at all.

    Raises:
        OutputError: the output exists, or the disk is full or not writable.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode(), force)


def read_at_most(
    path: Path, most_bytes: int, what: str, refuse: Callable[[str], EdgeVsrError]
) -> bytes:
    """Return a file's bytes, cut one past `most_bytes`, so that its parser sees that it is larger.

    Raises:
        EdgeVsrError: it cannot be read: the error of `refuse`, which says `what` it was read for.
    """
    try:
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or "not a path"
        raise refuse(f"{path}: cannot read {what} ({reason})") from error


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
