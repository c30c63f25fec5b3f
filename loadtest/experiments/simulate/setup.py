"""The parameters of a simulation. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from groupcast_cli.cost import Load
from groupcast_cli.cost.load import BUDGET_SHARE
from groupcast_cli.cost.model import messages_per_frame, requests_in_per_second
from loadtest.errors import ScenarioError
from loadtest.experiments.simulate.delays import AWS, PROFILES

if TYPE_CHECKING:
    from loadtest.experiments.simulate.delays import Delays

Delivery = Literal["lanes", "stream"]
DELIVERIES = get_args(Delivery)

# serverless.yml: postBurst at its postsPerSecond. API Gateway: the burst at its 10,000 requests a second.
BUDGET_BURST_SHARE = 0.5
QUOTA_BURST_SHARE = 0.5
# Messages measured after a warm-up of a tenth as many: p99 needs 1,000.
MESSAGES = 1_200
WARMUP_SHARE = 0.1
# With long passes, the messages of so many of them; with rare messages, only those of so many seconds.
PASSES = 20
LONGEST_S = 7_200.0


@dataclass(frozen=True, slots=True)
class Setup:
    """One group, its messages and its accounts.

    Each cell is an account with an equal part of the group; `quota_per_second` and the budget
    `posts_per_second` are per cell. The budget is BUDGET_SHARE of the quota if None, and off if 0. `workers`
    is the number of lanes served at the same time, `timeout_s` that of the fan-out functions. `messages` is
    the number to measure; None: as many as percentiles and passes need.

    Raises ScenarioError if the values are impossible.
    """

    members: int
    messages_per_second: float
    delivery: Delivery = "lanes"
    quota_per_second: float = 10_000.0
    posts_per_second: float | None = None
    post_burst: float | None = None
    cells: int = 1
    workers: int = 100
    members_per_lane: int = 20_000
    timeout_s: float = 30.0
    message_bytes: int = 200
    hops: str = AWS
    messages: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if self.delivery not in DELIVERIES:
            raise ScenarioError(f"delivery must be {' or '.join(DELIVERIES)}, not {self.delivery}")
        if self.hops not in PROFILES:
            raise ScenarioError(f"hops must be {' or '.join(PROFILES)}, not {self.hops}")
        for name in ("messages_per_second", "quota_per_second", "cells", "workers", "members_per_lane"):
            if getattr(self, name) <= 0:
                raise ScenarioError(f"{name} must be more than 0")
        for name in ("posts_per_second", "post_burst", "messages"):
            if (getattr(self, name) or 0) < 0:
                raise ScenarioError(f"{name} can't be negative")
        if self.members < self.cells:
            raise ScenarioError("every cell needs a member")

    @property
    def delays(self) -> Delays:
        return PROFILES[self.hops]

    @property
    def budget_per_second(self) -> float:
        """Posts a second that the workers of a cell may book; 0: no limit."""
        if self.posts_per_second is not None:
            return self.posts_per_second
        return 0.0 if math.isinf(self.quota_per_second) else BUDGET_SHARE * self.quota_per_second

    @property
    def budget_burst(self) -> float:
        return BUDGET_BURST_SHARE * self.budget_per_second if self.post_burst is None else self.post_burst

    @property
    def members_per_cell(self) -> int:
        """Members of the largest cell."""
        return math.ceil(self.members / self.cells)

    @property
    def load(self) -> Load:
        """The load of one cell, for the arithmetic of `groupcast cost`."""
        return Load(
            self.members_per_cell,
            self.messages_per_second,
            delivery=self.delivery,
            message_bytes=self.message_bytes,
            quota_per_second=self.quota_per_second,
            posts_per_second=self.posts_per_second,
        )

    @property
    def messages_per_frame(self) -> int:
        return messages_per_frame(self.load)

    @property
    def inbound_per_second(self) -> float:
        """Requests of the clients of one cell; a message enters through one cell only."""
        return requests_in_per_second(self.load) - self.messages_per_second * (1 - 1 / self.cells)

    @property
    def pass_s(self) -> float:
        """The time to post to every member, at the rate that the account and its workers allow."""
        posts_per_s = min(
            self.budget_per_second or math.inf,
            self.quota_per_second,
            self.workers / self.delays.post_cpu_s,
            self.delays.machine_posts_per_s,
        )
        return self.members_per_cell / posts_per_s

    @property
    def messages_measured(self) -> int:
        if self.messages is not None:
            return self.messages
        passes_s = PASSES * self.pass_s
        return math.ceil(
            max(min(MESSAGES, LONGEST_S * self.messages_per_second), passes_s * self.messages_per_second, 1)
        )

    @property
    def messages_before(self) -> int:
        """Messages of the warm-up."""
        return math.ceil(self.messages_measured * WARMUP_SHARE)
