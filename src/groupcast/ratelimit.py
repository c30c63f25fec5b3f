"""What actions cost, and the buckets they are taken from. Pure.

One number holds a bucket: when it is full again, as in the generic cell rate algorithm (ITU-T I.371,
annex A). Times are microseconds since 1970.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson

from groupcast.protocol import MAX_MESSAGE_BYTES

US_PER_S = 1_000_000
US_PER_MS = 1_000

# Tokens. A message up to 1 KB takes one; what else is asked for is weighed against the requests, reads and
# writes of such a message. Ten tabs that open at once, replay and ping stay within the default burst of 20.
TOKEN_BYTES = 1024
CONNECT_TOKENS = 0.25
PING_TOKENS = 0.25
JOIN_TOKENS = 0.5
# Each group that a frame names beside its first: a write less, and no invocation.
FURTHER_JOIN_TOKENS = 0.25
LEAVE_TOKENS = 0.5
RENEW_TOKENS = 0.5
# The largest message's text in a frame: of control characters alone.
MAX_TEXT_BYTES = 6 * MAX_MESSAGE_BYTES
# Reading the log takes this for the first 16 KB of a reply, and as much for each 16 KB that follow.
READ_TOKENS = 0.25
READ_BYTES = 16 * 1024
# After a pause a group takes at once what it takes in so many seconds, or the largest message if that is
# more: one member's message must not leave a debt to the others.
GROUP_BURST_S = 5
# So many members who send all that one user may fit a group's limits: none of them fills it alone.
GROUP_USERS_MIN = 3
# A bucket that is full later than so many bursts and an hour ahead was written by a wrong clock: replies that
# are charged after they were read make a debt of less than eight bursts.
DEBT_BURSTS_MAX, CLOCK_US_MAX = 10, 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of an action, in us of refill; `burst_us` is the capacity.

    An action that costs more than the bucket holds passes when the bucket is full, and is charged whole, so
    that the rate holds over time.
    """

    cost_us: int
    burst_us: int

    def latest_full_us(self, now_us: int) -> int:
        """A bucket that is full later than this has too little now."""
        return now_us + self.burst_us - min(self.cost_us, self.burst_us)

    def last_credible_us(self, now_us: int) -> int:
        """A bucket that is full later than this counts as full: a wrong clock wrote it."""
        return now_us + DEBT_BURSTS_MAX * self.burst_us + CLOCK_US_MAX

    def next_full_us(self, full_at_us: int, now_us: int) -> int:
        """When the bucket is full again if this is taken now."""
        return max(full_at_us, now_us) + self.cost_us

    def retry_after_ms(self, full_at_us: int, now_us: int) -> int:
        """After so many milliseconds there is enough again; at least one."""
        return max(1, -(-(full_at_us - self.latest_full_us(now_us)) // US_PER_MS))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A user's bucket: gains `per_second` tokens, holds `burst`."""

    per_second: int
    burst: int

    def charge(self, tokens: float) -> Charge:
        return Charge(
            math.ceil(tokens * US_PER_S / self.per_second), self.burst * US_PER_S // self.per_second
        )


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """A group's bucket: so many messages and bytes a second, all members' together."""

    messages_per_second: int
    bytes_per_second: int

    def charge(self, text_bytes: int) -> Charge:
        """The charge for a message whose text takes so many bytes in a frame."""
        seconds = max(1 / self.messages_per_second, text_bytes / self.bytes_per_second)
        burst_s = max(GROUP_BURST_S, MAX_TEXT_BYTES / self.bytes_per_second)
        return Charge(math.ceil(seconds * US_PER_S), math.ceil(burst_s * US_PER_S))


def text_bytes(text: str) -> int:
    """What a message's text takes in a frame: JSON makes six bytes of a control character."""
    return len(orjson.dumps(text)) - 2


def message_tokens(size_bytes: int) -> float:
    """The tokens for a message whose text takes so many bytes in a frame."""
    return max(1.0, size_bytes / TOKEN_BYTES)


def join_tokens(groups: int) -> float:
    """The tokens for a frame that joins so many groups."""
    return JOIN_TOKENS + (groups - 1) * FURTHER_JOIN_TOKENS


def read_tokens(size_bytes: int) -> float:
    """The tokens for a reply with so many bytes of messages."""
    return max(1.0, size_bytes / READ_BYTES) * READ_TOKENS


def is_large(size_bytes: int) -> bool:
    """Whether a message is larger than most: it costs more than one token."""
    return size_bytes > TOKEN_BYTES
