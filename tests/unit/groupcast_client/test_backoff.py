"""Backoff: full jitter below a doubling, bounded ceiling."""

from __future__ import annotations

import random
from itertools import islice

from groupcast_client import Backoff


class Highest(random.Random):
    """Draws the top of every range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Lowest(random.Random):
    """Draws the bottom of every range."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


def test_the_ceiling_doubles_up_to_the_bound() -> None:
    """The longest delays are base, twice base, … and then the maximum."""
    delays = Backoff(base_s=1.0, max_s=5.0).delays(Highest())
    assert list(islice(delays, 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_reaches_down_to_zero() -> None:
    """Full jitter covers the whole range."""
    assert list(islice(Backoff().delays(Lowest()), 4)) == [0.0] * 4
