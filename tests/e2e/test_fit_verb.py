"""`edgevsr fit`: which shipped networks fit, in what order, and why the others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import BudgetError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.graph.ir import Graph
from edgevsr.sources import ZooEntry
from edgevsr.verbs.fit import card_quality
from tests.graphs import cell_graph, quantized, sesr_graph

SIZE = (1920, 1080)
BUDGET = {"device": "ethos-n78-4tops", "size": SIZE, "scale": 2}


def entry(
    folder: Path, name: str, graph: Graph, psnr: Any, *, scale: int = 2, recurrent: bool = False
) -> ZooEntry:
    """A network as the zoo lists it."""
    path = folder / f"{name}.onnx"
    path.write_bytes(onnx_bytes(graph))
    form = "w8a8" if graph.quantized else "narrow"
    card = {"net": name, "scale": scale, "form": form, "recurrent": recurrent, "psnr_y_db": psnr}
    return ZooEntry(name, path, card)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ZooEntry]:
    """Two sizes of SESR, a recurrent cell, a float net, a x4 net and a wide checkpoint."""

    def card(int8: float) -> dict[str, Any]:
        return {"Set5": {"int8": 37.0}, "Set14": {"float": 33.0, "int8": int8}}

    def int8(m: int, f: int, scale: int = 2) -> Graph:
        return quantized(sesr_graph(m, f, scale, activation="relu"))

    entries = [
        entry(tmp_path, "small-w8a8", int8(1, 8), card(32.1)),
        entry(tmp_path, "large-w8a8", int8(5, 16), card(32.8)),
        entry(tmp_path, "cell-w8a8", quantized(cell_graph()), card(34.0), recurrent=True),
        entry(tmp_path, "large", sesr_graph(5, 16), card(32.8)),
        entry(tmp_path, "large-x4-w8a8", int8(5, 16, 4), card(28.0), scale=4),
        ZooEntry("large-wide", tmp_path / "absent.safetensors", {"scale": 2, "form": "wide"}),
    ]
    monkeypatch.setattr("edgevsr.verbs.fit.list_zoo", lambda: entries)
    return entries


@pytest.mark.usefixtures("zoo")
def test_best_quality_first_and_recurrent_apart() -> None:
    """Single-image nets come first, by quality; recurrent ones follow."""
    result = edgevsr.fit(**BUDGET, fps=1)
    assert [fit.net for fit in result.fits] == ["large-w8a8", "small-w8a8", "cell-w8a8"]
    assert [fit.recurrent for fit in result.fits] == [False, False, True]
    assert [fit.psnr_y_db for fit in result.fits] == [32.8, 32.1, 34.0]
    assert result.passed


@pytest.mark.usefixtures("zoo")
def test_misses_say_why() -> None:
    """A net that is too slow says by what it is bound; a float one that it must be quantized."""
    fast = {fit.net: fit.fps for fit in edgevsr.fit(**BUDGET, fps=1).fits}
    result = edgevsr.fit(**BUDGET, fps=fast["large-w8a8"] * 1.01)
    misses = {miss.net: miss for miss in result.misses}
    assert misses.keys() == {"large-w8a8", "large"}
    assert "bound" in misses["large-w8a8"].reason
    assert misses["large-w8a8"].fps == fast["large-w8a8"]
    assert "edgevsr quantize" in misses["large"].reason
    assert misses["large"].fps is None
    assert all(fit.fps >= result.target_fps for fit in result.fits)


@pytest.mark.usefixtures("zoo")
def test_fit_agrees_with_profile(zoo: list[ZooEntry]) -> None:
    """Both verbs give the same FPS for the same net."""
    fits = {fit.net: fit.fps for fit in edgevsr.fit(**BUDGET, fps=1).fits}
    report = edgevsr.profile(zoo[1].path, device="ethos-n78-4tops", size=SIZE)
    assert fits["large-w8a8"] == report.fps


@pytest.mark.usefixtures("zoo")
def test_exit_codes_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """0 when something fits, 1 when nothing does, the reasons in both."""
    command = ["fit", "--device", "ethos-n78-4tops", "--size", "1920x1080", "--scale", "2"]
    assert main([*command, "--fps", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    keys = {"net", "fps", "psnr_y_db", "recurrent", "fps_low", "fps_high"}
    assert all(fit.keys() == keys for fit in found["fits"])
    assert any(line.startswith("assumed: dram_gb_s") for line in found["assumptions"])
    assert main([*command, "--fps", "100000", "--json"]) == 1
    none = json.loads(capsys.readouterr().out)
    assert none["fits"] == []
    assert len(none["misses"]) == 4


@pytest.mark.usefixtures("zoo")
def test_no_net_of_the_scale_is_a_miss() -> None:
    """Nothing of this scale ships, so nothing fits."""
    result = edgevsr.fit(device="npu-4tops", size=SIZE, scale=3, fps=1)
    assert not result.passed
    assert not result.misses


@pytest.mark.usefixtures("zoo")
def test_a_size_may_be_text() -> None:
    """As on the command line."""
    width, height = SIZE
    text = edgevsr.fit(**{**BUDGET, "size": f"{width}x{height}"}, fps=1)
    assert text == edgevsr.fit(**BUDGET, fps=1)


@pytest.mark.usefixtures("zoo")
def test_wrong_use() -> None:
    """A scale, rate, device or bandwidth that does not exist."""
    with pytest.raises(SpecError, match="--scale 5"):
        edgevsr.fit(device="npu-4tops", size=SIZE, scale=5, fps=30)
    with pytest.raises(SpecError, match="--fps 0"):
        edgevsr.fit(**BUDGET, fps=0)
    with pytest.raises(BudgetError, match="did you mean 'npu-4tops'"):
        edgevsr.fit(device="npu-4top", size=SIZE, scale=2, fps=30)
    with pytest.raises(BudgetError, match="positive"):
        edgevsr.fit(**BUDGET, fps=30, dram_gb_s=-1)


@pytest.mark.parametrize(
    ("psnr", "quantized_net", "expected"),
    [
        ({"Set14": {"float": 33.0, "8bit": 32.9, "int8": 32.8}}, True, 32.8),
        ({"Set14": {"float": 33.0, "8bit": 32.9, "int8": 32.8}}, False, 32.9),
        ({"Set14": {"float": 33.0}}, False, 33.0),
        ({"Set14": {"float": 33.0}}, True, None),
        ({"Set5": {"int8": 37.0}, "B100": {"int8": 31.0}}, True, 37.0),
        ({"mine": {"int8": 30}}, True, 30.0),
        ({"Set14": 32.5}, True, 32.5),
        ({}, True, None),
        (None, True, None),
    ],
)
def test_quality_is_read_from_the_card(
    psnr: object, quantized_net: bool, expected: float | None
) -> None:
    """Set14 in the net's own form, another set where the card lacks it, else null."""
    assert card_quality({"psnr_y_db": psnr}, quantized_net) == expected


