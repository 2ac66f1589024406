"""Cards: found beside the file they are of, and read whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgevsr.cards import card_beside, quality_of, quoted_first


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"net": "a"}', {"net": "a"}),
        ('{"file": "net.onnx"}', {"file": "net.onnx"}),
        ('{"file": "net.tflite"}', None),
        ("[1]", None),
        ("{", None),
        ("[" * 100_000, None),
        ("\x00", None),
    ],
)
def test_a_card_is_of_its_own_file(tmp_path: Path, text: str, found: Any) -> None:
    """Another format's card of the same name, and what is no card, are none."""
    (tmp_path / "net.json").write_text(text)
    assert card_beside(tmp_path / "net.onnx") == found


def test_a_card_that_is_not_there_or_huge_is_none(tmp_path: Path) -> None:
    assert card_beside(tmp_path / "net.onnx") is None
    (tmp_path / "net.json").write_text(json.dumps({"net": "a" * (4 << 20)}))
    assert card_beside(tmp_path / "net.onnx") is None


ROW = {"float": 33.0, "8bit": 32.9, "int8": 32.8}


@pytest.mark.parametrize(
    ("card", "quantized", "found"),
    [
        ({"psnr_y_db": {"Set5": ROW}}, True, {"Set5": 32.8}),
        ({"psnr_y_db": {"Set5": ROW}}, False, {"Set5": 32.9}),
        ({"psnr_y_db": {"Set5": {"float": 33.0}}}, False, {"Set5": 33.0}),
        ({"psnr_y_db": {"Set5": {"float": 33.0}}}, True, {}),
        ({"psnr_y_db": {"a": 30, "b": "31", "c": None, "d": True}}, True, {"a": 30.0}),
        ({"psnr_y_db": {"a": float("nan"), "b": float("inf"), "c": -1.0}}, True, {}),
        ({"psnr_y_db": [ROW]}, True, {}),
        ({}, False, {}),
        (None, False, {}),
    ],
)
def test_quality_is_that_of_the_networks_own_form(
    card: Any, quantized: bool, found: dict[str, float]
) -> None:
    assert quality_of(card, quantized) == found


def test_the_fields_sets_are_quoted_first() -> None:
    assert quoted_first(["mine", "Vid4", "B100", "Set5", "also"]) == [
        "Set5", "B100", "Vid4", "also", "mine",
    ]  # fmt: skip
