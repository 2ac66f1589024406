"""Cards say what their network is held to, by how much it is missed, and what it would take."""

from __future__ import annotations

import pytest

from edgevsr.aims import missing_db, still_aims, told_of
from edgevsr.zoo import read_card, zoo_names

SHIPPED = sorted({*still_aims()} & {*zoo_names()})


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_says_how_far_its_network_is_from_its_aim(name: str) -> None:
    card = read_card(name)
    reached = {sets: row["float"] for sets, row in card["psnr_y_db"].items()}
    assert card["aim"] == told_of(name, reached)["aim"]
    assert card["aim"]["missed_by_db"] == missing_db(still_aims()[name], reached)


def test_what_is_missed_says_more() -> None:
    name, aim = next(iter(still_aims().items()))
    reached = told_of(name, aim)["aim"]
    assert reached["missed_by_db"] == dict.fromkeys(aim, 0.0)
    assert "would_take" not in reached
    missed = told_of(name, {sets: value - 0.1 for sets, value in aim.items()})["aim"]
    assert missed["missed_by_db"] == dict.fromkeys(aim, 0.1)
    for over in missed["over_pictures"]:
        counts = [row["pictures"] for row in over["rows"]]
        assert counts == sorted(counts, reverse=True)
        assert len(set(counts)) > 2
    assert missed["would_take"]


def test_others_have_none() -> None:
    assert told_of("sesr-m3-x3", {"Set5": 30.0}) == {}
    assert told_of("sesr-m3-x2", {"Set2": 30.0}) == {}
