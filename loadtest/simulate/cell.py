"""One account and region, with its part of the group."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from groupcast.fanout.pace import PATIENT, Limits
from groupcast.fanout.result import STOP_MARGIN_S
from loadtest.simulate.invocation import CHUNK_S, Invocation
from loadtest.simulate.queues import GRACE_S, DeliveryQueue, RetryQueue
from loadtest.simulate.quota import Account, Budget
from loadtest.simulate.setup import BUDGET_BURST_SHARE, LANES, QUOTA_BURST_SHARE
from loadtest.simulate.stream import Stream
from loadtest.simulate.window import Window
from loadtest.simulate.work import Pass, posts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from simpy import Environment
    from simpy.events import Event

    from loadtest.simulate.setup import Setup
    from loadtest.simulate.work import Message

    Process = Generator[Event, object, None]

# A group that was busy is so until nobody has written for this long.
BUSY_S = 1.0


class Cell:
    """Delivers messages to `members` of the group; counts what that took."""

    def __init__(self, env: Environment, setup: Setup, members: int, seed: int) -> None:
        self.env = env
        self.setup = setup
        self.members = members
        self.members_of_lanes = _parts(members, setup.lanes)
        # Seeded dice, so that a simulation can be repeated.
        self.dice = random.Random(seed)  # noqa: S311 - see above
        quota, booked = setup.quota_per_second, setup.budget_per_second
        self.account = Account(quota, quota * QUOTA_BURST_SHARE, setup.inbound)
        self.budget = Budget(booked, booked * BUDGET_BURST_SHARE) if booked else None
        self.chunk = max(1, round(booked * CHUNK_S))
        self.posting_s = max(setup.timeout_s - STOP_MARGIN_S, 0.0)
        # Workers in the middle of posting: they share the machine, where there is only one.
        self.posting = 0
        self.invocations = 0
        self.busy_s = 0.0
        self.handed_off = 0
        self.express = 0
        self.combined = 0
        self.on_passed: dict[Pass, Callable[[Pass], None]] = {}
        self._busy_until_s = 0.0
        self._windows: dict[bool, list[Window]] = {False: [], True: []}
        handle = self._offer if setup.delivery == LANES else self._deliver
        self._stream = Stream(env, setup.delays, self.dice, handle, setup.window_s if setup.delivery==LANES else 0.0)
        self.queue = DeliveryQueue(self)
        self._retries = RetryQueue(self)

    def send(self, message: Message, hop_s: float) -> Process:
        """A message that is due now, here or in another cell `hop_s` away."""
        yield self.env.timeout(hop_s + self.setup.delays.accept.sample_s(self.dice))
        if self.setup.delivery == LANES and self._busy_until_s <= self.env.now:
            self.express += 1
            self.queue.offer([message])
            return
        self._busy_until_s = max(self._busy_until_s, self.env.now + BUSY_S)
        self._stream.put(message)

    def make_busy(self) -> None:
        """Leave the group's next messages to the stream, which packs them."""
        self._busy_until_s = max(self._busy_until_s, self.env.now + BUSY_S)

    def passed(self, one: Pass) -> None:
        """A pass is posted; its last member has it a moment later."""
        one.received(one.members, self.env.now + self.setup.delays.to_member_s)
        if (then := self.on_passed.pop(one, None)) is not None:
            then(one)

    def hand_off(self, one: Pass) -> None:
        """Put what a worker did not get done into RetryQueue."""
        self._retries.put(one.leave(self.env.now + self.setup.delays.to_member_s))

    def take_window(self, *, retries: bool = False) -> Window:
        """The window of a warm environment, or of a new one."""
        idle = self._windows[retries]
        return idle.pop() if idle else Window(PATIENT if retries else Limits())

    def give_window(self, window: Window, *, retries: bool = False) -> None:
        self._windows[retries].append(window)

    def _deliver(self, batch: Sequence[Message]) -> Process:
        """fanoutMessage with delivery=stream: posts the batch itself."""
        window = self.take_window()
        posts = posts_of(len(batch), self.members, self.setup.messages_per_frame)
        one = Pass(batch, self.members, posts)
        yield from Invocation(self, [one], window, grace_s=GRACE_S).run()
        self.give_window(window)

    def _offer(self, batch: Sequence[Message]) -> Process:
        """fanoutMessage with delivery=lanes: packs what the senders left to the stream into one offer."""
        self.invocations += 1
        yield self.env.timeout(self.setup.delays.offer_s)
        self.busy_s += self.setup.delays.offer_s
        self.queue.offer(batch)


def _parts(members: int, parts: int) -> list[int]:
    return [members * (part + 1) // parts - members * part // parts for part in range(parts)]
