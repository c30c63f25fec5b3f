"""One account and region: the state that its workers share."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.fanout.budget import Rate
from groupcast.fanout.deadlines import STOP_MARGIN_S
from groupcast.tables.groups import BUSY_MS
from loadtest.experiments.simulate.quota import Account, Budget
from loadtest.experiments.simulate.setup import QUOTA_BURST_SHARE
from loadtest.experiments.simulate.window import Window

if TYPE_CHECKING:
    from simpy import Environment

    from groupcast.fanout.limits import Limits
    from loadtest.experiments.simulate.setup import Setup
    from loadtest.experiments.simulate.work import Message, Pass


@dataclass(slots=True)
class Counts:
    """Work of all workers. `busy_s` adds up their time; `offerings` counts invocations that only sent offers,
    `express` messages that their sender offered, `handed_off` posts left to RetryQueue, and `repeated`
    deliveries that a lane made again because it had forgotten them.
    """

    invocations: int = 0
    busy_s: float = 0.0
    offerings: int = 0
    express: int = 0
    handed_off: int = 0
    repeated: int = 0


class Cell:
    """An account with `members` of the group. `log` holds the group's messages by number, from 0."""

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
        # Workers that are posting now: with the delays of one machine, they share it.
        self.posting = 0
        self.counts = Counts()
        self.log: list[Message] = []
        self.busy_until_s = 0.0
        self._windows: dict[Limits, list[Window]] = {}

    def make_busy(self) -> None:
        """Leave the group's next messages to the stream, which packs them."""
        self.busy_until_s = self.env.now + BUSY_MS / 1000

    def passed(self, one: Pass) -> None:
        """Record that a pass is posted; its last member has the messages a moment later."""
        one.received(one.members, self.env.now + self.setup.delays.to_member_s)

    def leave(self, one: Pass) -> int:
        """End a pass with posts open; return how many members have received nothing yet."""
        return one.leave(self.env.now + self.setup.delays.to_member_s)

    def take_window(self, limits: Limits) -> Window:
        """Take the window of a warm environment, or a new one."""
        idle = self._windows.setdefault(limits, [])
        return idle.pop() if idle else Window(limits)

    def give_window(self, window: Window, limits: Limits) -> None:
        self._windows[limits].append(window)
