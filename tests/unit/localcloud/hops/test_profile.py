"""The table of hops and its distributions."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest

from localcloud.hops import AWS, Hop

HOPS = [field.name for field in fields(AWS) if field.name != "as_of"]


@pytest.mark.parametrize("name", HOPS)
def test_a_distribution_goes_through_the_tables_percentiles(name: str) -> None:
    """p10, p50, p90 and p99 are exact; it rises between them and stays within p10 and p99."""
    hop: Hop = getattr(AWS, name)
    told = [hop.percentile_ms(percent) for percent in (10, 50, 90, 99)]
    assert told == pytest.approx([hop.p10_ms, hop.p50_ms, hop.p90_ms, hop.p99_ms])
    curve = [hop.percentile_ms(percent / 10) for percent in range(1, 1000)]
    assert curve == sorted(curve)
    assert curve[0] == hop.p10_ms
    assert curve[-1] == hop.p99_ms
    assert hop.p10_ms < hop.percentile_ms(30) < hop.p50_ms


def test_draws_have_the_distribution() -> None:
    """Normal draws have the table's shares below each percentile."""
    dice, hop = random.Random(1), AWS.fifo_queue
    draws = sorted(hop.at_deviation(dice.gauss(0, 1)) for _ in range(20_000))
    for percent, expected in ((50, hop.p50_ms), (90, hop.p90_ms)):
        assert draws[20_000 * percent // 100] == pytest.approx(expected, rel=0.03)


def test_the_table_marks_assumed_values() -> None:
    """Messaging services were measured; API Gateway's parts are assumed."""
    assert [name for name in HOPS if getattr(AWS, name).assumed] == ["route", "post"]


@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (2, 1, 3, 4), (1, 2, 4, 3)])
def test_impossible_percentiles_are_refused(levels: tuple[float, float, float, float]) -> None:
    """They must be positive and ascending."""
    with pytest.raises(ValueError, match="ascending"):
        Hop(*levels)
