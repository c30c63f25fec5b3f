"""The load of a chat, and assumptions about AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECONDS_PER_HOUR = 3_600
DAYS_PER_MONTH = 365 / 12
# What postsPerSecond of serverless.yml leaves of an account's quota to frames and connects is the rest.
BUDGET_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Load:
    """Members and messages are those of all groups together, spread evenly; both are there the same hours.

    `quota_per_second` is API Gateway's of an account and region: what comes in and what is posted share it.
    `posts_per_second` is the budget of all workers; 0 is none, None BUDGET_SHARE of the quota.
    `post_cpu_ms` is measured (README); the waits of a post and of a route are assumptions to be replaced by
    what X-Ray shows. A new on-demand table has four partitions, and its stream a shard for each.
    `customer_key`: the stage has the parameter `kmsKeyArn`.
    """

    members: int
    messages_per_second: float
    groups: int = 1
    delivery: Literal["lanes", "stream"] = "lanes"
    message_bytes: int = 200
    hours_per_day: float = 24
    retention_days: float = 30
    quota_per_second: float = 10_000
    posts_per_second: float | None = None
    post_cpu_ms: float = 0.02
    post_wait_ms: float = 15
    route_ms: float = 15
    ping_interval_s: float = 510
    stream_shards: int = 4
    customer_key: bool = False

    @property
    def seconds(self) -> float:
        """How long in a month there is a load."""
        return self.hours_per_day * DAYS_PER_MONTH * SECONDS_PER_HOUR

    @property
    def budget_per_second(self) -> float:
        """Posts of all workers together; 0: no limit but the quota."""
        return (
            self.quota_per_second * BUDGET_SHARE if self.posts_per_second is None else self.posts_per_second
        )

    @property
    def audience(self) -> float:
        """Members of one group, who all get each of its messages."""
        return self.members / self.groups

    @property
    def pings_per_second(self) -> float:
        """Clients ask every so often, so that API Gateway keeps an idle connection."""
        return self.members / self.ping_interval_s

    @property
    def connects_per_second(self) -> float:
        """A connection lives two hours at most, then its client makes a new one."""
        return self.members / (2 * SECONDS_PER_HOUR)
