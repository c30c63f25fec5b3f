"""Connects the fan-out and its retries to the real tables, connections and queues."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.json_api import DYNAMODB, SQS
from groupcast.aws.management import ManagementClient
from groupcast.aws.pool import Timeouts
from groupcast.fanout.budget import Rate, SharedBudget
from groupcast.fanout.engine import Engine
from groupcast.fanout.lanes import LaneDelivery, LaneQueues
from groupcast.fanout.limits import PATIENT, Limits
from groupcast.fanout.queue import Queue, Received
from groupcast.fanout.retries import Retries
from groupcast.fanout.stream import StreamDelivery, StreamOffers
from groupcast.runtime.clients import json_api, now_ms
from groupcast.tables.activity import Activity
from groupcast.tables.groups import ServedGroups
from groupcast.tables.members import MembersTable
from groupcast.tables.messages import StoredMessages
from groupcast.tables.quotas import QuotasTable
from groupcast.tables.removals import RemovalsTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from groupcast.aws.calls import Calls
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.report import Offered, Result
    from groupcast.settings import Settings

# Several groups' pages and removals at the same time.
FANOUT_TABLE_CONNECTIONS = 16
# Offers, several groups' leftovers, and failures.
QUEUE_CONNECTIONS = 4
# A post that times out is retried or handed over; the function's own timeout leaves room for one.
POST_CONNECT_S = 2.0
POST_RESPONSE_S = 4.0
POST_TOTAL_S = 5.0


class Fanout:
    """Serves batches of the Messages table's stream and of DeliveryQueue."""

    def __init__(self, stream: StreamOffers | StreamDelivery, lanes: LaneDelivery) -> None:
        self._stream = stream
        self._lanes = lanes

    async def deliver(self, records: Sequence[Mapping[str, Any]], remaining_s: float) -> Result | Offered:
        """Deliver or offer a batch, which has at least one record, all from one source."""
        if records[0]["eventSource"] == "aws:sqs":
            return await self._lanes.deliver(records, remaining_s)
        return await self._stream.deliver(records, remaining_s)


@asynccontextmanager
async def open_fanout(settings: Settings) -> AsyncIterator[Fanout]:
    """The service behind fanoutMessage."""
    async with _open_posting(settings, Limits(window_max=settings.post_window)) as parts:
        lanes = LaneDelivery(
            parts.engine,
            LaneQueues(Received(parts.sqs, settings.delivery_queue_url), parts.retries, parts.failures),
            ServedGroups(parts.dynamodb, settings.groups_table),
            StoredMessages(parts.dynamodb, settings.messages_table),
            frame_bytes=settings.frame_bytes,
            members_per_lane=settings.members_per_lane,
            now_ms=now_ms,
        )
        stream: StreamOffers | StreamDelivery
        if settings.delivery == "lanes":
            stream = StreamOffers(Queue(parts.sqs, settings.delivery_queue_url), parts.failures)
        else:
            stream = StreamDelivery(
                parts.engine, parts.retries, parts.failures, frame_bytes=settings.frame_bytes
            )
        yield Fanout(stream, lanes)


@asynccontextmanager
async def open_retries(settings: Settings) -> AsyncIterator[Retries]:
    """The service behind fanoutRetry."""
    async with _open_posting(settings, replace(PATIENT, window_max=settings.post_window)) as parts:
        messages = StoredMessages(parts.dynamodb, settings.messages_table)
        yield Retries(parts.engine, messages, parts.retries, parts.failures, frame_bytes=settings.frame_bytes)


@dataclass(frozen=True, slots=True)
class _Posting:
    engine: Engine
    dynamodb: Calls
    sqs: Calls
    retries: Queue
    failures: Queue


@asynccontextmanager
async def _open_posting(settings: Settings, limits: Limits) -> AsyncIterator[_Posting]:
    credentials = CredentialsProvider()
    async with AsyncExitStack() as stack:
        dynamodb = json_api(
            stack, DYNAMODB, settings.dynamodb_endpoint, settings, credentials, FANOUT_TABLE_CONNECTIONS
        )
        sqs = json_api(stack, SQS, settings.sqs_endpoint, settings, credentials, QUEUE_CONNECTIONS)
        poster = ManagementClient(
            settings.management_endpoint,
            settings.region,
            credentials,
            max_connections=settings.post_window,
            timeouts=Timeouts(connect_s=POST_CONNECT_S, response_s=POST_RESPONSE_S, total_s=POST_TOTAL_S),
        )
        stack.push_async_callback(poster.close)
        members = MembersTable(
            dynamodb,
            settings.connections_table,
            settings.members_page_size,
            auth_required=settings.auth != "none",
        )
        removals = RemovalsTable(dynamodb, settings.connections_table)
        activity = Activity(dynamodb, settings.connections_table, settings.quotas_table)
        budget = _budget(settings, dynamodb)
        engine = Engine(members, removals, poster, limits, random.random, budget, activity)
        yield _Posting(
            engine,
            dynamodb,
            sqs,
            Queue(sqs, settings.retry_queue_url),
            Queue(sqs, settings.failures_queue_url),
        )


def _budget(settings: Settings, dynamodb: Calls) -> Budget | None:
    if settings.posts_per_second == 0:
        return None
    return SharedBudget(
        Rate(settings.posts_per_second, settings.post_burst),
        QuotasTable(dynamodb, settings.quotas_table),
        now_us=lambda: time.time_ns() // 1000,
        loop_time=time.monotonic,
    )
