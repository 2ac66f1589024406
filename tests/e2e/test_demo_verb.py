"""`edgevsr demo`: what is served, to whom, and the tunnel to a phone."""

from __future__ import annotations

import http.client
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgevsr
from edgevsr.errors import DataError, DeviceError, SourceError
from edgevsr.verbs import demo as module
from edgevsr.verbs.demo import DemoResult

ADB = """#!/bin/sh
echo "$@" >> "$0.log"
case "$*" in
devices) printf 'List of devices attached\\nphone-1\\tdevice\\nphone-2\\tunauthorized\\n' ;;
esac
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the built page, so that the verb is tested where there is no npm."""
    folder = tmp_path / "package" / "page"
    (folder / "runtime").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "runtime" / "net.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(module, "files", lambda _: folder.parent)
    return folder


@pytest.fixture
def no_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_adb", _no_adb)


def _no_adb() -> Path:
    raise DeviceError("none")


@pytest.fixture
def served(page: Path, no_phone: None, stages: Path) -> Iterator[DemoResult]:
    del page, no_phone
    result = edgevsr.demo([stages / "int8.onnx"], port=0)
    yield result
    result.close()


def get(result: DemoResult, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    port = int(result.address.rstrip("/").rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_is_cross_origin_isolated(served: DemoResult) -> None:
    status, headers, body = get(served, "/")
    assert (status, body) == (200, b"<!doctype html>")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert get(served, "/runtime/net.wasm")[1]["Content-Type"] == "application/wasm"
    assert get(served, "/sample.mp4")[2][4:8] == b"ftyp"


def test_what_a_browser_has_is_not_sent_again(served: DemoResult, page: Path) -> None:
    for path in ("/", "/nets/index.json"):
        status, headers, body = get(served, path)
        again = get(served, path, **{"If-None-Match": headers["ETag"]})
        assert (status, again[0], again[2]) == (200, 304, b"")
        assert body
    before = get(served, "/")[1]["ETag"]
    (page / "index.html").write_text("<!doctype html><p>new")
    assert get(served, "/", **{"If-None-Match": before})[0] == 200


def test_a_network_is_served_in_both_formats_with_its_cards(served: DemoResult) -> None:
    cards = json.loads(get(served, "/nets/index.json")[2])
    found = [json.loads(get(served, f"/nets/{name}")[2]) for name in cards]
    assert {card["format"] for card in found} == {"onnx", "tflite"}
    for card in found:
        assert len(get(served, f"/nets/{card['file']}")[2]) == card["bytes"]
        assert all(io["dtype"] == "float32" for io in (*card["inputs"], *card["outputs"]))
    assert set(served.nets) == {card["file"] for card in found}


def test_an_exported_file_goes_as_it_is(
    page: Path, no_phone: None, stages: Path, tmp_path: Path
) -> None:
    del page, no_phone
    edgevsr.export(
        stages / "int8.onnx", target="tflite", size=(24, 16), output=tmp_path / "a.tflite"
    )
    result = edgevsr.demo([tmp_path / "a.tflite"], port=0)
    assert result.nets == ("a.tflite",)
    assert get(result, "/nets/a.tflite")[2] == (tmp_path / "a.tflite").read_bytes()
    result.close()
    with pytest.raises(SourceError, match="has the name of another's"):
        edgevsr.demo([tmp_path / "a.tflite"] * 2, port=0)


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/nets/", "/etc/passwd", "/runtime"]
)
def test_nothing_else_can_be_asked_for(path: str, served: DemoResult) -> None:
    assert get(served, path)[0] == 404


def test_other_names_of_this_machine_are_refused(served: DemoResult) -> None:
    """A page elsewhere that points its own name at this machine learns nothing."""
    assert get(served, "/", Host="evil.example")[0] == 421
    assert get(served, "/", Host="127.0.0.1:1")[0] == 200


def test_a_phone_gets_a_tunnel_and_loses_it(
    page: Path, stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone that allows it, not the one that does not; afterwards nothing is left."""
    del page
    adb = tmp_path / "adb"
    adb.write_text(ADB)
    adb.chmod(adb.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(module, "find_adb", lambda: adb)
    result = edgevsr.demo([stages / "int8.onnx"], port=0)
    port = result.address.rstrip("/").rsplit(":", 1)[1]
    assert result.phones == ("phone-1",)
    result.close()
    calls = (tmp_path / "adb.log").read_text().splitlines()
    assert calls[-2:] == [
        f"-s phone-1 reverse tcp:{port} tcp:{port}",
        f"-s phone-1 reverse --remove tcp:{port}",
    ]


def test_errors_say_the_way_out(page: Path, no_phone: None, stages: Path) -> None:
    del no_phone
    first = edgevsr.demo([stages / "int8.onnx"], port=0)
    port = int(first.address.rstrip("/").rsplit(":", 1)[1])
    for taken in (port, 70000):
        with pytest.raises(DeviceError, match="give another with --port"):
            edgevsr.demo([stages / "int8.onnx"], port=taken)
    first.close()
    (page / "index.html").unlink()
    with pytest.raises(DataError, match="make page"):
        edgevsr.demo([stages / "int8.onnx"], port=0)


def test_the_command_serves_until_it_is_interrupted(
    stages: Path, tmp_path: Path, demo_page: Path
) -> None:
    """One JSON object, then silence, and exit code 0 on SIGINT."""
    del demo_page
    command = [sys.executable, "-m", "edgevsr", "demo", "--net", str(stages / "int8.onnx")]
    process = subprocess.Popen(
        [*command, "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.rstrip() == "}":
            break
    values = json.loads("".join(lines))
    assert set(values) == {"address", "nets", "phones"}
    time.sleep(1)  # it says where it serves just before it waits for the signal
    process.send_signal(2)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
