"""DeliveryQueue: a lane for each slot range of the group, and its workers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.fanout.budget import SMALL_MEMBERS
from groupcast.fanout.catchup import (
    BACKLOG_OFFERS,
    LOG_MESSAGES_MAX,
    Served,
    is_behind,
    log_start,
    served_by,
    unserved,
)
from groupcast.fanout.limits import Limits
from groupcast_cli.cost.lanes import BATCH_OFFERS, REQUEST_MESSAGES
from loadtest.experiments.simulate.delays import sample_s
from loadtest.experiments.simulate.invocation import Invocation, PassCallbacks
from loadtest.experiments.simulate.work import Pass, posts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.experiments.simulate.cell import Cell
    from loadtest.experiments.simulate.retries import RetryQueue
    from loadtest.experiments.simulate.work import Process


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Offer:
    """Messages, by their numbers in the group's log, offered at `sent_s`."""

    seqs: tuple[int, ...]
    sent_s: float


class DeliveryQueue:
    """Ordered lanes, each with one batch at a time.

    A batch has at most BATCH_OFFERS offers, of one lane or more. An offer takes a hop to reach a worker, and
    offers that arrive meanwhile join its batch.
    """

    def __init__(self, cell: Cell, retries: RetryQueue, members_of_lanes: Sequence[int]) -> None:
        self._cell = cell
        self._retries = retries
        self._lanes = [_Lane(members) for members in members_of_lanes]
        self._free_workers = cell.setup.workers
        self._dispatching = False

    def offer(self, seqs: Sequence[int]) -> None:
        """Send an offer to each lane; idle lanes of the same SendMessageBatch are received together."""
        offer = Offer(tuple(seqs), self._cell.env.now)
        for start in range(0, len(self._lanes), REQUEST_MESSAGES):
            idle = []
            for lane in self._lanes[start : start + REQUEST_MESSAGES]:
                lane.waiting.append(offer)
                if lane.idle:
                    lane.idle = False
                    idle.append(lane)
            if idle:
                hop_s = sample_s(self._cell.setup.delays.fifo, self._cell.dice)
                self._cell.env.process(self._receive(idle, hop_s))

    def _receive(self, lanes: Sequence[_Lane], after_s: float) -> Process:
        yield self._cell.env.timeout(after_s)
        for lane in lanes:
            lane.receivable = True
        self._wake()

    def _wake(self) -> None:
        if not self._dispatching:
            self._dispatching = True
            self._cell.env.process(self._dispatch())

    def _dispatch(self) -> Process:
        # Lanes received in the same instant may share a batch.
        yield self._cell.env.timeout(0)
        self._dispatching = False
        while self._free_workers and (batch := self._batch()):
            self._free_workers -= 1
            self._cell.env.process(self._serve(batch))

    def _batch(self) -> list[tuple[_Lane, list[Offer]]]:
        """Take as many offers of one lane as possible, then those of others."""
        room, batch = BATCH_OFFERS, []
        for lane in self._lanes:
            if lane.receivable and room:
                lane.receivable = False
                offers = [lane.waiting.popleft() for _ in range(min(room, len(lane.waiting)))]
                room -= len(offers)
                batch.append((lane, offers))
        return batch

    def _serve(self, batch: Sequence[tuple[_Lane, list[Offer]]]) -> Process:
        cell, delays = self._cell, self._cell.setup.delays
        lanes: dict[Pass, _Lane] = {}
        behind = set()
        reading_s = delays.item_s if cell.members > SMALL_MEMBERS else 0.0
        for lane, offers in batch:
            seqs, taken = self._catch_up(lane, offers)
            if taken:
                reading_s = delays.item_s + delays.page_s
            if not seqs:
                # Earlier passes covered all these offers.
                cell.env.process(self._let_go(lane, delays.invoke_s + reading_s))
                continue
            one = self._pass(lane, seqs)
            lanes[one] = lane
            if self._is_behind(offers, taken):
                behind.add(one)

        def ended(one: Pass) -> None:
            if one in behind:
                cell.make_busy()
            # The lane continues while others of the batch still run.
            cell.env.process(self._let_go(lanes[one], delays.round_trip_s))

        def done(one: Pass) -> None:
            cell.passed(one)
            ended(one)

        def left(one: Pass) -> None:
            self._retries.hand_off(one)
            ended(one)

        yield cell.env.timeout(reading_s)
        window = cell.take_window(LIMITS)
        yield from Invocation(cell, list(lanes), window, LIMITS, PassCallbacks(done, left)).run()
        cell.give_window(window, LIMITS)
        self._free_workers += 1
        self._wake()

    def _catch_up(self, lane: _Lane, offers: Sequence[Offer]) -> tuple[list[int], int]:
        """Return (offered and unserved messages, number of messages added from the log over a backlog)."""
        # The functions of catchup.py use only the keys.
        offered: dict[int, Any] = dict.fromkeys(seq for offer in offers for seq in offer.seqs)
        if self._cell.members <= SMALL_MEMBERS:
            return list(offered), 0
        start = log_start(offered, lane.served)
        offered = unserved(offered, lane.served)
        if not offered or len(offers) < BACKLOG_OFFERS or start is None:
            return list(offered), 0
        end = min(len(self._cell.log), start + 1 + LOG_MESSAGES_MAX)
        taken: dict[int, Any] = dict.fromkeys(range(start + 1, end))
        if taken:
            lane.served = served_by(offered, taken, lane.served)
        return list(offered | taken), len(taken)

    def _is_behind(self, offers: Sequence[Offer], taken: int) -> bool:
        age_ms = (self._cell.env.now - min(offer.sent_s for offer in offers)) * 1000
        return is_behind(self._cell.members, len(offers), taken, age_ms)

    def _pass(self, lane: _Lane, seqs: Sequence[int]) -> Pass:
        cell = self._cell
        new = [seq for seq in seqs if seq not in lane.passed]
        lane.passed.update(new)
        cell.counts.repeated += (len(seqs) - len(new)) * lane.members
        # Repeated messages fill frames, too.
        posts = posts_of(len(seqs), lane.members, cell.setup.messages_per_frame)
        return Pass([cell.log[seq] for seq in new], lane.members, posts)

    def _let_go(self, lane: _Lane, after_s: float = 0.0) -> Process:
        """Delete a lane's offers; if more wait, the next batch starts a hop later."""
        delays = self._cell.setup.delays
        yield self._cell.env.timeout(after_s + delays.finish_s)
        if lane.waiting:
            yield from self._receive([lane], sample_s(delays.unlock, self._cell.dice))
        else:
            lane.idle = True


class _Lane:
    """`idle`: no offers and no worker. `receivable`: a free worker may take the waiting offers. `served`: the
    messages of its passes, as far as the lane remembers; `passed`: all of them.
    """

    __slots__ = ("idle", "members", "passed", "receivable", "served", "waiting")

    def __init__(self, members: int) -> None:
        self.members = members
        self.waiting: deque[Offer] = deque()
        self.idle = True
        self.receivable = False
        self.served: Served | None = None
        self.passed: set[int] = set()
