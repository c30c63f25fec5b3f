from __future__ import annotations

import pytest

from groupcast.fanout.leftover import Leftover
from groupcast.fanout.report import MAX_DELIVERY_SAMPLES, GroupReport, Report

LEFTOVER = Leftover("a", ("m1",), ("c1=", "c2="))


def report(**counts: int) -> Report:
    served = GroupReport("a", messages=2, item_identifiers=("1",), members=5, leftovers=(LEFTOVER,))
    for name, count in counts.items():
        setattr(served, name, count)
    return Report(groups=[served])


def test_outcomes_sum_up() -> None:
    """Each message to each member is delivered, gone, refused or handed off."""
    report(delivered=5, gone=2, refused=1, handed_off=2).check()


@pytest.mark.parametrize(
    "counts",
    [
        {"delivered": 7, "handed_off": 2},
        {"delivered": 9, "handed_off": 2},
        {"delivered": 10},
        {"delivered": 7, "handed_off": 3},
    ],
)
def test_a_wrong_sum_of_outcomes_is_an_error(counts: dict[str, int]) -> None:
    """One too few, one too many, or leftovers that differ from those handed off."""
    with pytest.raises(AssertionError):
        report(**counts).check()


def test_samples_are_bounded_and_spread() -> None:
    """However many the deliveries, there are few samples, from all of them."""
    noted = Report()
    for number in range(100_000):
        noted.note_delivery(number)
    assert MAX_DELIVERY_SAMPLES // 2 <= len(noted.delivery_ms) < MAX_DELIVERY_SAMPLES
    assert noted.delivery_ms[-1] > 90_000
    assert noted.delivery_ms_max == 99_999
