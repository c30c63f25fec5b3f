"""Many members: everyone gets all messages of their group once, in order, and nothing else."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
import pytest

from groupcast_client import Backoff, Client, Group
from tests.conftest import Stack, running_stack
from tests.contract.peer import Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
PAGE_SIZE = 40


@pytest.fixture(scope="module")
def small_pages_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that reads members in small pages."""
    log = tmp_path_factory.mktemp("small_pages_stack") / "functions.log"
    with running_stack(log, "--param", f"membersPageSize={PAGE_SIZE}") as running:
        yield running


async def test_200_clients_in_5_groups(stack: Stack) -> None:
    """Each of 200 clients sends 3 messages: each member sees its group's 120 once, in seq order."""
    clients_per_group, sends = 40, 3
    groups = [f"group-{uuid.uuid4()}" for _ in range(5)]
    received: dict[Client, list[Any]] = defaultdict(list)

    async def listen(client: Client) -> None:
        async for message in client.messages():
            received[client].append(message)
            if len(received[client]) == clients_per_group * sends:
                return

    async def speak(client: Client, name: str) -> None:
        for turn in range(sends):
            await client.send(f"{name} {turn}")

    async with AsyncExitStack() as opened:
        members: dict[str, list[Client]] = {group: [] for group in groups}
        for group in groups:
            for number in range(clients_per_group):
                client = await opened.enter_async_context(Client(stack.gateway_url, name=f"c{number}"))
                await client.join(group)
                members[group].append(client)
        everyone = [client for clients in members.values() for client in clients]
        listening = [asyncio.create_task(listen(client)) for client in everyone]
        await asyncio.gather(
            *(speak(client, f"c{n}") for clients in members.values() for n, client in enumerate(clients))
        )
        async with asyncio.timeout(60):
            await asyncio.gather(*listening)
    for group, clients in members.items():
        said = {f"c{n} {turn}" for n in range(clients_per_group) for turn in range(sends)}
        for client in clients:
            got = received[client]
            assert [message.seq for message in got] == list(range(1, clients_per_group * sends + 1))
            assert {message.text for message in got} == said
            assert {message.group_id for message in got} == {group}


async def test_a_client_in_three_groups_over_cuts(stack: Stack) -> None:
    """Two clients speak in all three while the connection of one is cut: both read all, once, in order."""
    turns = 4
    groups = [f"group-{uuid.uuid4()}" for _ in range(3)]
    said = [f"{name} {turn}" for turn in range(turns) for name in ("ann", "bob")]

    async def read(group: Group) -> list[Any]:
        messages = aiter(group)
        return [await anext(messages) for _ in said]

    async with AsyncExitStack() as opened:
        members: dict[str, list[Group]] = {}
        clients = {
            name: Client(stack.gateway_url, name=name, backoff=Backoff(0.01)) for name in ("ann", "bob")
        }
        for name, client in clients.items():
            await opened.enter_async_context(client)
            members[name] = [await opened.enter_async_context(client.group(group)) for group in groups]
        reading = [asyncio.create_task(read(group)) for name in members for group in members[name]]
        for turn in range(turns):
            sends = [group.send(f"bob {turn}") for group in members["bob"]]
            connection = clients["ann"]._session.connection
            if connection is not None:
                connection.abort()
            await asyncio.gather(*sends, *(group.send(f"ann {turn}") for group in members["ann"]))
        async with asyncio.timeout(30):
            received = await asyncio.gather(*reading)
    for group, messages in zip([*groups, *groups], received, strict=True):
        assert [message.seq for message in messages] == list(range(1, len(said) + 1))
        assert sorted(message.text for message in messages) == sorted(said)
        assert {message.group_id for message in messages} == {group}


async def test_members_of_many_pages_are_served_and_stale_ones_removed(small_pages_stack: Stack) -> None:
    """Of 330 items on nine pages, 300 live connections get the messages, and 30 stale ids leave the table."""
    group = f"group-{uuid.uuid4()}"
    stale = [f"{number:02d}SM9cOFvHcCIhw=" for number in range(30)]
    table = "groupcast-dev-connections"
    async with AsyncExitStack() as opened:
        peers = [
            await opened.enter_async_context(Peer.connect(f"{small_pages_stack.gateway_url}?name=p{number}"))
            for number in range(300)
        ]
        await asyncio.gather(*(peer.join(group) for peer in peers))
        dynamodb = await opened.enter_async_context(
            aioboto3.Session().client("dynamodb", **small_pages_stack.aws(small_pages_stack.dynamodb_url))
        )
        for number, connection_id in enumerate(stale):
            item = {
                "connectionId": {"S": connection_id},
                "entry": {"S": f"group:{group}"},
                "groupId": {"S": group},
                "slot": {"N": str(number * 2000)},
                "sender": {"S": "stale"},
            }
            await dynamodb.put_item(TableName=table, Item=item)
        await peers[0].say("hello, all 300")
        heard = await asyncio.gather(*(peer.messages(1) for peer in peers))
        assert {messages[0]["message"] for messages in heard} == {"hello, all 300"}
        await peers[0].say("again")
        await asyncio.gather(*(peer.messages(1) for peer in peers))
        answer = await dynamodb.query(
            TableName=table,
            IndexName="GroupIdIndex",
            KeyConditionExpression="groupId = :group",
            ExpressionAttributeValues={":group": {"S": group}},
        )
        left = {item["connectionId"]["S"] for item in answer["Items"]}
        assert len(left) == 300
        assert not left & set(stale)
