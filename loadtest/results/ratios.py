"""Paired ratios, their median with an interval, and the verdict on them. Pure.

The interval of the median is distribution-free, from the sign test: of n independent ratios, the k-th
smallest and the k-th largest enclose the true median with probability 1 - 2 P(Binomial(n, 1/2) < k),
whatever their distribution (David and Nagaraja, Order Statistics, on intervals for quantiles). It takes the
largest k that keeps CONFIDENCE; with fewer than MIN_PAIRS pairs there is none.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = 1
CONFIDENCE = 0.95
# min and max of six enclose the median with 0.969, of five with 0.938.
MIN_PAIRS = 6
# If a target differs from itself by more, it cannot be compared with another one.
AA_LIMIT = 0.2


@dataclass(frozen=True, slots=True)
class Pair:
    """Two measurements, one right after the other."""

    a: float
    b: float

    @property
    def ratio(self) -> float:
        return self.b / self.a


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the interval that holds the true one with probability `confidence`."""

    median: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A against A: `stable` means that it differs from itself by no more than the limit."""

    ratios: tuple[float, ...]
    median: float
    low: float
    high: float
    stable: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The JSON of `compare`, without a `median`, `low` and `high` (None) if A/A was unstable."""

    a: str
    b: str
    metric: str
    aa: SelfTest
    pairs: tuple[dict[str, float], ...]
    median: float | None
    low: float | None
    high: float | None
    confidence: float
    verdict: str
    schema: int = SCHEMA


def interval_of(ratios: Sequence[float]) -> Interval:
    """The median with its interval. Raises ValueError with fewer than MIN_PAIRS ratios."""
    count = len(ratios)
    if count < MIN_PAIRS:
        raise ValueError(f"{count} pairs are too few for an interval: at least {MIN_PAIRS}")
    place = 1
    while coverage(count, place + 1) >= CONFIDENCE:
        place += 1
    ordered = sorted(ratios)
    return Interval(statistics.median(ordered), ordered[place - 1], ordered[-place], coverage(count, place))


def coverage(count: int, place: int) -> float:
    """The probability that the place-th smallest and largest of `count` values enclose the median."""
    beyond = sum(math.comb(count, below) for below in range(place))
    return 1 - beyond / (1 << (count - 1))


def self_test(pairs: Sequence[Pair], limit: float = AA_LIMIT) -> SelfTest:
    """Judge A against A: its whole interval must lie between 1/(1+limit) and 1+limit."""
    ratios = [pair.ratio for pair in pairs]
    found = interval_of(ratios)
    stable = found.low >= 1 / (1 + limit) and found.high <= 1 + limit
    rounded = tuple(round(ratio, 4) for ratio in ratios)
    return SelfTest(rounded, round(found.median, 4), round(found.low, 4), round(found.high, 4), stable)


def compared(a: str, b: str, metric: str, aa: SelfTest, pairs: Sequence[Pair]) -> Comparison:
    """Judge pairs that were measured after a stable A/A."""
    found = interval_of([pair.ratio for pair in pairs])
    told = f"{found.median:.2f} times {a} ({found.low:.2f} to {found.high:.2f})"
    # Beyond 1, and beyond the interval of A/A.
    differs = found.low > max(1.0, aa.high) or found.high < min(1.0, aa.low)
    listed = tuple({"a": pair.a, "b": pair.b, "ratio": round(pair.ratio, 4)} for pair in pairs)
    return Comparison(
        a=a,
        b=b,
        metric=metric,
        aa=aa,
        pairs=listed,
        median=round(found.median, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        confidence=round(found.confidence, 4),
        verdict=f"{b} is {told}" if differs else f"no difference shown: {b} was {told}",
    )


def refused(a: str, b: str, metric: str, aa: SelfTest, limit: float = AA_LIMIT) -> Comparison:
    """Refuse a comparison because A differs too much from itself."""
    return Comparison(
        a=a,
        b=b,
        metric=metric,
        aa=aa,
        pairs=(),
        median=None,
        low=None,
        high=None,
        confidence=0.0,
        verdict=(
            f"not measured: {a} was {aa.low:.2f} to {aa.high:.2f} times itself, "
            f"which is more than {limit:.0%} apart; more messages (-t, --rate) steady it"
        ),
    )
