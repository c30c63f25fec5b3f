"""Messages whose JSON is larger than a frame: neither client floods the gateway because of them."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from groupcast_client import Client, Message, TooLarge, frames
from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
PAGE_CLIENT = Path(__file__).with_name("page_client.mjs")
# The service accepts this, but API Gateway does not in one frame.
TEXTS = ['"' * 16_384, "\n" * 16_383 + "x", "\x01" * 16_384]
QUIET = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"
# Long enough for many reconnects: the first ones come within half a second each.
STAY_S = 4


async def connects(stack: Stack) -> int:
    """The number of connections that the gateway has accepted so far."""
    async with aiohttp.ClientSession() as session, session.get(stack.requests_url) as response:
        return int((await response.json())["connects"]["accepted"])


async def page_client(stack: Stack, text: str, frame_bytes: int, stay_s: float = STAY_S) -> dict[str, Any]:
    node = Path(sys.executable).with_name("node")
    arguments = [stack.gateway_url, str(uuid.uuid4()), json.dumps(text), str(frame_bytes), str(stay_s)]
    process = await asyncio.create_subprocess_exec(
        node, QUIET, PAGE_CLIENT, *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return dict(json.loads(out))


@pytest.mark.parametrize("text", TEXTS, ids=["quotes", "newlines", "control characters"])
async def test_the_python_client_sends_them_on_one_connection(stack: Stack, text: str) -> None:
    """The frame is sent in fragments, stored, and received unchanged."""
    before = await connects(stack)
    async with Client(stack.gateway_url, name="eve") as client:
        await client.join(str(uuid.uuid4()))
        async with asyncio.timeout(30):
            ack = await client.send(text)
            message: Message = await anext(client.messages())
    assert (message.seq, message.text) == (ack.seq, text)
    assert await connects(stack) - before == 1


@pytest.mark.parametrize("text", TEXTS, ids=["quotes", "newlines", "control characters"])
async def test_the_pages_client_refuses_them_at_once(stack: Stack, text: str) -> None:
    """A browser cannot fragment a message: no frame is sent, and the connection stays open."""
    before = await connects(stack)
    outcome = await page_client(stack, text, 32 * 1024, stay_s=1)
    assert outcome["thrown"]["code"] == "TooLarge"
    assert "32768" in outcome["thrown"]["message"]
    assert outcome["own"] == []
    assert await connects(stack) - before == 1


async def test_the_python_client_does_not_repeat_a_frame_that_closed_its_connection(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the gateway accepts less than the client assumes, only one connection is lost."""
    before = await connects(stack)
    monkeypatch.setattr(frames, "FRAGMENT_BYTES", 128 * 1024)
    async with Client(stack.gateway_url, name="eve") as client:
        await client.join(str(uuid.uuid4()))
        with pytest.raises(TooLarge, match="closed the connection"):
            await client.send(TEXTS[0])
        await asyncio.sleep(STAY_S)
        assert (await client.send("small")).seq == 1
    assert await connects(stack) - before == 2


async def test_the_pages_client_does_not_repeat_a_frame_that_closed_its_connection(stack: Stack) -> None:
    """Like the Python client."""
    before = await connects(stack)
    outcome = await page_client(stack, TEXTS[0], 128 * 1024)
    assert outcome["own"] == ["pending", "failed"]
    assert "closed the connection" in outcome["reason"]
    assert await connects(stack) - before == 2
