"""The wheel and the sdist carry everything: built, installed elsewhere, used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked by pip into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(wheel)], check=True, capture_output=True)
    return site


def use(installed: Path, folder: Path, *arguments: str) -> str:
    """Run Python on the installed package, far from the repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_files() -> set[str]:
    """Every file that is not code, as it must lie in the wheel."""
    page = ROOT / "android_demo" / "page"  # where npm has built it
    built = {
        f"edgevsr/demo_page/page/{path.relative_to(page).as_posix()}"
        for path in page.rglob("*")
        if path.is_file()
    }
    homes = {"edgevsr": "edgevsr", "export": "edgevsr/targets", "profiles": "edgevsr/devices"}
    kept = (".toml", ".onnx", ".json", ".safetensors", ".typed", ".mp4", ".png", ".webp")
    return built | {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in homes.items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kept or path.name == "py.typed"
    }


def test_the_wheel_carries_every_file(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "edgevsr").rglob("*.py")}
    assert len(data_files()) > 20
    assert not (code | data_files()) - names
    assert not [name for name in names if name.startswith(("tests/", "export/", "profiles/"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_the_sdist_can_be_built_again(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "edgevsr/cli/parser.py"} <= names
    assert any(name.startswith("export/") and name.endswith(".toml") for name in names)


def test_the_installed_package_is_whole(installed: Path, tmp_path: Path) -> None:
    where = use(installed, tmp_path, "-c", "import edgevsr; print(edgevsr.__file__)")
    assert Path(where.strip()) == installed / "edgevsr" / "__init__.py"
    for kind, known in [
        ("targets", "tflite"), ("devices", "ethos-n78-4tops"), ("zoo", "sesr-m5-x2-w8a8"),
        ("nets", "sesr-m5"),
    ]:  # fmt: skip
        entries = json.loads(use(installed, tmp_path, "-m", "edgevsr", "list", kind, "--json"))
        assert known in {entry["name"] for entry in entries[kind]}


def test_the_installed_command_exports(installed: Path, tmp_path: Path) -> None:
    arguments = ["export", "sesr-m5-x2-w8a8", "--target", "tflite", "--json"]
    result = json.loads(use(installed, tmp_path, "-m", "edgevsr", *arguments))
    assert result["ops"]["CONV_2D"] == 7
    assert (tmp_path / result["output"]).stat().st_size == result["bytes"]
    assert (installed / "bin" / "edgevsr").exists()
