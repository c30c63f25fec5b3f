"""One worker with one batch: reads, books, posts, and hands over what is left."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy.events import Event

    from loadtest.simulate.cell import Cell
    from loadtest.simulate.window import Window
    from loadtest.simulate.work import Pass

    Process = Generator[Event, object, None]

# docs: the budget is booked in chunks, and a small group begins before its booking.
CHUNK_S = 0.05
SMALL_MEMBERS = 500
# What is posted and judged at once where no budget bounds it; not less than a round trip.
STEP_S = 0.015
# groupcast.fanout.pace.Limits: between 0 and this much, doubling, before a refused post is made again.
RETRY_BASE_S, RETRY_CAP_S = 0.025, 0.25
# Refused posts of a step come back in so many parts, spread over that time.
RETRY_PARTS = 4


class Invocation:
    """Posts its passes in turn. `grace_s` is what retries may wait when they are all that is left."""

    def __init__(self, cell: Cell, passes: Sequence[Pass], window: Window, *, grace_s: float) -> None:
        self._env = cell.env
        self._cell = cell
        self._delays = cell.setup.delays
        self._passes = list(passes)
        self._window = window
        self._grace_s = grace_s
        self._delayed: list[tuple[float, int, Pass, int, int]] = []
        self._delays_made = 0
        self._progress_at_s = 0.0
        # Posts that are booked and may be made, and a booking that has yet to accrue: (from when on, posts).
        self._credit = 0
        self._pending: tuple[float, int] | None = None
        # Slots of the window that nobody has filled yet: the first posts wait for no answer.
        self._free = 0

    def run(self) -> Process:
        env, delays = self._env, self._delays
        stop_at_s = env.now + self._cell.posting_s
        self._cell.invocations += 1
        began_s = env.now
        yield env.timeout(delays.invoke_s)
        self._first_booking()
        yield env.timeout(delays.page_s)
        self._free = self._window.size
        self._progress_at_s = env.now
        while self._passes and env.now < stop_at_s:
            self._take_back()
            ready = sum(one.ready_posts for one in self._passes)
            if not ready:
                due_s = self._delayed[0][0]
                if due_s > self._progress_at_s + self._grace_s:
                    break
                yield env.timeout(max(due_s - env.now, 0.0))
                continue
            allowed = self._allowed()
            if not allowed:
                assert self._pending is not None
                yield from self._wait_until(min(self._pending[0], stop_at_s))
                continue
            yield from self._post(min(ready, allowed, self._step_posts()))
        for one in self._passes:
            self._cell.hand_off(one)
        yield env.timeout(delays.round_trip_s + delays.finish_s)
        self._cell.busy_s += env.now - began_s

    def _post(self, posts: int) -> Process:
        taken: list[tuple[Pass, int, int]] = []
        left = posts
        # The shortest first: what it leaves over goes to the others.
        by_size = sorted(self._passes, key=lambda one: one.ready_posts)
        for place, one in enumerate(by_size):
            part = min(one.ready_posts, math.ceil(left / (len(by_size) - place)))
            if part:
                taken += [(one, count, attempt) for count, attempt in one.take(part)]
                left -= part
        self._credit -= posts if self._cell.budget else 0
        accepted = self._cell.account.take(self._env.now, posts)
        self._cell.posting += 1
        yield self._env.timeout(self._seconds(posts))
        self._cell.posting -= 1
        self._window.results(posts, posts - accepted)
        if accepted:
            self._progress_at_s = self._env.now
        self._results(taken, posts, accepted)

    def _results(self, taken: Sequence[tuple[Pass, int, int]], posts: int, accepted: int) -> None:
        """Share the accepted posts out evenly; the others come back later."""
        so_far = done = 0
        for one, count, attempt in taken:
            so_far += count
            share = so_far * accepted // posts - done
            done += share
            one.open -= share
            if not one.open:
                self._passes.remove(one)
                self._cell.passed(one)
            if count > share:
                self._delay(one, count - share, attempt)

    def _delay(self, one: Pass, posts: int, attempt: int) -> None:
        longest_s = min(RETRY_BASE_S * 2.0 ** min(attempt - 1, 10), RETRY_CAP_S)
        parts = min(RETRY_PARTS, posts)
        for part in range(parts):
            count = posts * (part + 1) // parts - posts * part // parts
            due_s = self._env.now + longest_s * (part + self._cell.dice.random()) / parts
            self._delays_made += 1
            heapq.heappush(self._delayed, (due_s, self._delays_made, one, count, attempt + 1))

    def _take_back(self) -> None:
        while self._delayed and self._delayed[0][0] <= self._env.now:
            _, _, one, posts, attempt = heapq.heappop(self._delayed)
            one.put_back(posts, attempt)

    def _seconds(self, posts: int) -> float:
        """How long so many posts take: bound by the CPU, by the window's answers, and by the machine."""
        delays = self._delays
        waiting = max(0, posts - self._free)
        self._free = max(0, self._free - posts)
        return max(
            posts * delays.post_cpu_s,
            waiting * delays.round_trip_s / self._window.size,
            posts * self._cell.posting / delays.machine_posts_per_second,
        )

    def _step_posts(self) -> int:
        round_trip_s = self._delays.round_trip_s
        step_s = max(CHUNK_S if self._cell.budget else STEP_S, round_trip_s)
        fastest = min(self._window.size / round_trip_s, 1 / self._delays.post_cpu_s)
        return max(1, round(fastest * step_s))

    def _first_booking(self) -> None:
        budget = self._cell.budget
        if budget and self._cell.members <= SMALL_MEMBERS:
            self._credit = sum(one.open for one in self._passes)
            budget.book(self._env.now, self._credit)
        self._book()

    def _allowed(self) -> int | float:
        """Posts that the budget lets go now; the next are booked meanwhile."""
        if not self._cell.budget:
            return math.inf
        if self._pending is not None and self._pending[0] <= self._env.now:
            self._credit += self._pending[1]
            self._pending = None
        self._book()
        return self._credit

    def _book(self) -> None:
        budget = self._cell.budget
        if not budget or self._pending is not None:
            return
        posts = min(sum(one.open for one in self._passes) - self._credit, self._cell.chunk)
        if posts > 0:
            from_s = budget.book(self._env.now, posts)
            self._pending = (max(from_s, self._env.now + self._delays.booking_s), posts)

    def _wait_until(self, at_s: float) -> Process:
        waited_s = max(at_s - self._env.now, 0.0)
        yield self._env.timeout(waited_s)
        answered = waited_s / self._delays.round_trip_s * self._window.size
        self._free = min(self._window.size, round(self._free + answered))
