"""Clients that join, leave and lose connections at random: each gets its groups' messages, and no others.

GROUPCAST_RANDOM_GROUPS="100 50 2000" sets the clients, the groups that each is in at first, and the messages
of all together; such a run takes minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aioboto3
import pytest

from groupcast_client import Backoff, Client, Group, Message
from groupcast_client.model import Void
from tests.conftest import Stack

CLIENTS, GROUPS_EACH, MESSAGES = map(int, os.environ.get("GROUPCAST_RANDOM_GROUPS", "6 4 72").split())
# Of the actions of a client; the rest are messages.
JOINS, LEAVES, CUTS = 0.06, 0.05, 0.02
CALM_S = 60.0


@dataclass
class Stay:
    """A client's time in a group, whose messages up to `since` it knew of at the join, or shortly after."""

    group_id: str
    since: int
    group: Group
    reading: asyncio.Task[None]
    opened: AsyncExitStack
    received: list[Message]

    def received_all(self, log: list[Message]) -> bool:
        """Whether it has the last message of the log, or knew it before."""
        last_seq = self.received[-1].seq if self.received else self.since
        return not log or last_seq >= log[-1].seq


class Visitor:
    """A client and all its stays. Its choices depend on the seed alone, their timing does not."""

    def __init__(self, client: Client, all_groups: list[str], seed: int) -> None:
        self.client = client
        self.open: dict[str, Stay] = {}
        self.stays: list[Stay] = []
        self._all_groups = all_groups
        self._dice = random.Random(seed)

    async def join(self, group_id: str) -> None:
        opened = AsyncExitStack()
        group = await opened.enter_async_context(self.client.group(group_id))
        received: list[Message] = []
        reading = asyncio.create_task(_read(group, received))
        self.open[group_id] = Stay(group_id, group.last_seq, group, reading, opened, received)
        self.stays.append(self.open[group_id])

    async def leave(self, group_id: str) -> None:
        stay = self.open.pop(group_id)
        await stay.opened.aclose()
        await stay.reading

    async def act(self, messages: int) -> None:
        """Send so many messages to random groups, with other actions between them."""
        sent = 0
        while sent < messages:
            chance = self._dice.random()
            closed = [one for one in self._all_groups if one not in self.open]
            if chance < JOINS and closed:
                await self.join(self._dice.choice(closed))
            elif chance < JOINS + LEAVES and len(self.open) > 1:
                await self.leave(self._dice.choice(list(self.open)))
            elif chance < JOINS + LEAVES + CUTS:
                connection = self.client._session.connection
                if connection is not None:
                    connection.abort()
            else:
                await self._dice.choice(list(self.open.values())).group.send(f"{sent}")
                sent += 1


async def _read(group: Group, received: list[Message]) -> None:
    async for message in group:
        received.append(message)  # noqa: PERF401 - others look at it meanwhile


async def items_of(stack: Stack, names: set[str]) -> list[dict[str, Any]]:
    """The items of the Connections table whose sender has one of these names."""
    async with aioboto3.Session().client("dynamodb", **stack.aws(stack.dynamodb_url)) as dynamodb:
        pages = dynamodb.get_paginator("scan").paginate(TableName="groupcast-dev-connections")
        return [item async for page in pages for item in page["Items"] if item["sender"]["S"] in names]


@pytest.mark.stack
@pytest.mark.timeout(900)
async def test_members_get_what_was_said_while_they_were_there(stack: Stack) -> None:
    """Once, in order, and nothing else; at the end no connection and no membership is left."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it if the test fails
    names = {f"visitor-{uuid.uuid4()}" for _ in range(CLIENTS)}
    all_groups = [f"group-{uuid.uuid4()}" for _ in range(2 * GROUPS_EACH)]
    async with AsyncExitStack() as opened:
        visitors = []
        for number, name in enumerate(sorted(names)):
            client = Client(stack.gateway_url, name=name, backoff=Backoff(0.01))
            await opened.enter_async_context(client)
            visitors.append(Visitor(client, all_groups, seed + number))
        for visitor in visitors:
            for group_id in random.Random(seed).sample(all_groups, GROUPS_EACH):
                await visitor.join(group_id)
        await asyncio.gather(*(visitor.act(MESSAGES // CLIENTS) for visitor in visitors))
        logs = await _logs(stack, all_groups)
        stays = [stay for visitor in visitors for stay in visitor.open.values()]
        await _eventually(lambda: all(stay.received_all(logs[stay.group_id]) for stay in stays))
        for visitor in visitors:
            for group_id in list(visitor.open):
                await visitor.leave(group_id)
    for stay in (stay for visitor in visitors for stay in visitor.stays):
        if stay.received:
            first, last = stay.received[0].seq, stay.received[-1].seq
            assert first <= stay.since + 1
            assert stay.received == [one for one in logs[stay.group_id] if first <= one.seq <= last]
    async with asyncio.timeout(CALM_S):
        while await items_of(stack, names):  # noqa: ASYNC110 - a table sends no event
            await asyncio.sleep(0.1)


async def _eventually(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(CALM_S):
        while not is_true():  # noqa: ASYNC110 - many readers change it
            await asyncio.sleep(0.05)


async def _logs(stack: Stack, group_ids: list[str]) -> dict[str, list[Message]]:
    """Each group's whole log, read by a member of its own."""
    logs = {}
    async with Client(stack.gateway_url, name="reader") as client:
        for group_id in group_ids:
            async with client.group(group_id) as group:
                found: list[Message | Void] = []
                while len(found) < group.last_seq:
                    found += (await group.history(since=len(found))).entries
                logs[group_id] = [one for one in found if isinstance(one, Message)]
    assert sum(map(len, logs.values())) == CLIENTS * (MESSAGES // CLIENTS)
    return logs
