"""A month's bill for a load, item by item. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast_cli.cost.load import DAYS_PER_MONTH, SECONDS_PER_HOUR, Load
from groupcast_cli.cost.model import Traffic, frame_bytes
from groupcast_cli.cost.traffic import traffic_of

if TYPE_CHECKING:
    from groupcast_cli.cost.prices import Price, Prices

GB = 1024**3
METERED_BYTES = 32 * 1024
WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096

# serverless.yml.
MESSAGE_MB, PING_MB, FANOUT_MB = 1024, 512, 1769
# Of authorize, connect, joinGroup, disconnect.
CONNECTION_MB = (256, 512, 1024, 256)
METRICS, ALARM_METRICS, DASHBOARDS = 34, 54, 1

CONNECTION_INVOCATIONS = len(CONNECTION_MB)
# Its item and membership in and out, twice the membership's entry in GroupIdIndex, and twice as much for the
# transaction of the join; its user's item at connect, join and disconnect. Itself, its group's head and mark,
# and what was missed.
CONNECTION_WRITES, CONNECTION_READS = 12, 4
# Of a message beside the two copies of its text: the group's counter and the user's token bucket; the
# connection, and a look whether its id is taken.
MESSAGE_WRITES, MESSAGE_READS = 2, 2
# The user's token bucket; the connection, its group's head and the user's mark in it, half a unit each:
# eventually consistent.
PING_WRITES, PING_READS = 1, 1.5
# A key in GroupIdIndex, read by the fan-out eventually consistently: half a unit for 4 KB.
MEMBER_BYTES = 140
FANOUT_READ_UNITS = 0.5
# Attributes beside the text, and the overhead of an item and of its copy in an index.
MESSAGE_ITEM_BYTES = 200
STORED_ITEM_BYTES = 100
REPLY_BYTES = 140

# Lambda's own three lines and one of ours; the access log's line of a route.
ROUTE_LOG_BYTES = 800
FANOUT_LOG_BYTES = 2_000
# X-Ray records one request a second of each function, and of the others one in twenty.
TRACED_PER_SECOND, TRACED_SHARE = 1, 0.05
# An idle event source mapping asks its queue with five long polls of 20 s.
IDLE_POLLS_PER_SECOND = 5 / 20
# Each function uses a customer's key for each of its tables and queues, to send to one twice (SQS developer
# guide, "Estimating AWS KMS costs"). Both services keep what they got from KMS for so many seconds.
KEY_CALLERS_OF_TABLES, KEY_CALLERS_OF_QUEUES = 36, 14
KEY_REUSE_S = 300
# An offer takes sendMessage so much longer; those of a batch of the stream take so long. Assumed.
EXPRESS_S, OFFERING_S = 0.01, 0.02


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the bill: units of a service, and their price in US dollars."""

    service: str
    what: str
    quantity: float
    unit: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month: the bill, the deliveries, and the savings by packing messages into frames."""

    items: tuple[Item, ...]
    traffic: Traffic
    messages: float
    deliveries: float
    packing_saves_dollars: float

    @property
    def dollars(self) -> float:
        """The total."""
        return sum(item.dollars for item in self.items)


def estimate(load: Load, prices: Prices, traffic: Traffic | None = None) -> Estimate:
    """What a month of the load costs; with `traffic` that was found otherwise, as by a simulation."""
    traffic = traffic_of(load) if traffic is None else traffic
    items = (
        *_gateway(load, traffic, prices),
        *_functions(load, traffic, prices),
        *_tables(load, traffic, prices),
        *_watching(load, traffic, prices),
    )
    outgoing = traffic.posts * _metered(frame_bytes(load, traffic.packing))
    unpacked = traffic.deliveries * _metered(frame_bytes(load, 1))
    incoming = _messages_in(load) + _replies(load)
    saved = prices.messages.of((incoming + unpacked) * load.seconds) - prices.messages.of(
        (incoming + outgoing) * load.seconds
    )
    return Estimate(
        items,
        traffic,
        messages=load.messages_per_second * load.seconds,
        deliveries=traffic.deliveries * load.seconds,
        packing_saves_dollars=saved,
    )


def _item(service: str, what: str, price: Price, quantity: float) -> Item:
    return Item(service, what, quantity, price.unit, price.of(quantity))


def _gateway(load: Load, traffic: Traffic, prices: Prices) -> tuple[Item, ...]:
    posted = traffic.posts * _metered(frame_bytes(load, traffic.packing))
    asked = _messages_in(load) + _replies(load)
    # Tiers are of all messages together, so the posts are what comes on top.
    all_messages = prices.messages.of((posted + asked) * load.seconds)
    asked_dollars = prices.messages.of(asked * load.seconds)
    unit = prices.messages.unit
    sent_bytes = traffic.posts * frame_bytes(load, traffic.packing) + _replies(load) * REPLY_BYTES
    return (
        Item("API Gateway", "frames in, and replies", asked * load.seconds, unit, asked_dollars),
        Item("API Gateway", "posts to members", posted * load.seconds, unit, all_messages - asked_dollars),
        _item("API Gateway", "connections", prices.connections, load.members * load.seconds / 60),
        _item("Data transfer", "to the internet", prices.transfer, sent_bytes * load.seconds / GB),
    )


def _functions(load: Load, traffic: Traffic, prices: Prices) -> tuple[Item, ...]:
    routed = _routed(load) * load.seconds
    express_s = load.messages_per_second * load.seconds * traffic.express * EXPRESS_S
    routed_mb = (
        load.messages_per_second * MESSAGE_MB
        + load.pings_per_second * PING_MB
        + load.connects_per_second * sum(CONNECTION_MB)
    )
    routed_gb_s = (routed_mb * load.seconds * load.route_ms / 1000 + express_s * MESSAGE_MB) / 1024
    fanout_s = (traffic.workers_busy + traffic.offering * OFFERING_S) * load.seconds
    fanout_gb_s = fanout_s * FANOUT_MB / 1024
    duration = prices.duration.of(routed_gb_s + fanout_gb_s)
    routed_dollars = prices.duration.of(routed_gb_s)
    unit = prices.duration.unit
    sizes = f"routes, {min(CONNECTION_MB)} to {MESSAGE_MB:,} MB"
    return (
        _item("Lambda", "routes", prices.invocations, routed),
        Item("Lambda", sizes, routed_gb_s, unit, routed_dollars),
        _item("Lambda", "fan-out", prices.invocations, traffic.invocations * load.seconds),
        Item("Lambda", f"fan-out, {FANOUT_MB:,} MB", fanout_gb_s, unit, duration - routed_dollars),
    )


def _tables(load: Load, traffic: Traffic, prices: Prices) -> tuple[Item, ...]:
    item_bytes = load.message_bytes + MESSAGE_ITEM_BYTES
    # The table's and that of GroupSeqIndex, which has all attributes.
    copies = 2 * math.ceil(item_bytes / WRITE_UNIT_BYTES)
    writes = load.messages_per_second * (MESSAGE_WRITES + copies)
    writes += load.pings_per_second * PING_WRITES + load.connects_per_second * CONNECTION_WRITES
    budget_writes = traffic.bookings + traffic.marks
    reads = load.messages_per_second * MESSAGE_READS + load.pings_per_second * PING_READS
    reads += load.connects_per_second * CONNECTION_READS
    member_reads = (
        traffic.passes * FANOUT_READ_UNITS * math.ceil(load.audience * MEMBER_BYTES / READ_UNIT_BYTES)
    )
    kept = load.messages_per_second * load.seconds * load.retention_days / DAYS_PER_MONTH
    stored_gb = kept * (item_bytes + STORED_ITEM_BYTES) / GB
    return (
        _item("DynamoDB", "writes", prices.writes, writes * load.seconds),
        _item("DynamoDB", "writes of the budget", prices.writes, budget_writes * load.seconds),
        _item("DynamoDB", "reads of routes", prices.reads, reads * load.seconds),
        _item("DynamoDB", "reads of members by the fan-out", prices.reads, member_reads * load.seconds),
        _item("DynamoDB", "stream to Lambda", prices.stream_reads, load.messages_per_second * load.seconds),
        _item("DynamoDB", "messages kept, and their index", prices.storage, 2 * stored_gb),
        _item("DynamoDB", "point-in-time recovery", prices.backup, stored_gb),
    )


def _watching(load: Load, traffic: Traffic, prices: Prices) -> tuple[Item, ...]:
    month_s = 24 * SECONDS_PER_HOUR * DAYS_PER_MONTH
    logged = _routed(load) * ROUTE_LOG_BYTES + traffic.invocations * FANOUT_LOG_BYTES
    rates = (
        load.messages_per_second,
        load.pings_per_second,
        *[load.connects_per_second] * CONNECTION_INVOCATIONS,
        traffic.invocations,
    )
    traced = sum(map(_traced, rates))
    key_callers = KEY_CALLERS_OF_TABLES + KEY_CALLERS_OF_QUEUES
    return (
        # A user counts once a month, however often they sign in.
        _item("Cognito", "users, plan Lite", prices.users, load.members),
        _item(
            "SQS", "offers sent, received, deleted", prices.fifo_queue, traffic.queue_requests * load.seconds
        ),
        _item("SQS", "idle polls of DeliveryQueue", prices.fifo_queue, IDLE_POLLS_PER_SECOND * month_s),
        _item("SQS", "idle polls of RetryQueue", prices.queue, IDLE_POLLS_PER_SECOND * month_s),
        _item("CloudWatch", "logs", prices.logs, logged * load.seconds / GB),
        _item("CloudWatch", "metrics", prices.metrics, METRICS),
        _item("CloudWatch", "alarms", prices.alarms, ALARM_METRICS),
        _item("CloudWatch", "dashboard", prices.dashboards, DASHBOARDS),
        _item("X-Ray", "traces", prices.traces, traced * load.seconds),
        _item("KMS", "your key", prices.keys, load.customer_key),
        _item(
            "KMS", "requests", prices.key_requests, load.customer_key * key_callers * month_s / KEY_REUSE_S
        ),
    )


def _messages_in(load: Load) -> float:
    """A second: sendMessage, ping and joinGroup frames."""
    sent = load.messages_per_second * _metered(frame_bytes(load, 1))
    return sent + load.pings_per_second + load.connects_per_second


def _replies(load: Load) -> float:
    """A second: each frame has one, and it is metered as a message."""
    return load.messages_per_second + load.pings_per_second + load.connects_per_second


def _routed(load: Load) -> float:
    connecting = load.connects_per_second * CONNECTION_INVOCATIONS
    return load.messages_per_second + load.pings_per_second + connecting


def _metered(size_bytes: float) -> int:
    return max(1, math.ceil(size_bytes / METERED_BYTES))


def _traced(per_second: float) -> float:
    return min(per_second, TRACED_PER_SECOND + max(0.0, per_second - TRACED_PER_SECOND) * TRACED_SHARE)
