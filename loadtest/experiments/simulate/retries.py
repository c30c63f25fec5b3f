"""RetryQueue and its function fanoutRetry."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from groupcast.fanout.leftover import CONNECTIONS_MAX
from groupcast.fanout.limits import PATIENT
from groupcast.fanout.retries import DELAY_MAX_S, TRIES_MAX
from loadtest.experiments.simulate.delays import sample_s
from loadtest.experiments.simulate.invocation import Invocation, PassCallbacks
from loadtest.experiments.simulate.work import Leftover, Pass, parts_of

if TYPE_CHECKING:
    from loadtest.experiments.simulate.cell import Cell
    from loadtest.experiments.simulate.work import Process


# serverless.yml: batchSize and maximumConcurrency of fanoutRetry.
BATCH_LEFTOVERS = 10
RETRIES_AT_ONCE = 10


class RetryQueue:
    """A queue of leftovers with RETRIES_AT_ONCE workers."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._waiting: deque[Leftover] = deque()
        self._free_workers = RETRIES_AT_ONCE

    def hand_off(self, one: Pass) -> None:
        """End a pass with posts open, and queue its leftovers."""
        owed = self._cell.leave(one)
        # The first pass is not a try, and neither is one that ran out of time after some progress.
        failed = one.tries is not None and not (one.cut_short and one.open < one.posts)
        tries = (one.tries or 0) + failed
        delay_s = min(2.0 ** (tries - 1), DELAY_MAX_S) if failed else 0.0
        for leftover in leftovers_of(one, owed, tries):
            if tries >= TRIES_MAX:
                for message in leftover.messages:
                    message.give_up(leftover.members)
            else:
                self._cell.counts.handed_off += leftover.posts
                self._cell.env.process(self._arrive(leftover, delay_s))

    def _arrive(self, leftover: Leftover, delay_s: float) -> Process:
        cell = self._cell
        yield cell.env.timeout(delay_s + sample_s(cell.setup.delays.standard, cell.dice))
        self._waiting.append(leftover)
        # Leftovers of the same instant may share a batch.
        yield cell.env.timeout(0)
        if self._waiting and self._free_workers:
            self._free_workers -= 1
            cell.env.process(self._serve())

    def _serve(self) -> Process:
        cell = self._cell
        window = cell.take_window(PATIENT)
        while self._waiting:
            count = min(BATCH_LEFTOVERS, len(self._waiting))
            leftovers = [self._waiting.popleft() for _ in range(count)]
            passes = [Pass(one.messages, one.members, one.posts, tries=one.tries) for one in leftovers]
            ends = PassCallbacks(cell.passed, self.hand_off)
            yield from Invocation(cell, passes, window, PATIENT, ends).run()
        cell.give_window(window, PATIENT)
        self._free_workers += 1


def leftovers_of(one: Pass, owed: int, tries: int) -> list[Leftover]:
    """The leftovers of a pass: a slot range if many members are left, else lists of connections."""
    parts = 1 if owed > CONNECTIONS_MAX * BATCH_LEFTOVERS else -(-owed // CONNECTIONS_MAX)
    return [
        Leftover(one.messages, members, posts, tries)
        for members, posts in zip(parts_of(owed, parts), parts_of(one.open, parts), strict=True)
    ]
