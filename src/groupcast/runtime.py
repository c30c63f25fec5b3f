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
from typing import TYPE_CHECKING, Generic, TypeVar

from groupcast.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from groupcast.chat import Chat
    from groupcast.fanout.service import Fanout
    from groupcast.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

DYNAMODB_CONNECT_TIMEOUT_S = 2
DYNAMODB_READ_TIMEOUT_S = 3
DYNAMODB_ATTEMPTS = 3
# Pages of several groups, and removals beside them.
FANOUT_TABLE_CONNECTIONS = 16


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
    from groupcast.tables.connections import Connections  # noqa: PLC0415
    from groupcast.tables.groups import Groups  # noqa: PLC0415
    from groupcast.tables.messages import Messages  # noqa: PLC0415

    config = Config(
        connect_timeout=DYNAMODB_CONNECT_TIMEOUT_S,
        read_timeout=DYNAMODB_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": DYNAMODB_ATTEMPTS},
    )
    async with aioboto3.Session().client("dynamodb", config=config) as dynamodb:
        yield Chat(
            Connections(dynamodb, settings.connections_table),
            Messages(dynamodb, settings.messages_table),
            Groups(dynamodb, settings.groups_table),
            retention_days=settings.retention_days,
            now_ms=now_ms,
            random=os.urandom,
        )


@asynccontextmanager
async def open_fanout(settings: Settings) -> AsyncIterator[Fanout]:
    """The fan-out over the real tables, connections and queue."""
    from groupcast.aws.credentials import CredentialsProvider  # noqa: PLC0415
    from groupcast.aws.json_api import DYNAMODB, SQS, JsonApi  # noqa: PLC0415
    from groupcast.aws.management import ManagementClient  # noqa: PLC0415
    from groupcast.fanout.engine import Engine  # noqa: PLC0415
    from groupcast.fanout.pace import Limits  # noqa: PLC0415
    from groupcast.fanout.service import Fanout  # noqa: PLC0415
    from groupcast.tables.members import MembersTable  # noqa: PLC0415

    credentials = CredentialsProvider()
    region = settings.region
    dynamodb = JsonApi(
        DYNAMODB, settings.dynamodb_endpoint, region, credentials, max_connections=FANOUT_TABLE_CONNECTIONS
    )
    sqs = JsonApi(SQS, settings.sqs_endpoint, region, credentials, max_connections=1)
    poster = ManagementClient(
        settings.management_endpoint, region, credentials, max_connections=settings.post_window
    )
    members = MembersTable(dynamodb, settings.connections_table, settings.members_page_size)
    engine = Engine(members, poster, Limits(window_max=settings.post_window), random.random)
    try:
        yield Fanout(engine, sqs, settings.failures_queue_url, frame_bytes=settings.frame_bytes)
    finally:
        await poster.close()
        await dynamodb.close()
        await sqs.close()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
