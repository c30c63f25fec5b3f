"""The limits of all workers of an account: API Gateway's quota, and the budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groupcast.fanout.budget import Rate

US_PER_S = 1_000_000


class Account:
    """API Gateway's token bucket, which posts and client requests share without priority.

    `inbound` client requests a second arrive evenly. A request without a token is refused.
    """

    def __init__(self, per_second: float, burst: float, inbound: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._inbound = inbound
        self._tokens = burst
        self._asked_at_s = 0.0
        # The fraction of a post that was granted; it waits for the rest.
        self._rest = 0.0
        self.posts_accepted = 0
        self.posts_refused = 0
        self.inbound_refused = 0.0

    def take(self, now_s: float, posts: int) -> int:
        """Return the number of accepted posts."""
        accepted = posts if math.isinf(self._per_second) else self._take(now_s, posts)
        self.posts_accepted += accepted
        self.posts_refused += posts - accepted
        return accepted

    def _take(self, now_s: float, posts: int) -> int:
        elapsed_s = now_s - self._asked_at_s
        self._asked_at_s = now_s
        incoming = self._inbound * elapsed_s
        filled = self._tokens + self._per_second * elapsed_s
        if filled - incoming >= min(posts, self._burst):
            # Enough tokens for everything since the last call; the bucket never holds more than its burst.
            left = min(filled - incoming, self._burst)
            accepted = min(posts, math.floor(left))
            self._tokens = left - accepted
            return accepted
        share = filled / (posts + incoming)
        granted = posts * share + self._rest
        accepted = min(posts, math.floor(granted))
        self._rest = min(granted - accepted, 1.0)
        self.inbound_refused += incoming * (1 - share)
        self._tokens = 0.0
        return accepted


class Budget:
    """The bookings of all workers in sequence: `groupcast.fanout.budget` with one clock."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._free_at_s = -math.inf

    @property
    def chunk_posts(self) -> int:
        return self._rate.chunk_posts

    def book(self, now_s: float, posts: int) -> float:
        """Book posts; return the time at which they may begin, possibly in the past."""
        floor_s = now_s - self._rate.credit_us / US_PER_S
        begin_s = max(floor_s, self._free_at_s)
        self._free_at_s = begin_s + self._rate.take_us(posts) / US_PER_S
        return begin_s
