"""The account's request quota, and counts of accepted and refused requests. No I/O.

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
    """Requests per second, and the burst after a pause. ValueError if no request could ever pass."""

    rate_per_s: float
    burst: float

    def __post_init__(self) -> None:
        if not (0 < self.rate_per_s < math.inf and 1 <= self.burst < math.inf):
            raise ValueError("an account quota must have a rate above 0 and a burst of at least 1")


class TokenBucket:
    """Starts full. The caller passes the time in seconds of a monotonic clock."""

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
    """Admits and counts requests of one kind while the bucket has tokens; without a bucket it admits all."""

    def __init__(self, bucket: TokenBucket | None, clock_s: Callable[[], float]) -> None:
        self._bucket = bucket
        self._clock_s = clock_s
        self.accepted = 0
        self.refused = 0

    def admit(self) -> bool:
        """Whether a request may pass. A refused request takes no token."""
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

        `accepted` means by the quota: a post to a gone connection counts, too.
        """
        gates = {
            "posts": self.posts,
            "otherCalls": self.other_calls,
            "frames": self.frames,
            "connects": self.connects,
        }
        return {name: {"accepted": gate.accepted, "refused": gate.refused} for name, gate in gates.items()}
