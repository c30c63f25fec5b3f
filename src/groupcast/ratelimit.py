"""How often a connection may send: a token bucket that one number holds. Pure.

The number is when the bucket is full again, as in the generic cell rate algorithm (ITU-T I.371, annex A).
"""

from __future__ import annotations

from dataclasses import dataclass

US_PER_S = 1_000_000
US_PER_MS = 1_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """Gains `per_second` tokens, holds `burst`; a message takes one. Times are microseconds since 1970."""

    per_second: int
    burst: int

    @property
    def interval_us(self) -> int:
        """What a token takes to come: by so much later the bucket is full again."""
        return US_PER_S // self.per_second

    def latest_full_us(self, now_us: int) -> int:
        """A bucket that is full later than this has no token now."""
        return now_us + (self.burst - 1) * self.interval_us

    def retry_after_ms(self, full_at_us: int, now_us: int) -> int:
        """After so many milliseconds there is a token again; at least one."""
        return max(1, -(-(full_at_us - self.latest_full_us(now_us)) // US_PER_MS))
