"""A Chat over real tables, with a clock and tokens that the test controls."""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from groupcast.auth import Principal
from groupcast.chat import Chat
from groupcast.errors import ChatError, Code, TokenError
from groupcast.fanout.express import Express
from groupcast.model import Caller, Member
from groupcast.ratelimit import Bucket, GroupLimit
from groupcast.tables.connections import Connections
from groupcast.tables.groups import Groups
from groupcast.tables.messages import Messages
from groupcast.tables.progress import ProgressTables
from groupcast.tables.users import Users

# In the future: DynamoDB Local removes expired items by its own clock.
NOW_MS = 2_000_000_000_000
UNTIL_S = NOW_MS // 1000 + 100_000
UNLIMITED = Bucket(1_000, 10_000)
UNLIMITED_GROUP = GroupLimit(10_000, 1024**3)
UNLIMITED_CONNECTIONS = 10_000
_numbers = itertools.count()


class ByConnection:
    """A chat that is called by connection id, with the users given at connect."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._user_ids: dict[str, str | None] = {}

    async def connect(self, member: Member, connected_at_ms: int) -> None:
        self.adopt(member.connection_id, member.user_id)
        await self._chat.connect(member, connected_at_ms)

    async def disconnect(self, connection_id: str) -> None:
        await self._chat.disconnect(self._caller(connection_id))

    def adopt(self, connection_id: str, user_id: str | None) -> None:
        """Add a connection that another chat has made."""
        self._user_ids[connection_id] = user_id

    def __getattr__(self, action: str) -> Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]:
        act = getattr(self._chat, action)
        return lambda connection_id, frame: act(self._caller(connection_id), frame)

    def _caller(self, connection_id: str) -> Caller:
        return Caller(connection_id, self._user_ids.get(connection_id))


class World:
    """A Chat whose clock the test moves, and its DynamoDB client."""

    def __init__(
        self,
        dynamodb: Any,
        tables: dict[str, str],
        retention_days: int = 0,
        bucket: Bucket = UNLIMITED,
        group_limit: GroupLimit = UNLIMITED_GROUP,
        connections_max: int = UNLIMITED_CONNECTIONS,
        auth_required: bool = False,
        express: Express | None = None,
    ) -> None:
        self.dynamodb = dynamodb
        self.tables = tables
        self.now_ms = NOW_MS
        self.last_connection = ""
        self.tokens: dict[str, Principal] = {}
        self.groups = Groups(dynamodb, tables["GroupsTable"], group_limit)
        chat = Chat(
            Connections(dynamodb, tables["ConnectionsTable"]),
            Messages(dynamodb, tables["MessagesTable"]),
            self.groups,
            ProgressTables(dynamodb, tables["GroupsTable"], tables["ReadMarksTable"]),
            Users(dynamodb, tables["QuotasTable"], bucket, connections_max),
            express=express,
            auth_required=auth_required,
            verify=self._verify,
            retention_days=retention_days,
            now_ms=lambda: self.now_ms,
            random=os.urandom,
        )
        self.chat = ByConnection(chat)

    async def connection(self, sender: str = "ann", principal: Principal | None = None) -> str:
        """A new connection in no group, of a guest or a signed-in user."""
        connection_id = self.last_connection = f"connection-{next(_numbers)}="
        guest = Member(connection_id, sender)
        await self.chat.connect(_member(guest, principal) if principal else guest, self.now_ms)
        return connection_id

    async def member(self, group_id: str, sender: str = "ann", principal: Principal | None = None) -> str:
        """A new connection in a group."""
        connection_id = await self.connection(sender, principal)
        await self.chat.join(connection_id, {"groupId": group_id})
        return connection_id

    async def connection_item(self, connection_id: str) -> dict[str, Any] | None:
        """The connection's own item."""
        return await self.item("ConnectionsTable", connectionId=connection_id, entry="connection")

    async def entries(self, connection_id: str) -> set[str]:
        """The entries of all items of a connection."""
        answer = await self.dynamodb.query(
            TableName=self.tables["ConnectionsTable"],
            KeyConditionExpression="connectionId = :id",
            ExpressionAttributeValues={":id": {"S": connection_id}},
        )
        return {item["entry"]["S"] for item in answer["Items"]}

    async def remove_connection(self, connection_id: str) -> None:
        """Remove the connection's own item, as the fan-out does when it finds it gone."""
        await self.remove("ConnectionsTable", connectionId=connection_id, entry="connection")

    async def item(self, table: str, **key: str) -> dict[str, Any] | None:
        answer = await self.dynamodb.get_item(
            TableName=self.tables[table], Key={name: {"S": value} for name, value in key.items()}
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    async def remove(self, table: str, **key: str) -> None:
        await self.dynamodb.delete_item(
            TableName=self.tables[table], Key={name: {"S": value} for name, value in key.items()}
        )

    async def _verify(self, token: str) -> Principal:
        if token not in self.tokens:
            raise TokenError("made up")
        return self.tokens[token]


class Metered:
    """A DynamoDB client that counts requests by name, and the read units of queries.

    `consistent_gets` says of each get_item and each table of a batch_get_item whether it was consistent.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()
        self.read_units = 0.0
        self.consistent_gets: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        if name not in ("exceptions", "query"):
            self.calls[name] += 1
        return getattr(self._client, name)

    async def get_item(self, **request: Any) -> Any:
        self.calls["get_item"] += 1
        self.consistent_gets.append(request.get("ConsistentRead", False))
        return await self._client.get_item(**request)

    async def batch_get_item(self, **request: Any) -> Any:
        self.calls["batch_get_item"] += 1
        for table in request["RequestItems"].values():
            self.consistent_gets.append(table.get("ConsistentRead", False))
        return await self._client.batch_get_item(**request)

    async def query(self, **request: Any) -> Any:
        self.calls["query"] += 1
        answer = await self._client.query(ReturnConsumedCapacity="TOTAL", **request)
        self.read_units += answer["ConsumedCapacity"]["CapacityUnits"]
        return answer

    def reset(self) -> None:
        self.calls.clear()
        self.read_units = 0.0
        self.consistent_gets.clear()


class Repeating:
    """A DynamoDB client that repeats each update, as AWS's SDK does after a lost answer."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.exceptions = client.exceptions

    async def update_item(self, **request: Any) -> Any:
        await self._client.update_item(**request)
        return await self._client.update_item(**request)


MakeWorld: TypeAlias = Callable[..., World]


def someone() -> Principal:
    return Principal(str(uuid.uuid4()), "ann", (), UNTIL_S)


async def refused(calls: list[Awaitable[Any]]) -> list[ChatError]:
    """Make all calls at once; return the RateLimited errors, and fail on any other error."""
    ends = await asyncio.gather(*calls, return_exceptions=True)
    errors = [end for end in ends if isinstance(end, BaseException)]
    limited = [error for error in errors if isinstance(error, ChatError)]
    assert len(limited) == len(errors), errors
    assert {error.code for error in limited} <= {Code.RATE_LIMITED}
    return limited


async def code_of(call: Any) -> Code:
    """The code of the ChatError that a call raises."""
    with pytest.raises(ChatError) as caught:
        await call
    return caught.value.code


def _member(guest: Member, principal: Principal) -> Member:
    return replace(
        guest,
        sender=principal.name,
        user_id=principal.user_id,
        groups=principal.groups,
        authorized_until_s=principal.authorized_until_s,
    )
