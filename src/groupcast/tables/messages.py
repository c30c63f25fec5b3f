"""Messages: each group's numbered log."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.aws.backoff import back_off
from groupcast.errors import GroupcastError
from groupcast.protocol import message_value
from groupcast.tables.items import encode, message_of, stored_message_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from groupcast.aws.calls import Calls
    from groupcast.model import Message
    from groupcast.tables.items import StoredMessage

# The room for messages in a reply: API Gateway sends at most 128 KB in one message.
MAX_PAGE_BYTES = 120 * 1024
# BatchGetItem takes 100 keys, but AwsJsonClient limits its answer to about this many of the longest messages.
GET_BATCH = 50
GET_ATTEMPTS_MAX = 5
GET_RETRY_BASE_S = 0.05
# If reading the log takes longer, a pass delivers only the messages it was offered.
LOG_TIMEOUT_S = 1.0
# With this HTTP status or a higher one, DynamoDB may have carried out a request that it reports as failed.
SERVER_FAULT = 500
# If large messages may be among them, the first read takes as many as fill a reply at the largest size. Each
# further read takes up to READ_GROWTH times as many, as long as they turn out to be small.
FIRST_READ = 8
READ_GROWTH = 4


class AlreadyStoredError(GroupcastError):
    """The key is taken by the message `stored`."""

    def __init__(self, stored: Message) -> None:
        super().__init__(stored.key)
        self.stored = stored


class NotStoredError(GroupcastError):
    """DynamoDB refused a message, by throttling for example. After any other error it may be stored."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, oldest first; `more` if the log goes on in the direction of the read.

    `size_bytes` is the size of the messages in a frame.
    """

    messages: tuple[Message, ...]
    more: bool
    size_bytes: int


class Messages:
    """The Messages table through an aioboto3 DynamoDB client."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def get(self, key: str) -> Message | None:
        """The message with this key (a consistent read), or None."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=encode({"messageId": key}), ConsistentRead=True
        )
        return message_of(answer["Item"]) if "Item" in answer else None

    async def put(self, stored: StoredMessage, expires_at_s: int | None) -> None:
        """Store a message once. AlreadyStoredError if its key is taken, NotStoredError if refused."""
        message, audience = stored.message, stored.audience
        values: dict[str, str | int | None] = {
            "messageId": message.key,
            "groupId": message.group_id,
            "seq": message.seq,
            "sender": None if message.void else message.sender,
            "message": None if message.void else message.text,
            "userId": message.user_id,
            "void": 1 if message.void else None,
            "createdAt": message.created_at,
            "expiresAt": expires_at_s,
            # For the fan-out; defaults are left out.
            "members": audience.members or None,
            "lanes": audience.lanes if audience.lanes > 1 else None,
            "express": 1 if stored.express else None,
        }
        try:
            await self._dynamodb.put_item(
                TableName=self._table,
                Item=encode(values),
                ConditionExpression="attribute_not_exists(messageId)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as taken:
            raise AlreadyStoredError(message_of(taken.response["Item"])) from None
        except self._dynamodb.exceptions.ClientError as refused:
            if refused.response["ResponseMetadata"]["HTTPStatusCode"] >= SERVER_FAULT:
                raise
            raise NotStoredError(str(refused)) from refused

    async def after(
        self, group_id: str, seq: int, limit: int, *, all_small: bool, max_bytes: int = MAX_PAGE_BYTES
    ) -> Page:
        """Up to `limit` messages above `seq`; `all_small` says that no large ones are among them."""
        condition = "seq > :seq"
        return await self._read(group_id, condition, seq, limit, max_bytes, forward=True, all_small=all_small)

    async def before(self, group_id: str, seq: int, limit: int, *, all_small: bool) -> Page:
        """The last `limit` messages below `seq`; `all_small` says that no large ones are among them."""
        page = await self._read(
            group_id, "seq < :seq", seq, limit, MAX_PAGE_BYTES, forward=False, all_small=all_small
        )
        return replace(page, messages=page.messages[::-1])

    async def _read(
        self,
        group_id: str,
        condition: str,
        seq: int,
        limit: int,
        max_bytes: int,
        *,
        forward: bool,
        all_small: bool,
    ) -> Page:
        """Read messages until a reply is full, in growing steps: little more is read than is returned."""
        kept: list[Message] = []
        used_bytes, start = 0, dict[str, Any]()
        # Read one extra message, since LastEvaluatedKey is set even if the log ends exactly there.
        read = limit + 1 if all_small else FIRST_READ
        while True:
            answer = await self._dynamodb.query(
                TableName=self._table,
                IndexName="GroupSeqIndex",
                KeyConditionExpression=f"groupId = :group AND {condition}",
                ExpressionAttributeValues=encode({":group": group_id, ":seq": seq}),
                ScanIndexForward=forward,
                Limit=min(read, limit + 1 - len(kept)),
                **start,
            )
            for item in answer["Items"]:
                message = message_of(item)
                size_bytes = len(orjson.dumps(message_value(message))) + 1
                if len(kept) == limit or used_bytes + size_bytes > max_bytes:
                    return Page(tuple(kept), more=True, size_bytes=used_bytes)
                kept.append(message)
                used_bytes += size_bytes
            if "LastEvaluatedKey" not in answer:
                return Page(tuple(kept), more=False, size_bytes=used_bytes)
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
            fitting = (max_bytes - used_bytes) * len(kept) // max(used_bytes, 1)
            read = min(read * READ_GROWTH, fitting + 1)


@dataclass(slots=True)
class Loaded:
    """Messages by key; the keys in `unread` could not be read, so their messages may exist."""

    messages: dict[str, Message] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)


class StoredMessages:
    """The Messages table for the fan-out: reads many messages at once, through the signed client."""

    def __init__(self, dynamodb: Calls, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    async def after(self, group_id: str, seq: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` messages of a group above `seq`, at most 1 MB; none if the read fails."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": "GroupSeqIndex",
            "KeyConditionExpression": "groupId = :group AND seq > :seq",
            "ExpressionAttributeValues": encode({":group": group_id, ":seq": seq}),
            "Limit": limit,
        }
        found: list[StoredMessage] = []
        with contextlib.suppress(GroupcastError, TimeoutError):
            async with asyncio.timeout(LOG_TIMEOUT_S):
                answer = await self._dynamodb.call("Query", query)
                for item in answer["Items"]:
                    # Corrupt items count as missing.
                    with contextlib.suppress(ValueError):
                        found.append(stored_message_of(item))
        return found

    async def load(self, message_keys: Collection[str], give_up_at: float) -> Loaded:
        """The messages with these keys (consistent reads). `give_up_at` is a loop time in s. Never raises."""
        ids = list(message_keys)
        loaded = Loaded(unread=set(ids))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(give_up_at):
                await asyncio.gather(
                    *(
                        self._load_batch(ids[start : start + GET_BATCH], loaded)
                        for start in range(0, len(ids), GET_BATCH)
                    )
                )
        return loaded

    async def _load_batch(self, ids: Sequence[str], loaded: Loaded) -> None:
        keys: list[Any] = [encode({"messageId": one}) for one in ids]
        for attempt in range(GET_ATTEMPTS_MAX):
            await back_off(attempt, GET_RETRY_BASE_S)
            request = {"RequestItems": {self._table: {"Keys": keys, "ConsistentRead": True}}}
            try:
                answer = await self._dynamodb.call("BatchGetItem", request)
            except GroupcastError:
                return
            for item in answer["Responses"].get(self._table, ()):
                # Corrupt items count as missing.
                with contextlib.suppress(ValueError):
                    message = message_of(item)
                    loaded.messages[message.key] = message
            left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            loaded.unread -= {key["messageId"]["S"] for key in keys if key not in left}
            if not left:
                return
            keys = left
