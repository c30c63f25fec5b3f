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
# Two false 410s in a row; then a ping tells the client.
GONE_SHARE = 0.1
PING_S = 2.0


@pytest.fixture(scope="module")
def false_gone_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose @connections sometimes answers 410 for open connections."""
    log = tmp_path_factory.mktemp("false_gone_stack") / "functions.log"
    with running_stack(log, "--faults", f"0,0,0,{GONE_SHARE}") as running:
        yield running


def counted(stack: Stack, name: str) -> int:
    """The sum of a fan-out count in its functions' logs."""
    lines = [line for line in stack.log.read_text().splitlines() if '"message":"fan-out"' in line]
    return sum(json.loads(line)[name] for line in lines)


async def test_nobody_loses_a_message(false_gone_stack: Stack) -> None:
    """All members get all messages, once and in order; second tries deliver and are counted."""
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
                Client(false_gone_stack.gateway_url, name=f"m{number}", limits=Limits(ping_interval_s=PING_S))
            )
            for number in range(MEMBERS)
        ]
        await asyncio.gather(*(member.join(group_id) for member in members))
        reading = asyncio.gather(*(read(member) for member in members))
        for number in range(MESSAGES):
            await members[number % MEMBERS].send(f"message {number}")
            await asyncio.sleep(0.05)
        assert await reading == [list(range(1, MESSAGES + 1))] * MEMBERS
        while not counted(false_gone_stack, "gone_false"):  # noqa: ASYNC110 - a log sends no event
            await asyncio.sleep(0.1)
    assert '"gone_false":' in false_gone_stack.log.read_text()
    assert "Traceback" not in false_gone_stack.log.read_text()
