"""DeliveryQueue: a lane for each slot range of the group, and the workers that serve them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from groupcast.fanout.lanes import BACKLOG_OFFERS
from groupcast.fanout.offers import OFFER_MESSAGES_MAX
from groupcast.fanout.pace import Limits
from groupcast_deploy.cost.lanes import BATCH_OFFERS, REQUEST_MESSAGES
from loadtest.simulate.delays import sample_s
from loadtest.simulate.invocation import Ends, Invocation
from loadtest.simulate.work import Pass, posts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy.events import Event

    from loadtest.simulate.cell import Cell
    from loadtest.simulate.work import Message

    Process = Generator[Event, object, None]
    # The messages of one.
    Offer = Sequence[Message]

# With `combine`: a full batch that would still be more offers than this is posted.
COMBINED_OFFERS_MAX = BATCH_OFFERS // 2
LIMITS = Limits()


class DeliveryQueue:
    """Ordered lanes: one batch of a lane at a time, at most BATCH_OFFERS offers, also of several lanes.

    An offer is in the queue at once, but it takes a hop until a worker has it. What comes in meanwhile is in
    the same batch.
    """

    def __init__(self, cell: Cell, members_of_lanes: Sequence[int]) -> None:
        self._cell = cell
        self._lanes = [_Lane(members) for members in members_of_lanes]
        self._free_workers = cell.setup.workers
        self._dispatching = False

    def offer(self, messages: Sequence[Message]) -> None:
        """Put one offer for each lane; idle lanes of the same SendMessageBatch are received together."""
        for start in range(0, len(self._lanes), REQUEST_MESSAGES):
            idle = []
            for lane in self._lanes[start : start + REQUEST_MESSAGES]:
                lane.waiting.append(messages)
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
        # What is received in the same instant may be in the same batch.
        yield self._cell.env.timeout(0)
        self._dispatching = False
        while self._free_workers and (batch := self._batch()):
            self._free_workers -= 1
            self._cell.env.process(self._serve(batch))

    def _batch(self) -> list[tuple[_Lane, list[Offer]]]:
        """As many offers of one lane as possible, then those of others."""
        room, batch = BATCH_OFFERS, []
        for lane in self._lanes:
            if lane.receivable and room:
                lane.receivable = False
                offers = [lane.waiting.popleft() for _ in range(min(room, len(lane.waiting)))]
                room -= len(offers)
                batch.append((lane, offers))
        return batch

    def _serve(self, batch: Sequence[tuple[_Lane, list[Offer]]]) -> Process:
        cell = self._cell
        (lane, offers), *others = batch
        if cell.setup.combine and not others and is_worth_combining(offers):
            yield from cell.offering()
            # SQS has taken them before the others are deleted: the next batch begins with what waited.
            lane.waiting.extend(combined(offers))
            cell.env.process(self._let_go(lane))
        else:
            yield from self._post(batch)
        self._free_workers += 1
        self._wake()

    def _post(self, batch: Sequence[tuple[_Lane, list[Offer]]]) -> Process:
        cell = self._cell
        lanes: dict[Pass, _Lane] = {}
        for lane, offers in batch:
            messages = [message for offer in offers for message in offer]
            posts = posts_of(len(messages), lane.members, cell.setup.messages_per_frame)
            lanes[Pass(messages, lane.members, posts)] = lane
        is_backlog = len(batch[0][1]) >= BACKLOG_OFFERS

        def ended(one: Pass) -> None:
            if is_backlog:
                cell.make_busy()
            # The lane goes on although others of the batch do not.
            cell.env.process(self._let_go(lanes[one], cell.setup.delays.round_trip_s))

        def done(one: Pass) -> None:
            cell.passed(one)
            ended(one)

        def left(one: Pass) -> None:
            cell.hand_off(one)
            ended(one)

        window = cell.take_window(LIMITS)
        yield from Invocation(cell, list(lanes), window, LIMITS, Ends(done, left)).run()
        cell.give_window(window, LIMITS)

    def _let_go(self, lane: _Lane, after_s: float = 0.0) -> Process:
        """Delete a lane's offers; where others wait, the next batch comes a hop later."""
        delays = self._cell.setup.delays
        yield self._cell.env.timeout(after_s + delays.finish_s)
        if lane.waiting:
            yield from self._receive([lane], sample_s(delays.unlock, self._cell.dice))
        else:
            lane.idle = True


class _Lane:
    """`idle`: nothing waits and nobody works on it. `receivable`: a free worker gets what waits."""

    __slots__ = ("idle", "members", "receivable", "waiting")

    def __init__(self, members: int) -> None:
        self.members = members
        self.waiting: deque[Offer] = deque()
        self.idle = True
        self.receivable = False


def combined(offers: Sequence[Offer]) -> list[Offer]:
    """The same messages in as few offers as can be."""
    messages = [message for offer in offers for message in offer]
    return [
        messages[start : start + OFFER_MESSAGES_MAX] for start in range(0, len(messages), OFFER_MESSAGES_MAX)
    ]


def is_worth_combining(offers: Sequence[Offer]) -> bool:
    """Whether more may wait behind a batch, and whether it would shrink enough for that to end."""
    return len(offers) == BATCH_OFFERS and len(combined(offers)) <= COMBINED_OFFERS_MAX
