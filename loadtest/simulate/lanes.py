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
from loadtest.simulate.work import Offer, Pass, by_range, posts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy.events import Event

    from loadtest.simulate.cell import Cell
    from loadtest.simulate.work import Message

    Process = Generator[Event, object, None]

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
                lane.waiting.append(Offer(tuple(messages), 0, lane.members))
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
        (lane, offers), *others = batch
        packed = packed_offers(offers)
        # A full batch may have more behind it. Packing has to end, though, so it has to be worth it.
        is_worth_it = len(offers) == BATCH_OFFERS and len(packed) <= COMBINED_OFFERS_MAX
        if self._cell.setup.combine and not others and is_worth_it:
            yield from self._cell.offering()
            lane.waiting.extend(packed)
            self._cell.env.process(self._let_go(lane))
        else:
            yield from self._post(batch)
        self._free_workers += 1
        self._wake()

    def _post(self, batch: Sequence[tuple[_Lane, list[Offer]]]) -> Process:
        cell = self._cell
        lane_of: dict[Pass, _Lane] = {}
        open_passes: dict[_Lane, int] = {}
        is_backlog = len(batch[0][1]) >= BACKLOG_OFFERS
        for lane, offers in batch:
            for part in by_range(offers):
                posts = posts_of(len(part.messages), part.end - part.first, cell.setup.messages_per_frame)
                lane_of[Pass(part.messages, part.first, part.end, posts)] = lane
                open_passes[lane] = open_passes.get(lane, 0) + 1

        def ended(one: Pass) -> None:
            lane = lane_of[one]
            open_passes[lane] -= 1
            if not open_passes[lane]:
                if is_backlog:
                    cell.make_busy()
                # The lane goes on although others of the batch do not.
                cell.env.process(self._let_go(lane, cell.setup.delays.round_trip_s))

        def done(one: Pass) -> None:
            cell.passed(one)
            ended(one)

        def left(one: Pass) -> None:
            if cell.setup.keep_ranges:
                owed = cell.leave(one)
                lane_of[one].waiting.append(Offer(one.messages, one.end - owed, one.end))
            else:
                cell.hand_off(one)
            ended(one)

        window = cell.take_window(LIMITS)
        yield from Invocation(cell, list(lane_of), window, LIMITS, Ends(done, left), meters=len(batch)).run()
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


def packed_offers(offers: Sequence[Offer]) -> list[Offer]:
    """The same in as few offers as can be."""
    of_range: dict[tuple[int, int], list[Message]] = {}
    for offer in offers:
        of_range.setdefault((offer.first, offer.end), []).extend(offer.messages)
    return [
        Offer(tuple(messages[start : start + OFFER_MESSAGES_MAX]), first, end)
        for (first, end), messages in of_range.items()
        for start in range(0, len(messages), OFFER_MESSAGES_MAX)
    ]
