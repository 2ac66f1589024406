"""The page of the shipped networks: learning curves that cards have, aims and what is missed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib import pyplot

from edgevsr.aims import still_aims
from edgevsr.sources import ZooEntry, list_zoo
from tests import zoo_curves, zoo_page, zoo_points
from tests.zoo_page import Aim


def with_curve(entry: ZooEntry, curve: list[list[float]]) -> ZooEntry:
    training = {**entry.card["training"], "curve": curve}
    return replace(entry, card={**entry.card, "training": training})


def test_curves_are_drawn_of_the_networks_that_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = [with_curve(entry, []) for entry in list_zoo() if entry.form == "narrow"]
    monkeypatch.setattr(zoo_page, "narrow", lambda: bare)
    assert zoo_page.curves() == {}
    assert "curves.png" not in zoo_page.page()
    # Two at the same height, and one of a single point.
    told = [with_curve(bare[0], [[1000, 33.0], [2000, 33.5]]), *bare[1:]]
    told[1:3] = [with_curve(bare[1], [[500, 33.5]]), with_curve(bare[2], [[9, 30.0], [90, 33.5]])]
    monkeypatch.setattr(zoo_page, "narrow", lambda: told)
    assert list(zoo_page.curves()) == [entry.name for entry in told[:3]]
    assert "](curves.png)" in zoo_page.page()
    scales = {entry.name: entry.scale for entry in told}
    stages = {entry.name: [(1500, False), (3000, True)] for entry in told}
    zoo_curves.draw(tmp_path / "curves.png", zoo_page.curves(), scales, stages)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_is_cut_where_other_pictures_were_held_out() -> None:
    curve = [(1, 33.0), (2, 33.5), (3, 36.6), (4, 36.7), (5, 33.6)]
    stages = [(2, False), (3, True), (4, True), (5, False)]
    cut = [(False, curve[:2]), (True, curve[2:4]), (False, curve[4:])]
    assert zoo_curves.pieces(curve, stages) == cut
    assert zoo_curves.pieces(curve[3:4], stages) == [(True, curve[3:4])]


def test_a_card_tells_which_stages_saw_lossless_pictures() -> None:
    found = {entry.name: zoo_page.stages(entry) for entry in zoo_page.narrow()}
    assert [lossless for _, lossless in found["sesr-m11-x2"]] == [False, False, True, False]
    assert found["sesr-m11-x4"][-2:] == [(124_000, True), (134_000, False)]
    for entry in zoo_page.narrow():
        assert found[entry.name][-1][0] == entry.card["training"]["steps"]


def test_names_in_a_crowd_cover_neither_names_nor_points() -> None:
    figure, axis = pyplot.subplots()
    axis.set(xlim=(0, 10), ylim=(0, 10))
    points = [(f"net-{i}", 5.0 + 0.3 * (i % 2), (5.0 + 0.3 * i, 4.9 + 0.3 * i)) for i in range(4)]
    boxes = zoo_points.name_points(axis, points, ["black"] * 4)
    pyplot.close(figure)
    assert len(axis.texts) == 4
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_an_aim_is_missed_from_its_own_side() -> None:
    quality = Aim("net", "float", {"Set5": 37.0, "Set14": 32.7}, {"Set5": 36.9, "Set14": 32.8})
    assert quality.missed_by() == [0.1, 0.0]
    drop = Aim("net", "drop", {"Set5": 0.05, "Set14": 0.05}, {"Set5": 0.04, "Set14": 0.07}, True)
    assert drop.missed_by() == [0.0, 0.02]


def test_only_shipped_networks_have_aims() -> None:
    shipped = {entry.name for entry in zoo_page.narrow()}
    found = list(zoo_page.aims())
    assert {aim.network for aim in found} <= shipped
    assert {aim.network for aim in found} >= shipped & {*still_aims()}
    assert all(aim.aim.keys() <= aim.reached.keys() for aim in found)


def test_names_too_close_are_lifted_apart() -> None:
    assert zoo_curves.apart([3.0, 1.0, 1.5, 1.1], 1.0) == [4.0, 1.0, 3.0, 2.0]
    assert zoo_curves.apart([1.0, 3.0], 1.0) == [1.0, 3.0]
