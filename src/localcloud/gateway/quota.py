"""The account's quota of requests, and the counts of what it let through and refused. No I/O.

AWS: "Amazon API Gateway quotas". One token bucket for an account and region: 10,000 requests a second over
all HTTP, REST and WebSocket APIs and WebSocket callback APIs, with a burst of 5,000. The callback API is
`@connections`, so its GET and DELETE count like its POST. "Protecting your WebSocket API": a request takes
one token.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# API Gateway's text for a throttled account. The text for a client that reads too slowly differs.
TOO_MANY_REQUESTS = "Too Many Requests"


@dataclass(frozen=True, slots=True)
class AccountQuota:
    """Requests a second, and how many at once after a pause. ValueError where it would let none through."""

    rate_per_s: float
    burst: float

    def __post_init__(self) -> None:
        if not (0 < self.rate_per_s < math.inf and 1 <= self.burst < math.inf):
            raise ValueError("an account quota has a rate above 0 and a burst of at least 1")


class TokenBucket:
    """Full at first. The caller brings the time, in seconds of a clock that does not go back."""

    def __init__(self, quota: AccountQuota, now_s: float) -> None:
        self._quota = quota
        self._tokens = quota.burst
        self._filled_s = now_s

    def take(self, now_s: float) -> bool:
        """Take a token; False if the bucket is empty."""
        tokens = self._tokens + (now_s - self._filled_s) * self._quota.rate_per_s
        self._filled_s = now_s
        self._tokens = min(tokens, self._quota.burst)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Gate:
    """Lets requests of one kind through while the bucket has tokens, and counts; no bucket, no limit."""

    def __init__(self, bucket: TokenBucket | None, clock_s: Callable[[], float]) -> None:
        self._bucket = bucket
        self._clock_s = clock_s
        self.accepted = 0
        self.refused = 0

    def admit(self) -> bool:
        """Whether a request may pass; one that may not takes no token."""
        if self._bucket is None or self._bucket.take(self._clock_s()):
            self.accepted += 1
            return True
        self.refused += 1
        return False


class Requests:
    """All requests of one account, by kind: posts, other calls of `@connections`, frames, connects."""

    def __init__(self, quota: AccountQuota | None, clock_s: Callable[[], float] = time.monotonic) -> None:
        bucket = None if quota is None else TokenBucket(quota, clock_s())
        self.posts, self.other_calls, self.frames, self.connects = (Gate(bucket, clock_s) for _ in range(4))

    def counts(self) -> dict[str, dict[str, int]]:
        """Requests so far: `{"posts": {"accepted": 2, "refused": 0}, …}`.

        `accepted` by the quota, whatever became of them: a post to a connection that is gone is among them.
        """
        gates = {
            "posts": self.posts,
            "otherCalls": self.other_calls,
            "frames": self.frames,
            "connects": self.connects,
        }
        return {name: {"accepted": gate.accepted, "refused": gate.refused} for name, gate in gates.items()}
