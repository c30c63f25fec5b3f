"""API Gateway calls open connections gone (410), one post in ten: nobody loses a message."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from groupcast_client import Client
from groupcast_client.model import Limits
from tests.conftest import Stack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(90)]

MEMBERS = 30
MESSAGES = 20
# Twice in a row, and then the client finds out by a ping.
GONE_SHARE = 0.1
PING_S = 2.0


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose @connections does not know every open connection at every time."""
    log = tmp_path_factory.mktemp("forgetful") / "functions.log"
    with running_stack(log, "--faults", f"0,0,0,{GONE_SHARE}") as running:
        yield running


def counted(stack: Stack, name: str) -> int:
    """A count of the fan-out, by the logs of its functions."""
    lines = [line for line in stack.log.read_text().splitlines() if '"message":"fan-out"' in line]
    return sum(json.loads(line)[name] for line in lines)


async def test_nobody_loses_a_message(forgetful: Stack) -> None:
    """All members get all messages, once and in order; second tries deliver, and are counted."""
    group_id = f"group-{uuid.uuid4()}"

    async def read(client: Client) -> list[int]:
        numbers: list[int] = []
        async for message in client.messages():
            numbers.append(message.seq)
            if len(numbers) == MESSAGES:
                break
        return numbers

    async with AsyncExitStack() as opened, asyncio.timeout(60):
        members = [
            await opened.enter_async_context(
                Client(forgetful.gateway_url, name=f"m{number}", limits=Limits(ping_interval_s=PING_S))
            )
            for number in range(MEMBERS)
        ]
        await asyncio.gather(*(member.join(group_id) for member in members))
        reading = asyncio.gather(*(read(member) for member in members))
        for number in range(MESSAGES):
            await members[number % MEMBERS].send(f"message {number}")
            await asyncio.sleep(0.05)
        assert await reading == [list(range(1, MESSAGES + 1))] * MEMBERS
        while not counted(forgetful, "gone_false"):  # noqa: ASYNC110 - a log sends no event
            await asyncio.sleep(0.1)
    assert '"gone_false":' in forgetful.log.read_text()
    assert "Traceback" not in forgetful.log.read_text()
