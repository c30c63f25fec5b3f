"""Delivery by lanes: one pass at a time over a group, or over each of its slot ranges. Pure.

A frame fills with what arrives during the pass before: a pass over more offers than a batch holds takes the
rest from the log. A pass takes as long as its posts do: a worker makes
them as fast as it can, all workers together as fast as the budget lets them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.fanout.budget import SMALL_MEMBERS
from groupcast.fanout.catchup import BUSY_TAKEN
from groupcast_cli.cost.model import (
    BATCH_RECORDS,
    LANES_PER_SHARD,
    MESSAGE_OVERHEAD_BYTES,
    POLL_INTERVAL_S,
    Traffic,
    batches_per_second,
    bookings_per_pass,
    frame_s,
    messages_per_frame,
    room,
    shortest,
)

if TYPE_CHECKING:
    from groupcast_cli.cost.load import Load
    from groupcast_cli.cost.model import Limit

# serverless.yml: membersPerLane, deliveryConcurrency, batchSize of DeliveryQueue and its retention.
MEMBERS_PER_LANE = 20_000
DELIVERY_CONCURRENCY = 100
BATCH_OFFERS = 10
LONGEST_WAIT_S = 7_200.0
# One request of SQS: of ten messages, and of 64 KB (https://aws.amazon.com/sqs/pricing/).
REQUEST_MESSAGES = 10
REQUEST_BYTES = 64 * 1024
# From SQS FIFO and from the stream into Lambda, medians of 2022 (bitesizedserverless.com).
QUEUE_HOP_S = 0.028
STREAM_HOP_S = 0.213


def traffic_of_lanes(load: Load) -> Traffic:
    """The steady state of a load."""
    group = _Group.of(load)

    def workers_suffice(cycle_s: float) -> bool:
        posting = load.groups * group.frames(cycle_s) * group.lanes * group.frame_s
        return group.rate / group.most * group.frame_s <= 1 and posting <= DELIVERY_CONCURRENCY

    def all_suffices(cycle_s: float) -> bool:
        return workers_suffice(cycle_s) and load.groups * group.frames(cycle_s) * load.audience <= room(load)

    unlimited_s = shortest(workers_suffice, group.frame_s, LONGEST_WAIT_S)
    pass_s = shortest(all_suffices, group.frame_s, LONGEST_WAIT_S)
    passes = load.groups * group.passes(pass_s)
    frames = load.groups * group.frames(pass_s)
    sending = _Offers.of(load, group, pass_s)
    batches = max(passes * group.lanes, sending.offers / BATCH_OFFERS)
    # Of a batch: received, and deleted.
    requests = sending.requests + max(2 * batches, batches + sending.bytes / REQUEST_BYTES)
    limit: Limit = "none"
    if pass_s > unlimited_s:
        limit = "requests"
    elif unlimited_s > group.frame_s:
        limit = "workers"
    marks = 0.0 if sending.express else min(passes, load.groups)
    return Traffic(
        deliveries=load.messages_per_second * load.audience,
        posts=frames * load.audience,
        posts_unlimited=load.groups * group.frames(unlimited_s) * load.audience,
        frames=frames,
        passes=passes,
        invocations=batches + sending.batches,
        workers_busy=min(DELIVERY_CONCURRENCY, passes * group.lanes * pass_s),
        wait_s=pass_s + QUEUE_HOP_S + (0 if sending.express else STREAM_HOP_S),
        pass_s=pass_s,
        sustainable=all_suffices(pass_s),
        limit=limit,
        express=sending.express,
        offers=sending.offers,
        queue_requests=requests,
        offering=sending.batches,
        bookings=passes * group.lanes * bookings_per_pass(load, group.lane_members),
        marks=marks,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """One group: messages a second, its lanes, messages in a frame at most, and how long a frame takes."""

    rate: float
    lanes: int
    most: int
    frame_s: float
    lane_members: float

    @classmethod
    def of(cls, load: Load) -> _Group:
        lanes = math.ceil(load.audience / MEMBERS_PER_LANE)
        rate, lane_members = load.messages_per_second / load.groups, load.audience / lanes
        return cls(rate, lanes, messages_per_frame(load), frame_s(load, lane_members), lane_members)

    def passes(self, pass_s: float) -> float:
        """A second, each `pass_s` long: the next begins at once if a message has come during the last."""
        if not self.rate:
            return 0.0
        return 1 / (pass_s + math.exp(-self.rate * pass_s) / self.rate)

    def frames(self, pass_s: float) -> float:
        """A second: one a pass, or more where one is too small for what has come."""
        return max(self.passes(pass_s), self.rate / self.most)


@dataclass(frozen=True, slots=True)
class _Offers:
    """What a second puts into DeliveryQueue: by the senders (`express`, a share), and by the stream.

    `offers` are without duplicates; `requests` are those of sending; `batches` are the stream's.
    """

    express: float
    offers: float
    bytes: float
    requests: float
    batches: float

    @classmethod
    def of(cls, load: Load, group: _Group, pass_s: float) -> _Offers:
        messages, lanes = load.messages_per_second, load.stream_shards * LANES_PER_SHARD
        batches = batches_per_second(messages, lanes, POLL_INTERVAL_S)
        batches = max(batches, messages / BATCH_RECORDS)
        size = messages * group.lanes * (load.message_bytes + MESSAGE_OVERHEAD_BYTES)
        # A group of which more comes in a pass is busy: its messages are left to the stream.
        in_pass = BATCH_OFFERS + (BUSY_TAKEN if group.lane_members > SMALL_MEMBERS else 0)
        if group.rate <= in_pass * group.passes(pass_s):
            offers = messages * group.lanes
            by_sender = max(offers / REQUEST_MESSAGES, messages, size / REQUEST_BYTES)
            again = max(offers / REQUEST_MESSAGES, batches, size / REQUEST_BYTES)
            return cls(1.0, offers, size, by_sender + again, batches)
        of_group = max(batches_per_second(group.rate, lanes, POLL_INTERVAL_S), group.rate / BATCH_RECORDS)
        offers = load.groups * of_group * group.lanes
        requests = max(offers / REQUEST_MESSAGES, batches, size / REQUEST_BYTES)
        return cls(0.0, offers, size, requests, batches)
