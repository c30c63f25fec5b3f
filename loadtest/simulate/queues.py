"""DeliveryQueue, with a lane for each slot range of the group, and RetryQueue."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from loadtest.simulate.invocation import Invocation
from loadtest.simulate.work import Pass, posts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy.events import Event

    from loadtest.simulate.cell import Cell
    from loadtest.simulate.work import Leftover, Message

    Process = Generator[Event, object, None]

# Of SQS: messages in one SendMessageBatch, and in one batch of a FIFO queue or of RetryQueue.
SEND_BATCH = 10
RECEIVE_BATCH = 10
# A lane with so many offers in one batch makes its group busy.
BUSY_OFFERS = 8
OFFER_MESSAGES = 100
COMBINE_MESSAGES = 500
# serverless.yml: fanoutRetry's maximumConcurrency. groupcast.fanout: retries, and the waits between them.
RETRIES_AT_ONCE = 10
TRIES_MAX = 8
RETRY_DELAY_MAX_S = 60
# groupcast.fanout.pace.Limits.grace_s and PATIENT.grace_s.
GRACE_S, PATIENT_GRACE_S = 0.1, 0.5


class DeliveryQueue:
    """Ordered lanes: one batch of a lane at a time, at most RECEIVE_BATCH offers, also of several lanes.

    An offer is in the queue at once; it takes a hop until a worker has it. What comes in meanwhile is in
    the same batch.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._lanes = [_QueueLane(members) for members in cell.members_of_lanes]
        self._free_workers = cell.setup.workers
        self._dispatching = False

    def offer(self, messages: Sequence[Message]) -> None:
        """Put one offer for each lane; idle lanes of one SendMessageBatch are received together."""
        cell = self._cell
        for start in range(0, len(self._lanes), SEND_BATCH):
            idle = []
            for lane in self._lanes[start : start + SEND_BATCH]:
                lane.waiting.append(messages)
                if lane.idle:
                    lane.idle = False
                    idle.append(lane)
            if idle:
                cell.env.process(self._receive(idle, cell.setup.delays.fifo.sample_s(cell.dice)))

    def _receive(self, lanes: Sequence[_QueueLane], after_s: float) -> Process:
        yield self._cell.env.timeout(after_s)
        for lane in lanes:
            lane.receivable = True
        self._wake()

    def _wake(self) -> None:
        if not self._dispatching:
            self._dispatching = True
            self._cell.env.process(self._dispatch())

    def _dispatch(self) -> Process:
        # All that is received in the same instant may be in the same batch.
        yield self._cell.env.timeout(0)
        self._dispatching = False
        while self._free_workers and (batch := self._batch()):
            self._free_workers -= 1
            self._cell.env.process(self._serve(batch))

    def _batch(self) -> list[Pass]:
        """As many offers of one lane as possible, then those of others."""
        room, passes = RECEIVE_BATCH, []
        for number, lane in enumerate(self._lanes):
            if not lane.receivable or not room:
                continue
            lane.receivable = False
            offers = [lane.waiting.popleft() for _ in range(min(room, len(lane.waiting)))]
            room -= len(offers)
            if len(offers) >= BUSY_OFFERS:
                self._cell.make_busy()
            messages = [message for offer in offers for message in offer]
            posts = posts_of(len(messages), lane.members, self._cell.setup.messages_per_frame)
            passes.append(Pass(messages, lane.members, posts, lane=number)); passes[-1].offers = len(offers)
        return passes

    def _serve(self, passes: Sequence[Pass]) -> Process:
        if self._cell.setup.combine and len(passes) == 1:
            lane = self._lanes[passes[0].lane]
            if passes[0].offers == RECEIVE_BATCH and len(passes[0].messages) <= COMBINE_MESSAGES:
                self._cell.combined += 1
                self._cell.invocations += 1
                delays = self._cell.setup.delays
                yield self._cell.env.timeout(delays.offer_s)
                messages = passes[0].messages
                for start in range(0, len(messages), OFFER_MESSAGES):
                    lane.waiting.append(messages[start : start + OFFER_MESSAGES])
                self._free_workers += 1
                yield from self._let_go(passes[0])
                return
        window = self._cell.take_window()
        # A lane is let go as soon as its own pass is done, or at the invocation's end.
        for one in passes:
            self._cell.on_passed[one] = self._let_go_early
        yield from Invocation(self._cell, passes, window, grace_s=GRACE_S).run()
        self._cell.give_window(window)
        self._free_workers += 1
        for one in passes:
            if self._cell.on_passed.pop(one, None):
                self._cell.env.process(self._let_go(one))
        self._wake()

    def _let_go_early(self, one: Pass) -> None:
        self._cell.env.process(self._let_go(one, self._cell.setup.delays.round_trip_s))

    def _let_go(self, one: Pass, after_s: float = 0.0) -> Process:
        """Delete a lane's offers; where others wait, the next batch comes a hop later."""
        delays, lane = self._cell.setup.delays, self._lanes[one.lane]
        yield self._cell.env.timeout(after_s)
        if lane.waiting:
            yield from self._receive([lane], delays.unlock.sample_s(self._cell.dice))
        else:
            lane.idle = True


class _QueueLane:
    """`idle`: nothing waits and nobody works. `receivable`: the next free worker gets what waits."""

    __slots__ = ("idle", "members", "receivable", "waiting")

    def __init__(self, members: int) -> None:
        self.members = members
        self.waiting: deque[Sequence[Message]] = deque()
        self.idle = True
        self.receivable = False


class RetryQueue:
    """Leftovers, worked off by at most RETRIES_AT_ONCE invocations of fanoutRetry."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._waiting: deque[Leftover] = deque()
        self._free_workers = RETRIES_AT_ONCE

    def put(self, leftover: Leftover) -> None:
        """Give it up after TRIES_MAX tries, as fanoutRetry does."""
        if leftover.tries >= TRIES_MAX:
            for message in leftover.messages:
                message.give_up(leftover.members)
            return
        self._cell.handed_off += leftover.posts
        delay_s = min(2.0 ** (leftover.tries - 1), RETRY_DELAY_MAX_S) if leftover.tries else 0.0
        self._cell.env.process(self._arrive(leftover, delay_s))

    def _arrive(self, leftover: Leftover, delay_s: float) -> Process:
        cell = self._cell
        yield cell.env.timeout(delay_s + cell.setup.delays.standard.sample_s(cell.dice))
        self._waiting.append(leftover)
        yield cell.env.timeout(0)
        while self._free_workers and self._waiting:
            self._free_workers -= 1
            cell.env.process(self._serve())

    def _serve(self) -> Process:
        window = self._cell.take_window(retries=True)
        while self._waiting:
            count = min(RECEIVE_BATCH, len(self._waiting))
            leftovers = [self._waiting.popleft() for _ in range(count)]
            passes = [Pass(one.messages, one.members, one.posts, tries=one.tries + 1) for one in leftovers]
            yield from Invocation(self._cell, passes, window, grace_s=PATIENT_GRACE_S).run()
        self._cell.give_window(window, retries=True)
        self._free_workers += 1
