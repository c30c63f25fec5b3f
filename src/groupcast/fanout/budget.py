"""How many posts all workers together may make, booked in advance: frames keep their part of the quota.

One number says when the budget is used up to: `freeAt`, as in the generic cell rate algorithm (ITU-T I.371,
annex A). A booking of n posts moves it on by n / rate, and its posts begin where it stood before. A pause
lets it fall behind the clock, by the credit at most.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Callable

US_PER_S = 1_000_000
# A large group books so much of the account's second at a time: enough that the next one is booked while
# this one is posted, little enough that groups take turns. A worker that dies loses two of them.
CHUNK_S = 0.05
# The clocks of two Lambda environments differ by less.
CLOCK_SKEW_S = 0.05
# A booking that is used later than this after it began is void: others post by now.
LATE_S = 0.05
# Groups up to this size start at once and are charged meanwhile.
SMALL_MEMBERS = 500
# So do leftovers for so few. The rest of a large group comes in many pieces, each of which would be small.
STRAGGLERS_MAX = 20
# A booking takes a few milliseconds. Without an answer by then posting goes on: the adaptive window remains.
BOOKING_TIMEOUT_S = 1.0
PAUSE_S = 5.0
# Posts made without a booking are booked afterwards, so many together: one write for many small groups.
DEBT_POSTS = 50


@dataclass(frozen=True, slots=True)
class Rate:
    """A budget of `per_second` posts, and `burst` posts on top after a pause.

    Booked posts that begin within any second never exceed the two together, of all workers. The credit
    leaves room for clocks that differ by CLOCK_SKEW_S, for bookings that are used LATE_S after they began,
    and for a chunk that begins at the end of the second.
    """

    per_second: int
    burst: int

    @property
    def chunk_posts(self) -> int:
        return max(1, int(self.per_second * CHUNK_S))

    @property
    def credit_us(self) -> int:
        """How far behind the clock `freeAt` may fall."""
        # And for the post at either end of the second.
        reserve_s = 2 * CLOCK_SKEW_S + LATE_S + (self.chunk_posts + 1) / self.per_second
        return max(0, int((self.burst / self.per_second - reserve_s) * US_PER_S))

    def take_us(self, posts: int) -> int:
        """By how much `posts` move `freeAt` on."""
        return -(-posts * US_PER_S // self.per_second)


class Bookings(Protocol):
    """Where bookings are made: the table `Quotas`, or a stand-in for it in a test."""

    async def book(self, take_us: int, floor_us: int) -> int:
        """Move `freeAt` on by `take_us`, up to `floor_us` first where it lies before; return where it was.

        Times are microseconds since 1970. Raises GroupcastError.
        """


class Budget(Protocol):
    """What the engine asks before it posts."""

    @property
    def is_limited(self) -> bool:
        """Whether anything is booked at all."""

    @property
    def chunk_posts(self) -> int:
        """How many posts to book at a time."""

    @property
    def void_after_s(self) -> float:
        """A booking that began longer ago than this must not be used."""

    async def book(self, posts: int) -> float:
        """Book posts; they may begin in so many seconds, or could have before. Never raises."""

    def owe(self, posts: int) -> None:
        """Note posts that were made without a booking."""

    async def settle(self) -> None:
        """Book the debt, unless it is small."""


class Unlimited:
    """No budget: nothing is booked."""

    is_limited = False
    chunk_posts = 1 << 30
    void_after_s = float("inf")

    async def book(self, _posts: int) -> float:
        return 0.0

    def owe(self, _posts: int) -> None:
        pass

    async def settle(self) -> None:
        pass


class Meter:
    """Lets one group's posts through as its bookings begin. Books one chunk ahead, and no more.

    `stop_at` is a loop time in seconds; `waited_s` is the sum of the group's waits for its bookings.
    """

    __slots__ = ("_ahead", "_budget", "_credit", "_loop", "_stop_at", "booked", "waited_s")

    def __init__(self, budget: Budget, stop_at: float) -> None:
        self._budget = budget
        self._stop_at = stop_at
        self._loop = asyncio.get_running_loop()
        self._credit = 0
        self._ahead: tuple[int, asyncio.Task[float]] | None = None
        self.booked = 0
        self.waited_s = 0.0

    def expect(self, posts: int) -> None:
        """Book for posts that are still to come, unless there is a booking ahead already."""
        posts = min(posts, self._budget.chunk_posts)
        if self._ahead is None and posts > 0:
            self.booked += posts
            self._ahead = (posts, self._loop.create_task(self._start(posts)))

    async def take(self, posts: int, more: int) -> bool:
        """Wait until `posts` may be made; `more` will follow. False where the time is over first."""
        while self._credit < posts:
            self.expect(posts - self._credit + more)
            assert self._ahead is not None
            booked, start = self._ahead
            began_at = self._loop.time()
            start_at = await start
            self._ahead = None
            if self._loop.time() - start_at <= self._budget.void_after_s:
                self._credit += booked
                self.expect(posts - self._credit + more)
            await asyncio.sleep(max(0.0, min(start_at, self._stop_at) - self._loop.time()))
            self.waited_s += self._loop.time() - began_at
            if self._loop.time() >= self._stop_at:
                return False
        self._credit -= posts
        return True

    async def close(self) -> None:
        """Wait for a booking that is under way: an environment must not freeze in the middle of it."""
        if self._ahead is not None:
            await self._ahead[1]

    async def _start(self, posts: int) -> float:
        return self._loop.time() + await self._budget.book(posts)


class SharedBudget:
    """The budget that all workers share. Where bookings fail, posts go out unbooked for PAUSE_S.

    `now_us` gives microseconds since 1970, `loop_time` seconds of a monotonic clock.
    """

    is_limited = True

    def __init__(
        self, rate: Rate, bookings: Bookings, *, now_us: Callable[[], int], loop_time: Callable[[], float]
    ) -> None:
        self._rate = rate
        self._bookings = bookings
        self._now_us = now_us
        self._loop_time = loop_time
        self._owed = 0
        self._paused_until = 0.0

    @property
    def chunk_posts(self) -> int:
        return self._rate.chunk_posts

    @property
    def void_after_s(self) -> float:
        return self._rate.credit_us / US_PER_S + LATE_S

    async def book(self, posts: int) -> float:
        posts, self._owed = posts + self._owed, 0
        if self._loop_time() < self._paused_until:
            return 0.0
        try:
            async with asyncio.timeout(BOOKING_TIMEOUT_S):
                free_at_us = await self._bookings.book(
                    self._rate.take_us(posts), self._now_us() - self._rate.credit_us
                )
        except (GroupcastError, TimeoutError):
            self._paused_until = self._loop_time() + PAUSE_S
            return 0.0
        return (free_at_us - self._now_us()) / US_PER_S

    def owe(self, posts: int) -> None:
        self._owed += posts

    async def settle(self) -> None:
        if self._owed >= DEBT_POSTS:
            await self.book(0)
