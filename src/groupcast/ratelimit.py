"""The costs of actions, and the token buckets that pay for them. Pure.

A bucket is one number, the time when it is full again, as in the generic cell rate algorithm (ITU-T I.371,
annex A). Times are microseconds since 1970.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import orjson

from groupcast.protocol import MAX_MESSAGE_BYTES

US_PER_S = 1_000_000
US_PER_MS = 1_000

# Tokens. A message up to 1 KB costs one; other actions cost in proportion to its requests, reads and writes.
# Ten tabs that open, replay and ping at once stay within the default burst of 20.
TOKEN_BYTES = 1024
CONNECT_TOKENS = 0.25
PING_TOKENS = 0.25
JOIN_TOKENS = 0.5
# Each group that a frame names beside its first: a write less, and no invocation.
FURTHER_JOIN_TOKENS = 0.25
# Each group beyond the first that a ping reads, and that a renewal writes.
FURTHER_PING_TOKENS = 0.02
FURTHER_RENEW_TOKENS = 0.25
LEAVE_TOKENS = 0.5
MARK_TOKENS = 0.25
RENEW_TOKENS = 0.5
# The largest text of a message in a frame: one that consists of control characters.
MAX_TEXT_BYTES = 6 * MAX_MESSAGE_BYTES
# Reading the log costs READ_TOKENS for a reply of up to 16 KB, and in proportion above that.
READ_TOKENS = 0.25
READ_BYTES = 16 * 1024
# After a pause a group accepts this many seconds' worth at once, or the largest message if that is more: one
# member's message must not leave the others a debt.
GROUP_BURST_S = 5
# A group's limits have room for at least this many members at their own limits: none can fill it alone.
GROUP_USERS_MIN = 3
# A bucket that is full more than this many bursts and an hour ahead was written by a wrong clock: charging
# replies after reading them leaves a debt of less than eight bursts.
DEBT_BURSTS_MAX, CLOCK_US_MAX = 10, 3600 * US_PER_S


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of an action and the bucket's capacity (`burst_us`), in microseconds of refill.

    An action that costs more than the capacity is allowed when the bucket is full. It is charged in full, so
    that the rate is kept over time.
    """

    cost_us: int
    burst_us: int

    def latest_full_us(self, now_us: int) -> int:
        """A bucket can pay now if it is full again by this time."""
        return now_us + self.burst_us - min(self.cost_us, self.burst_us)

    def last_credible_us(self, now_us: int) -> int:
        """A bucket that is full later than this counts as full: a wrong clock must have written it."""
        return now_us + DEBT_BURSTS_MAX * self.burst_us + CLOCK_US_MAX

    def next_full_us(self, full_at_us: int, now_us: int) -> int:
        """The time when the bucket is full again after paying now."""
        return max(full_at_us, now_us) + self.cost_us

    def retry_after_ms(self, full_at_us: int, now_us: int) -> int:
        """Milliseconds until the bucket can pay, at least 1."""
        return max(1, -(-(full_at_us - self.latest_full_us(now_us)) // US_PER_MS))


@dataclass(frozen=True, slots=True)
class Bucket:
    """A user's bucket: refills with `per_second` tokens a second up to `burst`."""

    per_second: int
    burst: int

    def charge(self, tokens: float) -> Charge:
        return Charge(
            math.ceil(tokens * US_PER_S / self.per_second), self.burst * US_PER_S // self.per_second
        )


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """A group's bucket: the messages and bytes a second that all its members may send together."""

    messages_per_second: int
    bytes_per_second: int

    def charge(self, text_bytes: int) -> Charge:
        """The charge for a message whose text takes `text_bytes` in a frame."""
        seconds = max(1 / self.messages_per_second, text_bytes / self.bytes_per_second)
        burst_s = max(GROUP_BURST_S, MAX_TEXT_BYTES / self.bytes_per_second)
        return Charge(math.ceil(seconds * US_PER_S), math.ceil(burst_s * US_PER_S))


def text_bytes(text: str) -> int:
    """The size of a message's text in a frame: JSON escapes a control character as six bytes."""
    return len(orjson.dumps(text)) - 2


def message_tokens(size_bytes: int) -> float:
    """The cost of a message whose text takes `size_bytes` in a frame."""
    return max(1.0, size_bytes / TOKEN_BYTES)


def join_tokens(groups: int) -> float:
    """The tokens for a frame that joins so many groups."""
    return JOIN_TOKENS + (groups - 1) * FURTHER_JOIN_TOKENS


def read_tokens(size_bytes: int) -> float:
    """The cost of a reply with `size_bytes` of messages."""
    return max(1.0, size_bytes / READ_BYTES) * READ_TOKENS


def is_large(size_bytes: int) -> bool:
    """Whether a message costs more than one token."""
    return size_bytes > TOKEN_BYTES
