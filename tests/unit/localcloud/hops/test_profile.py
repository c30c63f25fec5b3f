"""The table of hops and its distributions."""

from __future__ import annotations

import random
from dataclasses import fields
from statistics import NormalDist

import pytest

from localcloud.hops import AWS, Hop

HOPS = [field.name for field in fields(AWS)]


def percentile_ms(hop: Hop, percent: float) -> float:
    return hop.at_deviation(NormalDist().inv_cdf(percent / 100))


@pytest.mark.parametrize("name", HOPS)
def test_a_distribution_goes_through_the_tables_percentiles(name: str) -> None:
    """p10, p50, p90 and p99 are exact; it rises between them and stays within p10 and p99."""
    hop: Hop = getattr(AWS, name)
    told = [percentile_ms(hop, percent) for percent in (10, 50, 90, 99)]
    assert told == pytest.approx([hop.p10_ms, hop.p50_ms, hop.p90_ms, hop.p99_ms])
    curve = [percentile_ms(hop, percent / 10) for percent in range(1, 1000)]
    assert curve == sorted(curve)
    assert curve[0] == hop.p10_ms
    assert curve[-1] == hop.p99_ms
    assert hop.p10_ms < percentile_ms(hop, 30) < hop.p50_ms


def test_draws_have_the_distribution() -> None:
    """Normal draws have the table's shares below each percentile."""
    dice, hop = random.Random(1), AWS.fifo_queue
    draws = sorted(hop.at_deviation(dice.gauss(0, 1)) for _ in range(20_000))
    for percent, expected in ((50, hop.p50_ms), (90, hop.p90_ms)):
        assert draws[20_000 * percent // 100] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (2, 1, 3, 4), (1, 2, 4, 3)])
def test_impossible_percentiles_are_refused(levels: tuple[float, float, float, float]) -> None:
    """They must be positive and ascending."""
    with pytest.raises(ValueError, match="ascending"):
        Hop(*levels)
