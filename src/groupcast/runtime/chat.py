"""Connects the chat's rules to the real tables, for the functions of the routes."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.json_api import SQS
from groupcast.aws.sdk import dynamodb_client
from groupcast.chat import Chat
from groupcast.errors import TokenError
from groupcast.fanout.express import Express
from groupcast.fanout.queue import Queue
from groupcast.ratelimit import Bucket, GroupLimit
from groupcast.runtime.clients import json_api, now_ms
from groupcast.tables.connections import Connections
from groupcast.tables.groups import Groups
from groupcast.tables.messages import Messages
from groupcast.tables.progress import ProgressTables
from groupcast.tables.users import Users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from groupcast.auth import Principal
    from groupcast.settings import Settings

# A function serves one frame at a time.
OFFER_CONNECTIONS = 1


async def no_tokens(_token: str) -> Principal:
    """Refuse every token, in functions that never get one and in stages without sign-in."""
    raise TokenError("this stage has no sign-in")


@asynccontextmanager
async def open_chat(
    settings: Settings, verify: Callable[[str], Awaitable[Principal]] = no_tokens
) -> AsyncIterator[Chat]:
    """The chat's rules; `verify` returns a token's user, which only `renew` needs."""
    bucket = Bucket(settings.messages_per_second, settings.message_burst)
    limit = GroupLimit(settings.group_messages_per_second, settings.group_bytes_per_second)
    async with AsyncExitStack() as stack, dynamodb_client(settings.dynamodb_endpoint) as dynamodb:
        yield Chat(
            Connections(dynamodb, settings.connections_table),
            Messages(dynamodb, settings.messages_table),
            Groups(dynamodb, settings.groups_table, limit),
            ProgressTables(dynamodb, settings.groups_table, settings.marks_table),
            Users(dynamodb, settings.quotas_table, bucket, settings.connections_per_user),
            express=_express(settings, stack),
            auth_required=settings.auth != "none",
            verify=verify,
            retention_days=settings.retention_days,
            now_ms=now_ms,
            random=os.urandom,
        )


def _express(settings: Settings, stack: AsyncExitStack) -> Express | None:
    if settings.delivery != "lanes":
        return None
    sqs = json_api(stack, SQS, settings.sqs_endpoint, settings, CredentialsProvider(), OFFER_CONNECTIONS)
    return Express(
        Queue(sqs, settings.delivery_queue_url), loop_time=time.monotonic, on_failure=_count_failed_offer
    )


def _count_failed_offer(message_id: str) -> None:
    Logger().warning("offer left to the stream", extra={"message_id": message_id})
    with single_metric(name="express_failed", unit=MetricUnit.Count, value=1):
        pass
