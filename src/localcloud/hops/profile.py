"""The table of hop latencies on AWS and their distributions. Pure.

Measured: Bite-Sized Serverless, "Serverless Messaging: Latency Compared", from publishing to the start of a
warm function, 1,024 runs each, eu-west-1, 4 and 5 September 2022.

Assumed, since no percentiles are published: `route` (practitioners report 10 to 20 ms between API Gateway and
a warm function) and `post` (one call within a region). Calls to DynamoDB and SQS are not delayed: DynamoDB
Local and moto take a few milliseconds, as AWS does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

# The table's percentiles, as standard deviations from the median.
_KNOTS = tuple(map(NormalDist().inv_cdf, (0.1, 0.5, 0.9, 0.99)))


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop's latency in milliseconds.

    Between neighbouring percentiles the latency's logarithm is interpolated along the normal distribution.
    Draws stay between p10 and p99, since nothing is known outside.
    """

    p10_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float

    def __post_init__(self) -> None:
        if not 0 < self.p10_ms <= self.p50_ms <= self.p90_ms <= self.p99_ms:
            raise ValueError(f"percentiles must be positive and ascending: {self}")

    def at_deviation(self, deviation: float) -> float:
        """The latency (ms) at `deviation` standard deviations from the median."""
        levels = (self.p10_ms, self.p50_ms, self.p90_ms, self.p99_ms)
        if deviation <= _KNOTS[0]:
            return self.p10_ms
        for (low, high), (from_ms, to_ms) in zip(pairwise(_KNOTS), pairwise(levels), strict=True):
            if deviation <= high:
                return from_ms * math.pow(to_ms / from_ms, (deviation - low) / (high - low))
        return self.p99_ms


@dataclass(frozen=True, slots=True)
class HopProfile:
    """All hops of one cloud.

    `stream`, `queue` and `fifo_queue`: from writing a record or message to the start of its function.
    `route`: from a frame's arrival to the start of its function. `post`: from a post's arrival at
    `@connections` to its delivery and answer.
    """

    stream: Hop
    queue: Hop
    fifo_queue: Hop
    route: Hop
    post: Hop


AWS = HopProfile(
    stream=Hop(118, 213, 341, 552),
    queue=Hop(13.7, 16.2, 33.8, 105),
    fifo_queue=Hop(21.9, 28.1, 61.2, 645),
    route=Hop(8, 12, 25, 80),
    post=Hop(5, 8, 15, 50),
)
