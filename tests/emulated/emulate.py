"""Runs int8 files on emulated Arm and compares every byte of their output with this machine's.

    python -m tests.emulated.emulate FILE.tflite [-o RESULT.json]

The result is a measurement of kind "emulated": right bits, wrong clock, so it has no times.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from edgevsr import __version__
from edgevsr.files import sha256_of, write_json
from edgevsr.profiling.host import random_feeds
from edgevsr.profiling.measured import (
    Equality,
    Latency,
    Measured,
    MeasuredDevice,
    MeasuredFile,
    MeasuredRuntime,
)
from edgevsr.runtime.runners import open_runner
from tests.conftest import ROOT

USERLAND = Path(os.environ.get("EDGEVSR_ARM64", ROOT / "build" / "arm64"))
QEMU = "qemu-aarch64-static"
#: `-cpu max` of qemu 7.2 crashes; this core has the dot products that XNNPACK uses on phones.
CPU = "cortex-a76"
RUN = Path(__file__).with_name("run_litert.py")
_TIMEOUT_S = 600


def missing() -> str | None:
    """Return what this machine lacks, or None."""
    if shutil.which(QEMU) is None:
        return f"no {QEMU}"
    if not (USERLAND / "site" / "ai_edge_litert").is_dir():
        return f"no arm64 userland in {USERLAND}; run tests/emulated/setup.sh"
    return None


def emulate(model: Path, folder: Path) -> Measured:
    """Run a file here and on emulated Arm, on the same random pixels, and compare the outputs."""
    runner = open_runner(model, "litert", 1)
    shape = runner.inputs[0].shape
    feeds = random_feeds(runner.inputs, (shape[2] or 0, shape[1] or 0), "litert")
    np.savez(folder / "inputs.npz", *feeds)
    here = _run([sys.executable], model, folder, "here", None)
    root = USERLAND / "root"
    arm = [
        QEMU, "-cpu", CPU, "-L", str(root), "-E", f"PYTHONHOME={root}/usr",
        "-E", f"PYTHONPATH={USERLAND}/site", f"{root}/usr/bin/python3.11",
    ]  # fmt: skip
    there = _run(arm, model, folder, "there", "aarch64")
    pairs = list(zip(here, there, strict=True))
    gaps = [np.abs(a.astype(np.int64) - b.astype(np.int64)) for a, b in pairs]
    return Measured(
        kind="emulated",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        file=MeasuredFile(model.name, sha256_of(model), model.stat().st_size),
        device=MeasuredDevice(f"emulated-{CPU}", model=f"Arm {CPU}, emulated", abi="arm64"),
        runtime=MeasuredRuntime("litert", version("ai-edge-litert"), "cpu", 1),
        runs=1,
        latency_ms=Latency(),
        size=f"{shape[2]}x{shape[1]}",
        equality=Equality(
            against=f"{platform.machine()}, LiteRT with XNNPACK",
            elements=sum(gap.size for gap in gaps),
            different=sum(int(np.count_nonzero(gap)) for gap in gaps),
            max_abs_diff=max(float(gap.max()) for gap in gaps),
        ),
        tools={"edgevsr": __version__, "qemu": _qemu_version()},
    )


def _run(
    python: list[str], model: Path, folder: Path, name: str, machine: str | None
) -> list[np.ndarray]:
    output = folder / f"{name}.npz"
    command = [*python, str(RUN), str(model), str(folder / "inputs.npz"), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-2000:]
    assert machine in (None, done.stdout.split()[-1]), done.stdout
    with np.load(output) as arrays:
        return [arrays[key] for key in sorted(arrays.files)]


def _qemu_version() -> str:
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=10)
    return done.stdout.split("\n")[0].removeprefix("qemu-aarch64 version ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if lack := missing():
        sys.exit(lack)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        measured = emulate(arguments.model, Path(folder))
    print(measured.equality)
    if arguments.output:
        write_json(arguments.output, measured.to_json())


if __name__ == "__main__":
    main()
