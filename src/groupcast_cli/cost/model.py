"""What both ways of delivery have in common: frames, passes over a group, and the result. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from groupcast.fanout.budget import CHUNK_S, DEBT_POSTS, SMALL_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast_cli.cost.load import Load

# serverless.yml: batchSize and parallelizationFactor of the stream, postWindow, frameBytes and
# requestsPerSecond.
BATCH_RECORDS = 100
LANES_PER_SHARD = 2
POST_WINDOW = 256
FRAME_BYTES = 32 * 1024
ROUTE_PER_SECOND = 2_000
POLL_INTERVAL_S = 0.25
# A fan-out reads members before its first post.
QUERY_S = 0.01
# A frame without messages, and a message without its text.
FRAME_OVERHEAD_BYTES = 60
MESSAGE_OVERHEAD_BYTES = 135
_BISECTIONS = 60

# What makes messages wait longer than one by itself would: requests (the quota, the budget), workers, or the
# offers that a lane takes at a time.
Limit: TypeAlias = Literal["none", "requests", "workers"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rates are of a second.

    A pass posts what waits to all members of a group, or of one of its lanes. `wait_s` is the longest that a
    message waits for its pass to begin, `pass_s` how long that pass takes. `posts_unlimited` is what would be
    posted without quota and budget. Where `sustainable` is false, messages come in faster than they can go
    out, however many travel together; `limit` says why. `workers_busy` are those that post, on average.

    `bookings` are writes into Quotas. With lanes alone: `express` is the share of messages that their
    sender offers itself, `offers` counts messages of DeliveryQueue without duplicates, `queue_requests` what
    SQS bills for them, `offering` the invocations by the stream, which only offer, and `marks` the writes
    which say in Groups that a group is busy, about one a second.
    """

    deliveries: float
    posts: float
    posts_unlimited: float
    frames: float
    passes: float
    invocations: float
    workers_busy: float
    wait_s: float
    pass_s: float
    sustainable: bool
    limit: Limit
    bookings: float
    express: float = 0.0
    offers: float = 0.0
    queue_requests: float = 0.0
    offering: float = 0.0
    marks: float = 0.0

    @property
    def packing(self) -> float:
        """Messages in a frame, on average."""
        return self.deliveries / self.posts if self.posts else 1.0

    @property
    def late_s(self) -> float:
        """The longest until a message's last member has it."""
        return self.wait_s + self.pass_s


def frame_bytes(load: Load, messages: float) -> float:
    """The size of a frame with so many messages."""
    return FRAME_OVERHEAD_BYTES + messages * (load.message_bytes + MESSAGE_OVERHEAD_BYTES)


def messages_per_frame(load: Load) -> int:
    """What a frame holds at most."""
    most = (FRAME_BYTES - FRAME_OVERHEAD_BYTES) // (load.message_bytes + MESSAGE_OVERHEAD_BYTES)
    return max(1, most)


def frame_s(load: Load, members: float) -> float:
    """How long one frame takes to so many members: bound by CPU, or by answers to a full window of posts."""
    cpu_s = members * load.post_cpu_ms / 1000
    waiting_s = math.ceil(members / POST_WINDOW) * load.post_wait_ms / 1000
    return QUERY_S + max(cpu_s, waiting_s)


def requests_in_per_second(load: Load) -> float:
    """Frames and handshakes of clients; each connection also joins its group."""
    return load.messages_per_second + load.pings_per_second + 2 * load.connects_per_second


def client_limits(load: Load) -> list[str]:
    """Requests of clients beyond the limits of a route or the rest of the budget."""
    found = []
    if load.pings_per_second > ROUTE_PER_SECOND:
        found.append(
            f"{load.pings_per_second:,.0f} pings/s are more than the {ROUTE_PER_SECOND:,} that "
            "requestsPerSecond lets a route take"
        )
    asked = requests_in_per_second(load)
    left = max(0.0, load.quota_per_second - load.budget_per_second)
    if load.budget_per_second and asked > left:
        found.append(
            f"{asked:,.0f} requests/s of clients are more than the {left:,.0f} that the budget leaves them"
        )
    return found


def room(load: Load) -> float:
    """Posts a second that the quota leaves to all workers together, and the budget within it."""
    left = max(0.0, load.quota_per_second - requests_in_per_second(load))
    return min(left, load.budget_per_second) if load.budget_per_second else left


def bookings_per_pass(load: Load, members: float) -> float:
    """Writes of the budget: a small group is booked with others, a large one chunk by chunk."""
    if not load.budget_per_second:
        return 0.0
    if members <= SMALL_MEMBERS:
        return min(1.0, members / DEBT_POSTS)
    return max(1.0, members / (load.budget_per_second * CHUNK_S))


def batches_per_second(messages_per_second: float, lanes: int, wait_s: float) -> float:
    """Of a stream read every `wait_s`: messages come at random, and a lane without any has no batch."""
    return lanes * -math.expm1(-messages_per_second * wait_s / lanes) / wait_s


def shortest(keeps_up: Callable[[float], bool], low_s: float, high_s: float) -> float:
    """The shortest wait for which a condition holds that gets easier with waiting; `high_s` if none."""
    if keeps_up(low_s) or not keeps_up(high_s):
        return low_s if keeps_up(low_s) else high_s
    for _ in range(_BISECTIONS):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (low_s, middle_s) if keeps_up(middle_s) else (middle_s, high_s)
    return high_s