@pytest.mark.usefixtures("zoo")
def test_the_nearest_miss_and_error_bars() -> None:
    """The fastest net that does not fit is named; a calibrated device has a range for each."""
    found = edgevsr.fit(device="dimensity-8100-nnapi", size=(640, 360), scale=2, fps=1)
    for fit in found.fits:
        assert fit.fps_low is not None
        assert fit.fps_high is not None
        assert fit.fps_low < fit.fps < fit.fps_high
    fast = max(fit.fps for fit in found.fits)
    none = edgevsr.fit(device="dimensity-8100-nnapi", size=(640, 360), scale=2, fps=fast * 1.01)
    timed = {miss.net: miss.fps for miss in none.misses if miss.fps is not None}
    assert none.nearest_miss is not None
    assert timed[none.nearest_miss] == fast
    assert all(fit.fps_low is None for fit in edgevsr.fit(**BUDGET, fps=1).fits)


@pytest.mark.usefixtures("zoo")
def test_design_proposes_networks_that_just_fit() -> None:
    """Each proposal reaches the rate, one block more does not, and it comes with its command."""
    result = edgevsr.fit(**BUDGET, fps=30, design=True)
    assert {design.member.family for design in result.designs} == {"sesr", "rsesr"}
    for design in result.designs:
        assert design.member in result.families
        assert design.member.fps >= 30
        assert design.member.next_fps is not None
        assert design.member.next_fps < 30
        assert design.command.startswith(f"edgevsr train {design.member.net} --scale 2 ")
    assert not edgevsr.fit(**BUDGET, fps=30).designs


def test_a_design_is_set_beside_the_shipped_nets_of_its_family() -> None:
    """What trained networks with fewer weights reach is the least to expect."""
    result = edgevsr.fit(
        device="dimensity-8100-nnapi", size="640x360", scale=2, fps=120, design=True
    )
    (sesr,) = (design for design in result.designs if design.member.family == "sesr")
    assert sesr.below is not None
    name, quality = sesr.below
    assert name == "sesr-m11-x2-w8a8"
    assert quality == {fit.net: fit.psnr_y_db for fit in result.fits}[name]


def test_a_device_without_published_figures_is_not_guessed_at() -> None:
    """The error says what is missing and how to measure it."""
    with pytest.raises(BudgetError, match=r"publishes no peak.*edgevsr calibrate"):
        edgevsr.fit(device="snapdragon-8-gen-3", size="640x360", scale=2, fps=30)
