"""What a load makes the fan-out do in a second. Pure.

Messages of one group that wait in the same lane (a shard of the stream, a share of its keys) travel in one
frame. How many do depends on how long they wait: for the next poll, for the lane's last batch, or for room
in the account's quota. The more there is to send the longer they wait, and the fewer posts each needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast_deploy.cost.load import Load

# serverless.yml: parallelizationFactor, batchSize, postWindow and frameBytes.
LANES_PER_SHARD = 2
BATCH_RECORDS = 100
POST_WINDOW = 256
FRAME_BYTES = 32 * 1024
POLL_INTERVAL_S = 0.25
# Before its first post a fan-out reads who is in the group.
QUERY_S = 0.01
# A frame without messages, and a message without its text.
FRAME_OVERHEAD_BYTES = 60
MESSAGE_OVERHEAD_BYTES = 135
# Older records are given up by the stream mapping (maximumRecordAgeInSeconds).
LONGEST_WAIT_S = 3_600.0
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Traffic:
    """Rates are of a second. `wait_s` is the longest that a message waits for its fan-out to begin.

    `posts_unlimited` is what would be posted without the quota. Where `sustainable` is false, messages come
    in faster than they can go out, however many travel together.
    """

    deliveries: float
    posts: float
    posts_unlimited: float
    frames: float
    invocations: float
    lanes_busy: float
    wait_s: float
    sustainable: bool

    @property
    def packing(self) -> float:
        """Messages in a frame, on average."""
        return self.deliveries / self.posts if self.posts else 1.0


def traffic_of(load: Load) -> Traffic:
    """The steady state of a load."""
    lanes = load.stream_shards * LANES_PER_SHARD
    frame_s = _frame_s(load)
    room = max(0.0, load.quota_per_second - requests_in_per_second(load))

    def frames(wait_s: float) -> float:
        return _frames_per_second(load, lanes, wait_s)

    def lanes_keep_up(wait_s: float) -> bool:
        return frames(wait_s) * frame_s <= lanes

    def all_keeps_up(wait_s: float) -> bool:
        return lanes_keep_up(wait_s) and frames(wait_s) * load.audience <= room

    unlimited_s, wait_s = _shortest(lanes_keep_up), _shortest(all_keeps_up)
    limited = wait_s > unlimited_s
    batches = lanes * -math.expm1(-load.messages_per_second * wait_s / lanes) / wait_s
    return Traffic(
        deliveries=load.messages_per_second * load.audience,
        posts=frames(wait_s) * load.audience,
        posts_unlimited=frames(unlimited_s) * load.audience,
        frames=frames(wait_s),
        invocations=max(batches, load.messages_per_second / BATCH_RECORDS),
        # At the quota every lane is busy with being throttled.
        lanes_busy=lanes if limited else min(lanes, frames(wait_s) * frame_s),
        wait_s=wait_s,
        sustainable=all_keeps_up(wait_s),
    )


def frame_bytes(load: Load, messages: float) -> float:
    """The size of a frame with so many messages."""
    return FRAME_OVERHEAD_BYTES + messages * (load.message_bytes + MESSAGE_OVERHEAD_BYTES)


def requests_in_per_second(load: Load) -> float:
    """Frames and handshakes of clients; each connection also joins its group."""
    return load.messages_per_second + load.pings_per_second + 2 * load.connects_per_second


def _frame_s(load: Load) -> float:
    """How long one frame takes to all members: bound by CPU, or by answers to a full window of posts."""
    cpu_s = load.audience * load.post_cpu_ms / 1000
    waiting_s = math.ceil(load.audience / POST_WINDOW) * load.post_wait_ms / 1000
    return QUERY_S + max(cpu_s, waiting_s)


def _frames_per_second(load: Load, lanes: int, wait_s: float) -> float:
    """Of all groups. Messages come at random: a lane has any of a group with probability 1 - exp(-mean)."""
    rate = load.messages_per_second / load.groups
    with_any = lanes * -math.expm1(-rate * wait_s / lanes) / wait_s
    most = max(1, (FRAME_BYTES - FRAME_OVERHEAD_BYTES) // (load.message_bytes + MESSAGE_OVERHEAD_BYTES))
    return load.groups * max(with_any, rate / most)


def _shortest(keeps_up: Callable[[float], bool]) -> float:
    """The shortest wait for which a condition holds that gets easier with waiting; LONGEST_WAIT_S if none."""
    low, high = POLL_INTERVAL_S, LONGEST_WAIT_S
    if keeps_up(low) or not keeps_up(high):
        return low if keeps_up(low) else high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if keeps_up(middle) else (middle, high)
    return high
