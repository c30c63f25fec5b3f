"""One account and region, with its part of the group."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.fanout.budget import Rate
from groupcast.fanout.express import TURN_MS
from groupcast.fanout.result import STOP_MARGIN_S
from groupcast.tables.groups import BUSY_MS, QUIET_MS
from loadtest.experiments.simulate.delays import sample_s
from loadtest.experiments.simulate.invocation import Ends, Invocation
from loadtest.experiments.simulate.lanes import LIMITS, DeliveryQueue
from loadtest.experiments.simulate.quota import Account, Budget
from loadtest.experiments.simulate.retries import RetryQueue
from loadtest.experiments.simulate.setup import QUOTA_BURST_SHARE
from loadtest.experiments.simulate.stream import Stream
from loadtest.experiments.simulate.window import Window
from loadtest.experiments.simulate.work import Pass, parts_of, posts_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from simpy import Environment
    from simpy.events import Event

    from groupcast.fanout.pace import Limits
    from loadtest.experiments.simulate.setup import Setup
    from loadtest.experiments.simulate.work import Message

    Process = Generator[Event, object, None]


@dataclass(slots=True)
class Counts:
    """`busy_s` is the time of all workers, `offerings` those of them that only offered, `express` counts
    messages that their sender offered, `handed_off` posts that were left to RetryQueue, `repeated` deliveries
    of messages that a lane had served, and no longer knew it.
    """

    invocations: int = 0
    busy_s: float = 0.0
    offerings: int = 0
    express: int = 0
    handed_off: int = 0
    repeated: int = 0


class Cell:
    """Delivers messages to `members` of the group."""

    def __init__(self, env: Environment, setup: Setup, members: int, seed: int) -> None:
        self.env = env
        self.setup = setup
        self.members = members
        # Seeded dice: a simulation can be repeated.
        self.dice = random.Random(seed)  # noqa: S311 - see above
        quota = setup.quota_per_second
        self.account = Account(quota, quota * QUOTA_BURST_SHARE, setup.inbound_per_second)
        self.budget: Budget | None = None
        if setup.budget_per_second:
            self.budget = Budget(Rate(round(setup.budget_per_second), round(setup.budget_burst)))
        self.posting_s = max(setup.timeout_s - STOP_MARGIN_S, 0.0)
        # Workers that are posting now: they share the machine, where there is only one.
        self.posting = 0
        self.counts = Counts()
        # The group's messages by their number, from 0 on, and their numbers.
        self.log: list[Message] = []
        self._seqs: dict[Message, int] = {}
        self._busy_until_s = 0.0
        self._moved_at_s = -math.inf
        self._windows: dict[Limits, list[Window]] = {}
        lanes = math.ceil(members / setup.members_per_lane)
        self._queue = DeliveryQueue(self, parts_of(members, lanes))
        self._retries = RetryQueue(self)
        handle = self._offer if setup.delivery == "lanes" else self._deliver
        self._stream = Stream(env, setup.delays, self.dice, handle)

    def send(self, message: Message, hop_s: float) -> Process:
        """A message that is due now, sent here or `hop_s` away."""
        delays = self.setup.delays
        yield self.env.timeout(hop_s + delays.accept_s + sample_s(delays.route, self.dice))
        now_s = self.env.now
        if self.setup.delivery == "lanes" and now_s >= self._busy_until_s:
            self.counts.express += 1
            seq = self._logged(message)
            # It waits for its turn, so that the message before it goes first.
            turn_s, self._moved_at_s = self._moved_at_s + TURN_MS / 1000 - now_s, now_s
            if turn_s > 0:
                yield self.env.timeout(turn_s)
            self._queue.offer([seq])
            return
        self._moved_at_s = now_s
        if now_s < self._busy_until_s < now_s + QUIET_MS / 1000:
            self.make_busy()
        self._logged(message)
        self._stream.put(message)

    def make_busy(self) -> None:
        """Leave the group's next messages to the stream, which packs them."""
        self._busy_until_s = self.env.now + BUSY_MS / 1000

    def passed(self, one: Pass) -> None:
        """A pass is posted; its last member has it a moment later."""
        one.received(one.members, self.env.now + self.setup.delays.to_member_s)

    def leave(self, one: Pass) -> int:
        """End a pass with posts open; return how many members have nothing yet."""
        return one.leave(self.env.now + self.setup.delays.to_member_s)

    def hand_off(self, one: Pass) -> None:
        """End a pass with posts open, and leave them to RetryQueue."""
        self._retries.put(one, self.leave(one))

    def offering(self) -> Process:
        """An invocation that only sends offers."""
        self.counts.invocations += 1
        self.counts.offerings += 1
        self.counts.busy_s += self.setup.delays.offering_s
        yield self.env.timeout(self.setup.delays.offering_s)

    def _logged(self, message: Message) -> int:
        self._seqs[message] = len(self.log)
        self.log.append(message)
        return self._seqs[message]

    def take_window(self, limits: Limits) -> Window:
        """That of a warm environment, or of a new one."""
        idle = self._windows.setdefault(limits, [])
        return idle.pop() if idle else Window(limits)

    def give_window(self, window: Window, limits: Limits) -> None:
        self._windows[limits].append(window)

    def _offer(self, batch: Sequence[Message]) -> Process:
        """fanoutMessage with delivery=lanes: packs what the senders left to the stream into one offer."""
        yield from self.offering()
        self._queue.offer(sorted(self._seqs[message] for message in batch))

    def _deliver(self, batch: Sequence[Message]) -> Process:
        """fanoutMessage with delivery=stream: posts the batch itself."""
        window = self.take_window(LIMITS)
        posts = posts_of(len(batch), self.members, self.setup.messages_per_frame)
        passes = [Pass(batch, self.members, posts)]
        ends = Ends(self.passed, self.hand_off)
        yield from Invocation(self, passes, window, LIMITS, ends).run()
        self.give_window(window, LIMITS)
