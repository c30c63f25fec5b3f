"""What is simulated. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from groupcast_deploy.cost import Load
from groupcast_deploy.cost.traffic import (
    FRAME_BYTES,
    FRAME_OVERHEAD_BYTES,
    MESSAGE_OVERHEAD_BYTES,
    requests_in_per_second,
)
from loadtest.errors import ScenarioError
from loadtest.simulate.delays import AWS, PROFILES, Delays

LANES = "lanes"
STREAM = "stream"
DELIVERIES = (LANES, STREAM)

# serverless.yml: postsPerSecond and postBurst at a quota of 10,000, and what API Gateway gives as its burst.
BUDGET_SHARE = 0.7
BUDGET_BURST_SHARE = 0.5
QUOTA_BURST_SHARE = 0.5
# So many messages are measured, after a tenth as many that are not: p99 needs 1,000.
MESSAGES = 1_200
WARMUP_SHARE = 0.1
# Where a pass takes long, at least as many messages as come in during so many passes.
PASSES = 20


@dataclass(frozen=True, slots=True)
class Setup:
    """One group, its messages, and what it runs on.

    `quota_per_second` is that of each cell's account, infinite where there is none. `posts_per_second` None
    stands for BUDGET_SHARE of the quota, 0 for no budget. `workers` is the number of lanes served at once.
    `timeout_s` is that of the fan-out functions. `messages` None chooses as many as p99 and PASSES need.
    `inbound_per_second` None counts each cell's frames, pings and connects as `groupcast cost` does.
    Raises ScenarioError where nothing like it exists.
    """

    members: int
    messages_per_second: float
    delivery: str = LANES
    quota_per_second: float = 10_000.0
    posts_per_second: float | None = None
    workers: int = 100
    members_per_lane: int = 20_000
    cells: int = 1
    message_bytes: int = 200
    frame_bytes: int = FRAME_BYTES
    timeout_s: float = 30.0
    hops: str = AWS
    messages: int | None = None
    inbound_per_second: float | None = None
    seed: int = 1
    combine: bool = False
    window_s: float = 0.0

    def __post_init__(self) -> None:
        if self.delivery not in DELIVERIES:
            raise ScenarioError(f"delivery is {' or '.join(DELIVERIES)}, not {self.delivery}")
        if self.hops not in PROFILES:
            raise ScenarioError(f"hops is {' or '.join(PROFILES)}, not {self.hops}")
        for name in ("messages_per_second", "quota_per_second", "workers", "members_per_lane", "cells"):
            if getattr(self, name) <= 0:
                raise ScenarioError(f"{name} has to be more than 0")
        if self.members < self.cells:
            raise ScenarioError("every cell needs a member")
        if self.budget_per_second < 0:
            raise ScenarioError("posts_per_second can't be less than 0")

    @property
    def delays(self) -> Delays:
        return PROFILES[self.hops]

    @property
    def budget_per_second(self) -> float:
        """Posts a second that all workers of a cell may book; 0: no budget."""
        if self.delivery == STREAM:
            return 0.0
        if self.posts_per_second is not None:
            return self.posts_per_second
        return 0.0 if math.isinf(self.quota_per_second) else BUDGET_SHARE * self.quota_per_second

    @property
    def members_per_cell(self) -> int:
        """Of the largest cell."""
        return math.ceil(self.members / self.cells)

    @property
    def lanes(self) -> int:
        """Slot ranges of the group in each cell."""
        return math.ceil(self.members_per_cell / self.members_per_lane) if self.delivery == LANES else 1

    @property
    def messages_per_frame(self) -> int:
        room = self.frame_bytes - FRAME_OVERHEAD_BYTES
        return max(1, room // (self.message_bytes + MESSAGE_OVERHEAD_BYTES))

    @property
    def load(self) -> Load:
        """One cell, as `groupcast cost` sees it."""
        return Load(
            self.members_per_cell,
            self.messages_per_second,
            message_bytes=self.message_bytes,
            quota_per_second=self.quota_per_second,
        )

    @property
    def inbound(self) -> float:
        """Requests a second that clients make of each account; messages are spread over the cells."""
        if self.inbound_per_second is not None:
            return self.inbound_per_second
        spread = self.messages_per_second * (1 - 1 / self.cells)
        return requests_in_per_second(self.load) - spread

    @property
    def pass_s(self) -> float:
        """How long one post to every member takes at the account's pace, without anything else."""
        limits = (self.budget_per_second or math.inf, self.quota_per_second)
        fastest = 1 / self.delays.post_cpu_s * self.workers
        return self.members_per_cell / min(*limits, fastest, self.delays.machine_posts_per_second)

    @property
    def messages_measured(self) -> int:
        if self.messages is not None:
            return self.messages
        return max(MESSAGES, math.ceil(PASSES * self.pass_s * self.messages_per_second))

    @property
    def messages_before(self) -> int:
        """Of the warm-up."""
        return math.ceil(self.messages_measured * WARMUP_SHARE)
