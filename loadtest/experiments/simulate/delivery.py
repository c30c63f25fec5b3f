"""A message's delivery within one cell: sendMessage, then the stream or DeliveryQueue."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from groupcast.fanout.express import TURN_MS
from groupcast.tables.groups import QUIET_MS
from loadtest.experiments.simulate.delays import sample_s
from loadtest.experiments.simulate.invocation import Invocation, PassCallbacks
from loadtest.experiments.simulate.lanes import LIMITS, DeliveryQueue
from loadtest.experiments.simulate.retries import RetryQueue
from loadtest.experiments.simulate.stream import Stream
from loadtest.experiments.simulate.work import Pass, parts_of, posts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.experiments.simulate.cell import Cell
    from loadtest.experiments.simulate.work import Message, Process


class Delivery:
    """Delivers messages to the members of `cell`."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        setup = cell.setup
        self._seqs: dict[Message, int] = {}
        self._moved_at_s = -math.inf
        lanes = math.ceil(cell.members / setup.members_per_lane)
        self._retries = RetryQueue(cell)
        self._queue = DeliveryQueue(cell, self._retries, parts_of(cell.members, lanes))
        handle = self._offer if setup.delivery == "lanes" else self._post
        self._stream = Stream(cell.env, setup.delays, cell.dice, handle)

    def send(self, message: Message, hop_s: float) -> Process:
        """Send a message that is due now, in this cell or `hop_s` away."""
        cell, delays = self.cell, self.cell.setup.delays
        yield cell.env.timeout(hop_s + delays.accept_s + sample_s(delays.route, cell.dice))
        now_s = cell.env.now
        if cell.setup.delivery == "lanes" and now_s >= cell.busy_until_s:
            cell.counts.express += 1
            seq = self._logged(message)
            # It waits for its turn, so that the message before it goes first.
            turn_s, self._moved_at_s = self._moved_at_s + TURN_MS / 1000 - now_s, now_s
            if turn_s > 0:
                yield cell.env.timeout(turn_s)
            self._queue.offer([seq])
            return
        self._moved_at_s = now_s
        if now_s < cell.busy_until_s < now_s + QUIET_MS / 1000:
            cell.make_busy()
        self._logged(message)
        self._stream.put(message)

    def _logged(self, message: Message) -> int:
        self._seqs[message] = len(self.cell.log)
        self.cell.log.append(message)
        return self._seqs[message]

    def _offer(self, batch: Sequence[Message]) -> Process:
        """Run fanoutMessage with delivery=lanes: pack a batch of the stream into one offer."""
        cell, offering_s = self.cell, self.cell.setup.delays.offering_s
        cell.counts.invocations += 1
        cell.counts.offerings += 1
        cell.counts.busy_s += offering_s
        yield cell.env.timeout(offering_s)
        self._queue.offer(sorted(self._seqs[message] for message in batch))

    def _post(self, batch: Sequence[Message]) -> Process:
        """Run fanoutMessage with delivery=stream: post the batch itself."""
        cell = self.cell
        window = cell.take_window(LIMITS)
        posts = posts_of(len(batch), cell.members, cell.setup.messages_per_frame)
        passes = [Pass(batch, cell.members, posts)]
        ends = PassCallbacks(cell.passed, self._retries.hand_off)
        yield from Invocation(cell, passes, window, LIMITS, ends).run()
        cell.give_window(window, LIMITS)
