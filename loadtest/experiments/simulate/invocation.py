"""One worker with one batch: it reads, books, posts, and leaves leftovers."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.fanout.budget import CHUNK_S, SMALL_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.fanout.limits import Limits
    from loadtest.experiments.simulate.cell import Cell
    from loadtest.experiments.simulate.window import Window
    from loadtest.experiments.simulate.work import Pass, Process


# The refused posts of a step are retried in so many parts, spread over their longest wait.
RETRY_PARTS = 4
# The wait has reached its cap long before this attempt.
ATTEMPT_MAX = 10
# Without a budget, a step is a round trip, or longer where passes take longer than this.
LONG_PASS_S = 5.0
LONG_STEP_S = CHUNK_S


@dataclass(frozen=True, slots=True)
class PassCallbacks:
    """Called at the end of a pass: `done` if all posts were accepted, else `left`."""

    done: Callable[[Pass], None]
    left: Callable[[Pass], None]


class Invocation:
    """Posts its passes concurrently."""

    def __init__(
        self, cell: Cell, passes: Sequence[Pass], window: Window, limits: Limits, ends: PassCallbacks
    ) -> None:
        self._env = cell.env
        self._cell = cell
        self._delays = cell.setup.delays
        self._passes = list(passes)
        self._window = window
        self._limits = limits
        self._ends = ends
        self._delayed: list[tuple[float, int, Pass, int, int]] = []
        self._delays_made = 0
        self._progress_at_s = 0.0
        # Booked posts that may be made now, and a booking for later: (time, posts).
        self._credit = 0
        self._ahead: tuple[float, int] | None = None
        # Free slots of the window: their posts need not wait for a response.
        self._free = 0

    def run(self) -> Process:
        env, cell = self._env, self._cell
        began_s, stop_at_s = env.now, env.now + cell.posting_s
        cell.counts.invocations += 1
        yield env.timeout(self._delays.invoke_s)
        self._first_booking()
        yield env.timeout(self._delays.page_s)
        self._free = self._window.size
        self._progress_at_s = env.now
        while self._passes and env.now < stop_at_s:
            self._take_back()
            ready = sum(one.ready for one in self._passes)
            if not ready:
                due_s = self._delayed[0][0]
                if due_s > self._progress_at_s + self._limits.grace_s:
                    break
                yield env.timeout(max(due_s - env.now, 0.0))
            elif allowed := self._allowed():
                yield from self._post(int(min(ready, allowed, self._step_posts())))
            else:
                assert self._ahead is not None
                yield from self._wait_until(min(self._ahead[0], stop_at_s))
        for one in self._passes:
            one.cut_short = env.now >= stop_at_s
            self._ends.left(one)
        yield env.timeout(self._delays.round_trip_s + self._delays.finish_s)
        cell.counts.busy_s += env.now - began_s

    def _post(self, posts: int) -> Process:
        taken = self._taken(posts)
        if self._cell.budget is not None:
            self._credit -= posts
        accepted = self._cell.account.take(self._env.now, posts)
        self._cell.posting += 1
        yield self._env.timeout(self._seconds(posts))
        self._cell.posting -= 1
        self._window.results(posts, posts - accepted)
        if accepted:
            self._progress_at_s = self._env.now
        so_far = given = 0
        for one, count, attempt in taken:
            # Refusals are random, so each pass has its share.
            so_far += count
            share = so_far * accepted // posts - given
            given += share
            one.open -= share
            if share < count:
                self._delay(one, count - share, attempt)
            elif not one.open:
                self._passes.remove(one)
                self._ends.done(one)

    def _taken(self, posts: int) -> list[tuple[Pass, int, int]]:
        """Take posts from all passes evenly; longer passes get the rest of shorter ones."""
        taken: list[tuple[Pass, int, int]] = []
        by_size = sorted(self._passes, key=lambda one: one.ready)
        for place, one in enumerate(by_size):
            part = min(one.ready, math.ceil(posts / (len(by_size) - place)))
            taken += [(one, count, attempt) for count, attempt in one.take(part)]
            posts -= part
        return taken

    def _delay(self, one: Pass, posts: int, attempt: int) -> None:
        """Delay refused posts as the engine does: by up to a time that doubles with each attempt."""
        doublings = min(attempt - 1, ATTEMPT_MAX)
        longest_s = min(self._limits.retry_base_s * 2.0**doublings, self._limits.retry_cap_s)
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
        """The time for so many posts, limited by CPU, by responses to a full window, or by the machine."""
        delays = self._delays
        waiting = max(0, posts - self._free)
        self._free = max(0, self._free - posts)
        return max(
            posts * delays.post_cpu_s,
            waiting * delays.round_trip_s / self._window.size,
            posts * self._cell.posting / delays.machine_posts_per_s,
        )

    def _step_posts(self) -> int:
        """The posts of one step, at the rate of window and CPU."""
        is_long = self._cell.budget is not None or self._cell.setup.pass_s > LONG_PASS_S
        round_trip_s = self._delays.round_trip_s
        step_s = max(LONG_STEP_S if is_long else 0.0, round_trip_s)
        fastest = min(self._window.size / round_trip_s, 1 / self._delays.post_cpu_s)
        return max(1, round(fastest * step_s))

    def _first_booking(self) -> None:
        budget = self._cell.budget
        if budget is not None and self._cell.members <= SMALL_MEMBERS:
            # A small group starts immediately and is charged meanwhile.
            self._credit = sum(one.open for one in self._passes)
            budget.book(self._env.now, self._credit)
        self._book_ahead()

    def _allowed(self) -> float:
        """The posts that the budget allows now; books the next ones."""
        if self._cell.budget is None:
            return math.inf
        if self._ahead is not None and self._ahead[0] <= self._env.now:
            self._credit += self._ahead[1]
            self._ahead = None
        self._book_ahead()
        return self._credit

    def _book_ahead(self) -> None:
        budget = self._cell.budget
        if budget is None or self._ahead is not None:
            return
        unbooked = sum(one.open for one in self._passes) - self._credit
        # Each group of a batch books for itself.
        posts = min(unbooked, budget.chunk_posts * len(self._passes))
        if posts > 0:
            begin_s = budget.book(self._env.now, posts)
            self._ahead = (max(begin_s, self._env.now + self._delays.item_s), posts)

    def _wait_until(self, at_s: float) -> Process:
        waited_s = max(at_s - self._env.now, 0.0)
        yield self._env.timeout(waited_s)
        answered = waited_s / self._delays.round_trip_s * self._window.size
        self._free = min(self._window.size, round(self._free + answered))
