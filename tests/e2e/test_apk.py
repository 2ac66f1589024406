"""The APK, built from scratch: signed, described, and with nothing in it that should not be."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

DEMO = ROOT / "android_demo"
TOOLS = ("aapt", "zipalign", "apksigner", "javac", "keytool", "zip")
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")


@pytest.fixture(scope="module")
def apk(tmp_path_factory: pytest.TempPathFactory, demo_page: Path) -> Path:
    """What build_apk.sh makes with the default networks."""
    del demo_page
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    has_dx = any(map(shutil.which, ("dx", "dalvik-exchange"))) or "DX_JAR" in os.environ
    if missing or not FRAMEWORK.exists():
        pytest.skip(f"apk: {', '.join(missing) or 'android-framework-res'} not installed")
    if not has_dx and not (DEMO / ".tools" / "dx.jar").exists():
        pytest.skip("apk: no dx here; android_demo/build_apk.sh fetches one")
    path = tmp_path_factory.mktemp("apk") / "demo.apk"
    command = [str(DEMO / "build_apk.sh"), "-o", str(path)]
    environment = {**os.environ, "EDGEVSR": str(Path(sys.executable).with_name("edgevsr"))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def tool(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_is_signed_by_the_schemes_that_phones_check(apk: Path) -> None:
    said = tool("apksigner", "verify", "--verbose", "--min-sdk-version", "26", apk)
    for scheme in ("v2", "v3"):
        assert re.search(rf"^Verified using {scheme} scheme.*: true$", said, re.MULTILINE)


def test_it_says_what_it_is_and_asks_for_the_camera_alone(apk: Path) -> None:
    said = tool("aapt", "dump", "badging", apk)
    assert "package: name='org.edgevsr.demo' versionCode='1'" in said
    assert "sdkVersion:'26'" in said
    assert "targetSdkVersion:'36'" in said
    assert "launchable-activity: name='org.edgevsr.demo.MainActivity'" in said
    assert re.findall(r"uses-permission: name='([\w.]+)'", said) == ["android.permission.CAMERA"]
    assert "uses-feature-not-required: name='android.hardware.camera'" in said
    manifest = tool("aapt", "dump", "xmltree", apk, "AndroidManifest.xml")
    assert re.search(r"android:exported\(0x01010010\)=\(type 0x12\)0xffffffff", manifest)
    assert "android:debuggable" not in manifest


def test_it_holds_the_page_the_networks_and_nothing_else(apk: Path, demo_page: Path) -> None:
    page = {path.relative_to(demo_page).as_posix() for path in demo_page.rglob("*.*")}
    nets = {
        f"nets/{name}-{size}.{suffix}"
        for name in ("sesr-m5-x2", "sesr-m5-x2-w8a8")
        for size in ("320x180", "640x360")
        for suffix in ("onnx", "json")
    }
    expected = {f"assets/www/{name}" for name in page | nets | {"nets/index.json", "sample.mp4"}}
    with zipfile.ZipFile(apk) as archive:
        names = set(archive.namelist())
        assert archive.read("assets/www/index.html") == (demo_page / "index.html").read_bytes()
    other = {name for name in names - expected if not name.startswith("META-INF/")}
    assert expected <= names
    assert other == {
        "AndroidManifest.xml", "classes.dex", "resources.arsc",
        "res/drawable/icon_front.xml", "res/mipmap-anydpi-v26/icon.xml",
    }  # fmt: skip


def test_android_11_installs_it(apk: Path) -> None:
    """From Android 11 on the table of resources must be stored, 4-byte aligned."""
    with zipfile.ZipFile(apk) as archive:
        entry = archive.getinfo("resources.arsc")
    assert entry.compress_type == zipfile.ZIP_STORED
    with apk.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<26xHH", file.read(30))
    assert (entry.header_offset + 30 + name + extra) % 4 == 0


def test_the_dex_has_the_app_and_no_stub(apk: Path) -> None:
    """Its classes are the app's own; the framework's are only referred to."""
    with zipfile.ZipFile(apk) as archive:
        dex = archive.read("classes.dex")
    assert dex[:4] == b"dex\n"
    defined = class_names(dex)
    assert {"Lorg/edgevsr/demo/MainActivity;", "Lorg/edgevsr/demo/AssetClient;"} <= defined
    assert all(name.startswith("Lorg/edgevsr/demo/") for name in defined)


def class_names(dex: bytes) -> set[str]:
    """Return the types of the class definitions. Source: Android's dex format, header_item."""
    (strings,) = struct.unpack_from("<I", dex, 0x3C)
    (types,) = struct.unpack_from("<I", dex, 0x44)
    count, classes = struct.unpack_from("<II", dex, 0x60)
    names = set()
    for index in range(count):
        (type_index,) = struct.unpack_from("<I", dex, classes + 32 * index)
        (string_index,) = struct.unpack_from("<I", dex, types + 4 * type_index)
        (at,) = struct.unpack_from("<I", dex, strings + 4 * string_index)
        end = dex.index(b"\0", at)
        names.add(dex[at + 1 : end].decode())  # one byte of length: names are short
    return names
