"""RetryQueue, and fanoutRetry that works it off."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from groupcast.fanout.leftover import CONNECTIONS_MAX
from groupcast.fanout.pace import PATIENT
from groupcast.fanout.retries import DELAY_MAX_S, TRIES_MAX
from loadtest.simulate.delays import sample_s
from loadtest.simulate.invocation import Ends, Invocation
from loadtest.simulate.work import Leftover, Pass

if TYPE_CHECKING:
    from collections.abc import Generator

    from simpy.events import Event

    from loadtest.simulate.cell import Cell

    Process = Generator[Event, object, None]

# serverless.yml: batchSize and maximumConcurrency of fanoutRetry.
BATCH_LEFTOVERS = 10
RETRIES_AT_ONCE = 10


class RetryQueue:
    """Leftovers wait here for one of RETRIES_AT_ONCE workers."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._waiting: deque[Leftover] = deque()
        self._free_workers = RETRIES_AT_ONCE

    def put(self, leftover: Leftover) -> None:
        """Take a leftover in, or give it up where it was tried TRIES_MAX times."""
        if leftover.tries >= TRIES_MAX:
            for message in leftover.messages:
                message.give_up(leftover.members)
            return
        delay_s = min(2.0 ** (leftover.tries - 1), DELAY_MAX_S) if leftover.tries else 0.0
        self._cell.counts.handed_off += leftover.posts
        self._cell.env.process(self._arrive(leftover, delay_s))

    def _arrive(self, leftover: Leftover, delay_s: float) -> Process:
        cell = self._cell
        yield cell.env.timeout(delay_s + sample_s(cell.setup.delays.standard, cell.dice))
        self._waiting.append(leftover)
        # What arrives in the same instant may be in the same batch.
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
            passes = [Pass(one.messages, one.members, one.posts, tries=one.tries + 1) for one in leftovers]
            ends = Ends(cell.passed, cell.hand_off)
            yield from Invocation(cell, passes, window, PATIENT, ends).run()
        cell.give_window(window, PATIENT)
        self._free_workers += 1


def leftovers_of(one: Pass, owed: int) -> list[Leftover]:
    """What a pass leaves: a slot range where it was not read, lists of connections where little is left."""
    if owed > CONNECTIONS_MAX * BATCH_LEFTOVERS:
        return [Leftover(one.messages, owed, one.open, one.tries)]
    parts = -(-owed // CONNECTIONS_MAX)
    return [
        Leftover(one.messages, _part(owed, part, parts), _part(one.open, part, parts), one.tries)
        for part in range(parts)
    ]


def _part(whole: int, part: int, parts: int) -> int:
    return whole * (part + 1) // parts - whole * part // parts
