"""The deepest network of each width: as deep as the budget allows and not one block less."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevsr.collapsing import untrained_graph
from edgevsr.profiling.design import (
    MOST_BLOCKS,
    SPELLED,
    Budget,
    as_int8,
    deepest_members,
    proposals,
)
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.roofline import estimate
from edgevsr.sources import open_source

SIZE = (640, 360)


@pytest.mark.parametrize("device", ["dimensity-8100-nnapi", "ethos-n78-4tops", "ethos-u65-512"])
def test_an_untrained_network_costs_what_the_shipped_one_does(device: str) -> None:
    """SESR-M5 by its name, without weights, is estimated as the int8 file that ships."""
    shipped = open_source("sesr-m5-x2-w8a8").graph
    by_name = as_int8(untrained_graph("sesr-m5", 2))
    profile = load_device(device)
    expected = estimate(shipped, SIZE, profile)
    assert estimate(by_name, SIZE, profile).latency_ms == pytest.approx(expected.latency_ms)


@settings(max_examples=8, deadline=None)
@given(st.floats(20, 400), st.sampled_from(["dimensity-8100-neuron", "ethos-n78-4tops"]))
def test_one_block_more_is_too_slow(fps: float, device: str) -> None:
    """Each member reaches the rate and its next deeper neighbour does not."""
    budget = Budget(load_device(device), SIZE, fps)
    members = list(deepest_members(lambda name: untrained_graph(name, 2), budget, (8, 16)))
    for member in members:
        assert member.fps >= fps
        if member.num_block == MOST_BLOCKS:
            assert member.next_fps is None
        else:
            assert member.next_fps is not None
            assert member.next_fps < fps
    for family in SPELLED:
        mine = [member for member in members if member.family == family]
        assert len(mine) == len({member.num_feat for member in mine})
    for chosen in proposals(members):
        rivals = [member.params for member in members if member.family == chosen.family]
        assert chosen.params == max(rivals)


def test_a_width_that_never_fits_is_left_out() -> None:
    """At a rate that no device reaches there are no members."""
    budget = Budget(load_device("ethos-u55-256"), (1920, 1080), 1000.0)
    assert list(deepest_members(lambda name: untrained_graph(name, 2), budget)) == []


def test_describing_a_network_leaves_the_random_state_alone() -> None:
    """Counting must not change what a training beside it draws."""
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    untrained_graph.cache_clear()
    untrained_graph("sesr-f9-m2", 2)
    assert torch.equal(torch.rand(4), expected)
