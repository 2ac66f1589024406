"""Networks and videos that people open in the demo's page, whole and broken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.demo_page import drop, wait_for_card

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_network_opens_from_its_two_files(page: Page, folder: Path) -> None:
    """Both files at once, by the picker as by a drop; the card is shown."""
    page.locator("#net-file").set_input_files([folder / "tiny.onnx", folder / "tiny.json"])
    wait_for_card(page, "tiny.onnx")
    assert page.locator("#size").input_value() == "12×8"
    drop(page, [folder / "stream.onnx", folder / "stream.json"])
    wait_for_card(page, "stream.onnx")


def _truncated(folder: Path, place: Path) -> list[Path]:
    """A network that was cut off before its card was written."""
    card = json.loads((folder / "tiny.json").read_text())
    data = (folder / "tiny.onnx").read_bytes()[:-2000]
    (place / "tiny.onnx").write_bytes(data)
    changed = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (place / "tiny.json").write_text(json.dumps(card | changed))
    return [place / "tiny.onnx", place / "tiny.json"]


def _unknown_operator(folder: Path, place: Path) -> list[Path]:
    """A network with an operator that onnxruntime-web lacks."""
    import onnx

    model = onnx.load(folder / "tiny.onnx")
    for node in model.graph.node:
        if node.op_type == "DepthToSpace":
            node.op_type = "DepthToTime"
    data = model.SerializeToString()
    (place / "tiny.onnx").write_bytes(data)
    card = json.loads((folder / "tiny.json").read_text())
    changed = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (place / "tiny.json").write_text(json.dumps(card | changed))
    return [place / "tiny.onnx", place / "tiny.json"]


def _other_card(folder: Path, place: Path) -> list[Path]:
    """A card with the file of another network under its name."""
    (place / "float.json").write_bytes((folder / "float.json").read_bytes())
    (place / "float.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    return [place / "float.onnx", place / "float.json"]


def _text(_: Path, place: Path) -> list[Path]:
    (place / "notes.txt").write_text("not a network, not a video")
    return [place / "notes.txt"]


def _damaged(folder: Path, place: Path) -> list[Path]:
    card = json.loads((folder / "tiny.json").read_text())
    data = (folder / "tiny.onnx").read_bytes()
    (place / "tiny.onnx").write_bytes(data[:-9] + b"\xff" * 9)
    (place / "tiny.json").write_text(json.dumps(card))
    return [place / "tiny.onnx", place / "tiny.json"]


def _foreign_card(_: Path, place: Path) -> list[Path]:
    (place / "other.json").write_text('{"name": "package"}')
    return [place / "other.json"]


def _not_a_video(_: Path, place: Path) -> list[Path]:
    (place / "clip.mp4").write_bytes(bytes(2000))
    return [place / "clip.mp4"]


Made = Callable[[Path, Path], list[Path]]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (lambda folder, _: [folder / "int8.onnx"], "needs its card"),
        (lambda folder, _: [folder / "int8.json"], "is the card of int8.onnx"),
        (_foreign_card, "not a card of an exported network"),
        (_damaged, "not the file of its card"),
        (_other_card, "not the file of its card"),
        (_truncated, "damaged or is no network"),
        (_unknown_operator, "has no operator"),
        (_text, "neither a video nor a network"),
        (lambda folder, _: [folder / "refused.tflite", folder / "refused.json"], "--io float"),
        (_not_a_video, "its codec is not supported"),
    ],
)
def test_errors_are_in_plain_words(
    files: Made, said: str, page: Page, folder: Path, tmp_path: Path
) -> None:
    drop(page, files(folder, tmp_path))
    message = page.locator("#message-text")
    page.wait_for_function(
        "(said) => document.querySelector('#message-text').textContent.includes(said)", arg=said
    )
    assert message.is_visible()
    page.get_by_role("button", name="Close the message").click()
    assert not message.is_visible()


def test_a_file_too_large_is_refused_unread(page: Page, folder: Path) -> None:
    """300 MB beside a card; made in the page, where the file stays on the browser's side."""
    card = (folder / "tiny.json").read_text()
    script = """(card) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(300e6)], "tiny.onnx"));
      data.items.add(new File([card], "tiny.json"));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    page.evaluate(script, card)
    page.get_by_text("tiny.onnx is too large: at most 256 MiB are opened here.").wait_for()
    page.get_by_role("button", name="Close the message").click()
