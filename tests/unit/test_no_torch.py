"""After collapse nothing needs torch: every later room runs where only the core is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: Makes the packages of the extras, and what only developers have, impossible to import.
BLOCK = """
import sys
BLOCKED = {
    "torch", "torchvision", "accelerate", "safetensors", "matplotlib", "tensorflow", "scipy",
    "tflite_runtime", "ethosu", "hypothesis", "jsonschema", "psutil", "pytest", "build",
}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None
sys.meta_path.insert(0, Blocker())
"""

IMPORT_ALL = """
import importlib, pkgutil
import edgevsr
TORCH_ROOMS = ("edgevsr.nets", "edgevsr.training", "edgevsr.collapsing", "edgevsr.shipping")
names = [
    module.name
    for module in pkgutil.walk_packages(edgevsr.__path__, "edgevsr.", onerror=lambda name: None)
    if not module.name.startswith(TORCH_ROOMS) and not module.name.endswith("__main__")
]
for name in [*names, "edgevsr.nets.registry", *(f"edgevsr.verbs.{v}" for v in edgevsr.VERBS)]:
    importlib.import_module(name)
assert "edgevsr.runtime.model" in names and "edgevsr.verbs.upscale" in names, names
print(len(names))
"""

ROAD = """
from pathlib import Path
from PIL import Image
import edgevsr
from edgevsr.zoo import calibration_frames

here = Path.cwd()
(here / "calib").mkdir()
for path in sorted(calibration_frames().glob("*.jpg"))[:6]:
    Image.open(path).crop((0, 0, 96, 64)).save(here / "calib" / f"{path.stem}.png")
first = sorted((here / "calib").iterdir())[0]

edgevsr.quantize("sesr-m5-x2", calib=here / "calib", rounding="nearest", output="q.onnx")
edgevsr.export("q.onnx", target="tflite", size=(96, 64), output="q.tflite")
assert edgevsr.verify("q.tflite", against="q.onnx").to_json()["passed"]
assert edgevsr.profile("q.tflite", device="ethos-n78-4tops").to_json()["fps"] > 0
assert edgevsr.evaluate("q.tflite", data=here / "calib").to_json()["psnr_y_db"] > 20
edgevsr.upscale(first, output="sr.png", net="q.tflite")
assert Image.open("sr.png").size == (192, 128)
assert edgevsr.list("zoo").to_json()["zoo"] and edgevsr.list("nets").to_json()["nets"]
print("done")
"""


def run_without_extras(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], cwd=folder, capture_output=True, text=True
    )


def test_every_room_after_collapse_imports(tmp_path: Path) -> None:
    done = run_without_extras(IMPORT_ALL, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_every_room_after_collapse_runs(tmp_path: Path) -> None:
    done = run_without_extras(ROAD, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["collapse", "sesr-m5-x2-wide"],
        ["profile", "sesr-m5-x2-wide"],
        ["train", "sesr-m5", "--scale", "2", "--data", ".", "--out", "run"],
    ],
)
def test_what_needs_torch_names_the_extra(tmp_path: Path, arguments: list[str]) -> None:
    code = f"from edgevsr.cli import main\nsys.exit(main({arguments!r}))"
    done = run_without_extras(code, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'edgevsr[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
