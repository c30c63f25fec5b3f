"""What bounds all workers of an account: API Gateway's quota, and the budget they book from."""

from __future__ import annotations

import math


class Account:
    """API Gateway's token bucket. Posts and what clients send draw on it alike, neither before the other.

    `inbound` requests a second come in evenly. A request that finds no token is refused and takes none.
    """

    def __init__(self, per_second: float, burst: float, inbound: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._inbound = inbound
        self._tokens = burst
        self._asked_at_s = 0.0
        # Fractions of posts that were granted but not given out, since posts are whole.
        self._rest = 0.0
        self.posts_accepted = 0
        self.posts_refused = 0
        self.inbound_accepted = 0.0
        self.inbound_refused = 0.0

    def take(self, now_s: float, posts: int) -> int:
        """How many of so many posts are accepted."""
        if math.isinf(self._per_second):
            self.posts_accepted += posts
            return posts
        elapsed_s = now_s - self._asked_at_s
        self._asked_at_s = now_s
        incoming = self._inbound * elapsed_s
        after_inbound = self._tokens + self._per_second * elapsed_s - incoming
        if after_inbound >= min(posts, self._burst):
            # Room for everyone meanwhile: a full bucket takes no more, whatever the pause.
            left = min(after_inbound, self._burst)
            accepted, refused_inbound = min(posts, math.floor(left)), 0.0
            self._tokens = left - accepted
        else:
            share = (self._tokens + self._per_second * elapsed_s) / (posts + incoming)
            granted = posts * share + self._rest
            accepted = min(posts, math.floor(granted))
            self._rest = min(granted - accepted, 1.0)
            refused_inbound = incoming * (1 - share)
            self._tokens = 0.0
        self.posts_accepted += accepted
        self.posts_refused += posts - accepted
        self.inbound_accepted += incoming - refused_inbound
        self.inbound_refused += refused_inbound
        return accepted


class Budget:
    """Bookings in one item, by the generic cell rate algorithm: freeAt = max(now - burst, freeAt) + n / rate.

    A booking of n posts may begin when all of them have accrued. In any window of w seconds, bookings thus
    begin for at most burst + w * rate posts.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst_s = burst / per_second
        self._free_at_s = -math.inf
        self.booked = 0

    def book(self, now_s: float, posts: int) -> float:
        """Book posts; return from when on they may be made, in seconds, now at the earliest."""
        self._free_at_s = max(now_s - self._burst_s, self._free_at_s) + posts / self._per_second
        self.booked += posts
        return max(now_s, self._free_at_s)
