"""Runs every benchmark that needs nothing beside the project, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: `export_time.py` is not here: its peer, TensorFlow, lives in an environment of its own.
NAMES = ("train_step", "host_fps", "upscale_overlap")


def main() -> int:
    """Run them and return the number that failed."""
    failed = 0
    for name in NAMES:
        print(f"== {name}", flush=True)
        script = Path(__file__).with_name(f"{name}.py")
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
