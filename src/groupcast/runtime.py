"""One event loop and one set of clients per Lambda environment.

An environment is frozen between invocations: what `asyncio.run` made would be closed when it thaws. So the
loop and the clients are made at the first invocation and stay; a later one goes on with both.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from groupcast.errors import TokenError
from groupcast.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from groupcast.auth import Principal
    from groupcast.aws.calls import Calls
    from groupcast.aws.credentials import CredentialsProvider
    from groupcast.aws.json_api import Service
    from groupcast.chat import Chat
    from groupcast.errors import GroupcastError
    from groupcast.fanout.budget import Budget
    from groupcast.fanout.engine import Engine
    from groupcast.fanout.express import Express
    from groupcast.fanout.pace import Limits
    from groupcast.fanout.queue import Queue
    from groupcast.fanout.retries import Retries
    from groupcast.fanout.service import Fanout
    from groupcast.settings import Settings
    from groupcast.tokens import Verifier

T = TypeVar("T")
R = TypeVar("R")

DYNAMODB_CONNECT_TIMEOUT_S = 2
DYNAMODB_READ_TIMEOUT_S = 3
DYNAMODB_ATTEMPTS = 3
# Pages of several groups, and removals beside them.
FANOUT_TABLE_CONNECTIONS = 16
# Offers, leftovers of several groups, failures.
QUEUE_CONNECTIONS = 4
# A function that serves a frame at a time.
OFFER_CONNECTIONS = 1
# A post without an answer by then is repeated or handed on; the function's time leaves room for one.
POST_CONNECT_S = 2.0
POST_RESPONSE_S = 4.0
POST_TOTAL_S = 5.0


class Environment(Generic[T]):
    """What a function keeps from one invocation to the next: a loop, and what `opener` opens on it."""

    def __init__(self, opener: Callable[[Settings], AbstractAsyncContextManager[T]]) -> None:
        self._opener = opener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()
        self._opened: T | None = None

    def run(self, use: Callable[[T], Awaitable[R]]) -> R:
        """Run `use` to its end on the loop. SettingsError where a setting is missing or wrong."""
        if self._loop is None:
            self._loop = _new_loop()
        return self._loop.run_until_complete(self._use(use))

    def close(self) -> None:
        """Close the clients and the loop; Lambda never does, tests do."""
        if self._loop is not None:
            self._loop.run_until_complete(self._stack.aclose())
            self._loop.close()
            self._loop, self._opened = None, None

    async def _use(self, use: Callable[[T], Awaitable[R]]) -> R:
        if self._opened is None:
            self._opened = await self._stack.enter_async_context(self._opener(read_settings(os.environ)))
        return await use(self._opened)


@asynccontextmanager
async def open_chat(settings: Settings) -> AsyncIterator[Chat]:
    """The chat's rules over the real tables."""
    # Imported here, since this is most of a cold start and the fan-out does without.
    import aioboto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    from groupcast.chat import Chat  # noqa: PLC0415
    from groupcast.ratelimit import Bucket, GroupLimit  # noqa: PLC0415
    from groupcast.tables.connections import Connections  # noqa: PLC0415
    from groupcast.tables.groups import Groups  # noqa: PLC0415
    from groupcast.tables.messages import Messages  # noqa: PLC0415
    from groupcast.tables.users import Users  # noqa: PLC0415

    bucket = Bucket(settings.messages_per_second, settings.message_burst)
    limit = GroupLimit(settings.group_messages_per_second, settings.group_bytes_per_second)
    config = Config(
        connect_timeout=DYNAMODB_CONNECT_TIMEOUT_S,
        read_timeout=DYNAMODB_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": DYNAMODB_ATTEMPTS},
    )
    async with (
        AsyncExitStack() as stack,
        aioboto3.Session().client("dynamodb", config=config) as dynamodb,
    ):
        yield Chat(
            Connections(dynamodb, settings.connections_table),
            Messages(dynamodb, settings.messages_table),
            Groups(dynamodb, settings.groups_table, limit),
            Users(dynamodb, settings.quotas_table, bucket, settings.connections_per_user),
            express=_express(settings, stack),
            signs_in=settings.auth != "none",
            verify=_verifying(settings),
            retention_days=settings.retention_days,
            now_ms=now_ms,
            random=os.urandom,
        )


def _verifying(settings: Settings) -> Callable[[str], Awaitable[Principal]]:
    verifier: Verifier | None = None

    async def verify(token: str) -> Principal:
        nonlocal verifier
        if settings.auth == "none":
            raise TokenError("nobody signs in")
        if verifier is None:
            # Imported here: only `renew` pays for it.
            from groupcast.tokens import Verifier  # noqa: PLC0415

            verifier = Verifier.of(settings, time.monotonic)
        # Fetching the pool's keys blocks.
        return await asyncio.to_thread(verifier.verify, token)

    return verify


