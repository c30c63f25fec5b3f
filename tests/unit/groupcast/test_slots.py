from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.slots import LANES_MAX, SLOTS, lane_id, lane_ranges, lanes_for


@given(st.integers(1, LANES_MAX))
def test_lanes_cover_every_slot_once(lanes: int) -> None:
    """Without gap or overlap, and with about equal lanes."""
    ranges = lane_ranges(lanes)
    assert len(ranges) == lanes
    assert [one.first for one in ranges] == [0, *(one.last + 1 for one in ranges[:-1])]
    assert ranges[-1].last == SLOTS - 1
    assert max(one.width for one in ranges) - min(one.width for one in ranges) <= 1


@pytest.mark.parametrize("lanes", [-1, 0, LANES_MAX + 1])
def test_a_group_has_a_bounded_number_of_lanes(lanes: int) -> None:
    with pytest.raises(ValueError, match="lanes"):
        lane_ranges(lanes)


@given(st.integers(0, 3_000_000), st.integers(1, LANES_MAX), st.integers(1, 50_000))
def test_the_number_of_lanes_settles(members: int, lanes: int, per_lane: int) -> None:
    """Asked again with its answer, it returns the same; no lane is too full within the bound."""
    wanted = lanes_for(members, lanes, per_lane)
    assert lanes_for(members, wanted, per_lane) == wanted
    assert wanted == LANES_MAX or members <= wanted * per_lane


@pytest.mark.parametrize(
    ("members", "lanes", "wanted"),
    [(0, 1, 1), (20_000, 1, 1), (20_001, 1, 2), (19_000, 2, 2), (15_999, 2, 1), (10_000_000, 1, LANES_MAX)],
)
def test_a_group_keeps_a_lane_until_it_has_clearly_shrunk(members: int, lanes: int, wanted: int) -> None:
    assert lanes_for(members, lanes, 20_000) == wanted


@given(st.text(), st.integers(0, LANES_MAX - 1))
def test_a_lanes_id_is_valid_for_sqs(group_id: str, lane: int) -> None:
    """At most 128 ASCII characters, and unique for each lane and group."""
    name = lane_id(group_id, lane)
    assert name.isascii()
    assert len(name) <= 128
    assert name != lane_id(group_id, lane + 1)
    assert name != lane_id(f"{group_id}x", lane)
