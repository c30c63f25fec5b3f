"""A Chat over real tables whose clock and tokens a test makes up."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import Any

import pytest

from groupcast.auth import Principal
from groupcast.chat import Chat
from groupcast.errors import ChatError, Code, TokenError
from groupcast.fanout.express import Express
from groupcast.model import Member
from groupcast.ratelimit import Bucket
from groupcast.tables.connections import Connections
from groupcast.tables.groups import Groups
from groupcast.tables.messages import Messages

# In the future: DynamoDB Local removes what has expired, by its own clock.
NOW_MS = 2_000_000_000_000
UNLIMITED = Bucket(1_000, 10_000)
_numbers = itertools.count()


class World:
    """A Chat whose clock the test moves, and the client beneath it."""

    def __init__(
        self,
        dynamodb: Any,
        tables: dict[str, str],
        retention_days: int = 0,
        bucket: Bucket = UNLIMITED,
        signs_in: bool = False,
        express: Express | None = None,
    ) -> None:
        self.dynamodb = dynamodb
        self.tables = tables
        self.now_ms = NOW_MS
        self.tokens: dict[str, Principal] = {}
        self.groups = Groups(dynamodb, tables["GroupsTable"])
        self.chat = Chat(
            Connections(dynamodb, tables["ConnectionsTable"]),
            Messages(dynamodb, tables["MessagesTable"]),
            self.groups,
            express=express,
            signs_in=signs_in,
            bucket=bucket,
            verify=self._verify,
            retention_days=retention_days,
            now_ms=lambda: self.now_ms,
            random=os.urandom,
        )

    async def connection(self, sender: str = "ann", principal: Principal | None = None) -> str:
        """A new connection in no group: a guest's, or of whoever signed in."""
        connection_id = f"connection-{next(_numbers)}="
        guest = Member(connection_id, sender, None)
        await self.chat.connect(_member(guest, principal) if principal else guest, self.now_ms)
        return connection_id

    async def member(self, group_id: str, sender: str = "ann", principal: Principal | None = None) -> str:
        """One that is in a group."""
        connection_id = await self.connection(sender, principal)
        await self.chat.join(connection_id, {"groupId": group_id})
        return connection_id

    async def item(self, table: str, **key: str) -> dict[str, Any] | None:
        answer = await self.dynamodb.get_item(
            TableName=self.tables[table], Key={name: {"S": value} for name, value in key.items()}
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    async def _verify(self, token: str) -> Principal:
        if token not in self.tokens:
            raise TokenError("made up")
        return self.tokens[token]


async def code_of(call: Any) -> Code:
    """The code of the ChatError that a call ends with."""
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