@asynccontextmanager
async def open_fanout(settings: Settings) -> AsyncIterator[Fanout]:
    """The fan-out over the real tables, connections and queues."""
    from groupcast.fanout.lanes import LaneDelivery, LaneQueues  # noqa: PLC0415
    from groupcast.fanout.pace import Limits  # noqa: PLC0415
    from groupcast.fanout.queue import Queue, Received  # noqa: PLC0415
    from groupcast.fanout.service import Fanout  # noqa: PLC0415
    from groupcast.fanout.stream import StreamDelivery, StreamOffers  # noqa: PLC0415
    from groupcast.tables.groups import ServedGroups  # noqa: PLC0415
    from groupcast.tables.messages import StoredMessages  # noqa: PLC0415

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
    """What finishes the fan-out's leftovers, over the same."""
    from groupcast.fanout.pace import PATIENT  # noqa: PLC0415
    from groupcast.fanout.retries import Retries  # noqa: PLC0415
    from groupcast.tables.messages import StoredMessages  # noqa: PLC0415

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
    from groupcast.aws.credentials import CredentialsProvider  # noqa: PLC0415
    from groupcast.aws.json_api import DYNAMODB, SQS  # noqa: PLC0415
    from groupcast.aws.management import ManagementClient  # noqa: PLC0415
    from groupcast.aws.pool import Timeouts  # noqa: PLC0415
    from groupcast.fanout.engine import Engine  # noqa: PLC0415
    from groupcast.fanout.queue import Queue  # noqa: PLC0415
    from groupcast.tables.activity import Activity  # noqa: PLC0415
    from groupcast.tables.members import MembersTable  # noqa: PLC0415

    credentials = CredentialsProvider()
    async with AsyncExitStack() as stack:
        dynamodb = _json_api(
            stack, DYNAMODB, settings.dynamodb_endpoint, settings, credentials, FANOUT_TABLE_CONNECTIONS
        )
        sqs = _json_api(stack, SQS, settings.sqs_endpoint, settings, credentials, QUEUE_CONNECTIONS)
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
            signs_in=settings.auth != "none",
        )
        activity = Activity(dynamodb, settings.connections_table, settings.quotas_table)
        yield _Posting(
            Engine(members, poster, limits, random.random, _budget(settings, dynamodb), activity),
            dynamodb,
            sqs,
            Queue(sqs, settings.retry_queue_url),
            Queue(sqs, settings.failures_queue_url),
        )


def _json_api(
    stack: AsyncExitStack,
    service: Service,
    endpoint: str,
    settings: Settings,
    credentials: CredentialsProvider,
    max_connections: int,
) -> Calls:
    from groupcast.aws.json_api import JsonApi  # noqa: PLC0415

    api = JsonApi(
        service,
        endpoint,
        settings.region,
        credentials,
        max_connections=max_connections,
        on_failure=_log_failure,
    )
    stack.push_async_callback(api.close)
    return api


def _budget(settings: Settings, dynamodb: Calls) -> Budget | None:
    from groupcast.fanout.budget import Rate, SharedBudget  # noqa: PLC0415
    from groupcast.tables.quotas import QuotasTable  # noqa: PLC0415

    if settings.posts_per_second == 0:
        return None
    return SharedBudget(
        Rate(settings.posts_per_second, settings.post_burst),
        QuotasTable(dynamodb, settings.quotas_table),
        now_us=lambda: time.time_ns() // 1000,
        loop_time=time.monotonic,
    )


def _express(settings: Settings, stack: AsyncExitStack) -> Express | None:
    from groupcast.aws.credentials import CredentialsProvider  # noqa: PLC0415
    from groupcast.aws.json_api import SQS  # noqa: PLC0415
    from groupcast.fanout.express import Express  # noqa: PLC0415
    from groupcast.fanout.queue import Queue  # noqa: PLC0415

    if settings.delivery != "lanes":
        return None
    sqs = _json_api(stack, SQS, settings.sqs_endpoint, settings, CredentialsProvider(), OFFER_CONNECTIONS)
    return Express(
        Queue(sqs, settings.delivery_queue_url), loop_time=time.monotonic, on_failure=_count_failed_offer
    )


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _count_failed_offer(message_id: str) -> None:
    from aws_lambda_powertools.logging import Logger  # noqa: PLC0415
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415

    Logger().warning("offer left to the stream", extra={"message_id": message_id})
    with single_metric(name="express_failed", unit=MetricUnit.Count, value=1):
        pass


def _log_failure(operation: str, error: GroupcastError) -> None:
    from aws_lambda_powertools.logging import Logger  # noqa: PLC0415

    Logger().warning(
        "AWS call failed", extra={"operation": operation, "error": f"{type(error).__name__}: {error}"}
    )


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
