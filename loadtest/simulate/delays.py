"""How long each step of a delivery takes: one table for AWS, one for this machine."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

AS_OF = "2026-11-24"
AWS = "aws"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Delay:
    """A random delay by its quantiles: (share, ms), both ascending.

    Its logarithm is interpolated between them. Below the first and above the last it stays at that value:
    published tables end at p10 and p99, and a longer tail would be invented.
    """

    quantiles: tuple[tuple[float, float], ...]

    def at_s(self, share: float) -> float:
        """The quantile of a share between 0 and 1, in seconds."""
        place = bisect.bisect_right(self.quantiles, share, key=lambda quantile: quantile[0])
        if place in (0, len(self.quantiles)):
            return self.quantiles[min(place, len(self.quantiles) - 1)][1] / 1000
        (from_share, low), (to_share, high) = self.quantiles[place - 1 : place + 1]
        part = (share - from_share) / (to_share - from_share)
        return math.exp(math.log(low) + part * math.log(high / low)) / 1000

    def sample_s(self, dice: random.Random) -> float:
        return self.at_s(dice.random())


def constant(ms: float) -> Delay:
    """A delay that is always the same; more than 0."""
    return Delay(((0.5, ms),))


@dataclass(frozen=True, slots=True)
class Delays:
    """The steps of a delivery, in their order; `SOURCES` says how each was found.

    `accept`: a message is due until it is stored. `stream_poll_s`: from poll to poll of a shard, and
    `stream_read`: from the poll that finds a record to its invocation. `fifo` and `standard`: from the send
    to the invocation. `unlock`: from a lane's deletion to its next invocation, where offers wait. `offer_s`:
    what an invocation takes that only offers. `invoke_s`: from an invocation's begin to its first request.
    `page_s`: a page of members. `booking_s`: an update of the item in Quotas. `round_trip_s`: a post. `post_cpu_s`: of one vCPU, for a
    post. `to_member_s`: from the last post to its receipt. `finish_s`: from the last answer until the
    records are done with. `machine_posts_per_second`: all workers, the gateway and all receivers together,
    where they share one machine. `cell_hop`: a message to another account or region.
    """

    accept: Delay
    stream_shards: int
    stream_poll_s: float
    stream_read: Delay
    fifo: Delay
    unlock: Delay
    standard: Delay
    offer_s: float
    invoke_s: float
    page_s: float
    booking_s: float
    round_trip_s: float
    post_cpu_s: float
    to_member_s: float
    finish_s: float
    machine_posts_per_second: float
    cell_hop: Delay


# Bite-Sized Serverless, 1,024 runs each, eu-west-1, September 2022 (DESIGN section 7): p10, p50, p90, p99.
_FIFO = Delay(((0.10, 22), (0.50, 28), (0.90, 61), (0.99, 645)))
_STANDARD = Delay(((0.10, 14), (0.50, 16), (0.90, 34), (0.99, 105)))

PROFILES = {
    AWS: Delays(
        accept=Delay(((0.10, 30), (0.50, 45), (0.90, 80), (0.99, 200))),
        stream_shards=4,
        stream_poll_s=0.25,
        stream_read=Delay(((0.10, 80), (0.50, 88), (0.90, 105), (0.98, 300), (0.995, 420))),
        fifo=_FIFO,
        unlock=_FIFO,
        standard=_STANDARD,
        offer_s=0.020,
        invoke_s=0.003,
        page_s=0.010,
        booking_s=0.005,
        round_trip_s=0.015,
        post_cpu_s=0.00002,
        to_member_s=0.025,
        finish_s=0.010,
        machine_posts_per_second=math.inf,
        cell_hop=Delay(((0.10, 100), (0.50, 150), (0.90, 250), (0.99, 500))),
    ),
}
