"""Latencies in buckets of a fixed relative width, so that they merge exactly and are never averaged.

The idea is HdrHistogram's (hdrhistogram.org): a power of two is cut into equal parts, as many for every
power, so a value is known to 1 part in 128 whatever its size, in memory that does not grow with the count.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from loadtest.clock import US_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUB_BUCKET_BITS = 7
PRECISION = 2.0**-SUB_BUCKET_BITS
UNIT = "us"
# A percentile with fewer samples beyond it says more about luck than about the system.
SAMPLES_BEYOND = 10
CURVE_POINTS = 60
# In steps of a hundred-thousandth of a percent.
_CURVE_STEPS = 100_000
_SHIFTLESS_BITS = SUB_BUCKET_BITS + 1


class Histogram:
    """Counts values in whole microseconds, and returns milliseconds."""

    __slots__ = ("count", "counts", "max_us", "min_us", "total_us")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.total_us = 0
        self.min_us: int | None = None
        self.max_us = 0

    def record(self, value_us: int) -> None:
        """Count one value; a negative one (two clocks disagree) counts as 0."""
        value_us = max(value_us, 0)
        shift = value_us.bit_length() - _SHIFTLESS_BITS
        index = value_us if shift <= 0 else (shift << SUB_BUCKET_BITS) + (value_us >> shift)
        counts = self.counts
        counts[index] = counts.get(index, 0) + 1
        self.count += 1
        self.total_us += value_us
        # A call of max() would be a fifth of what a sample costs.
        if value_us > self.max_us:  # noqa: PLR1730 - see above
            self.max_us = value_us
        if self.min_us is None or value_us < self.min_us:
            self.min_us = value_us

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        if other.min_us is None:
            return
        for index, count in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
        self.count += other.count
        self.total_us += other.total_us
        self.max_us = max(self.max_us, other.max_us)
        self.min_us = other.min_us if self.min_us is None else min(self.min_us, other.min_us)

    @property
    def min_ms(self) -> float | None:
        return None if self.min_us is None else self.min_us / US_PER_MS

    @property
    def max_ms(self) -> float | None:
        return self.max_us / US_PER_MS if self.count else None

    @property
    def mean_ms(self) -> float | None:
        return self.total_us / self.count / US_PER_MS if self.count else None

    def percentile(self, percent: float) -> float | None:
        """The nearest-rank percentile in ms; None if too few samples lie beyond it."""
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Iterable[float]) -> list[float | None]:
        """Several percentiles; `percents` must ascend."""
        found: list[float | None] = []
        buckets = iter(sorted(self.counts.items()))
        index, seen = 0, 0
        for percent in percents:
            rank = rank_of(percent, self.count)
            if self.count - rank < SAMPLES_BEYOND:
                found.append(None)
                continue
            while seen < rank:
                index, count = next(buckets)
                seen += count
            found.append(self._value_ms(index))
        return found

    def curve(self) -> list[tuple[float, float]]:
        """(percentile, ms) as far as the samples allow, evenly spaced on a log axis of 1 - percentile."""
        if self.count <= SAMPLES_BEYOND:
            return []
        decades = math.log10(self.count / SAMPLES_BEYOND)
        beyond = (10 ** (-decades * point / CURVE_POINTS) for point in range(CURVE_POINTS + 1))
        # Rounded down: the next digit up may have too few samples beyond it.
        percents = [math.floor(100 * (1 - share) * _CURVE_STEPS) / _CURVE_STEPS for share in beyond]
        pairs = zip(percents, self.percentiles(percents), strict=True)
        return [(percent, value) for percent, value in pairs if value is not None]

    def to_dict(self) -> dict[str, Any]:
        return {
            "counts": sorted(self.counts.items()),
            "total_us": self.total_us,
            "min_us": self.min_us,
            "max_us": self.max_us,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Histogram:
        histogram = cls()
        histogram.counts = dict(data["counts"])
        histogram.count = sum(histogram.counts.values())
        histogram.total_us = data["total_us"]
        histogram.min_us = data["min_us"]
        histogram.max_us = data["max_us"]
        return histogram

    def _value_ms(self, index: int) -> float:
        """The middle of a bucket, limited to the values seen."""
        low, width = bounds_us(index)
        middle = low + (width - 1) / 2
        return min(max(middle, self.min_us or 0), self.max_us) / US_PER_MS


def bounds_us(index: int) -> tuple[int, int]:
    """(lowest value, width) of a bucket."""
    shift = max((index >> SUB_BUCKET_BITS) - 1, 0)
    return (index - (shift << SUB_BUCKET_BITS)) << shift, 1 << shift


def rank_of(percent: float, count: int) -> int:
    """The number of samples at or below a percentile (nearest rank; at least one)."""
    # Rounded first: in binary fractions, 99.9 percent of 1,000 is slightly more than 999.
    return max(math.ceil(round(percent * count / 100, 6)), 1)
