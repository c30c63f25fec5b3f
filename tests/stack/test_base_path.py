"""The whole stack under a base path, as behind a custom domain with one."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from groupcast_client import Client
from tests.conftest import ROOT, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]

PAGE_CLIENT = ROOT / "tests" / "attack" / "page_client.mjs"
FRAME_BYTES = 32 * 1024


async def test_both_clients_chat(tmp_path: Path) -> None:
    """The Python client receives the page client's message; functions post to both under the base path."""
    with running_stack(tmp_path / "functions.log", "--base-path", "chat") as stack:
        assert stack.gateway_url.endswith(f":{stack.gateway_port}/chat")
        assert stack.management_url.endswith("/chat")
        async with Client(stack.gateway_url, name="ann") as ann:
            await ann.join("group")
            node = [str(ROOT / ".venv/bin/node"), str(PAGE_CLIENT), stack.gateway_url, "group"]
            eve = asyncio.create_task(
                asyncio.to_thread(
                    subprocess.check_output, [*node, '"hello"', str(FRAME_BYTES), "2"], text=True
                )
            )
            async with asyncio.timeout(20):
                message = await anext(ann.messages())
            assert (message.sender, message.text) == ("eve", "hello")
            assert json.loads(await eve)["own"][-1] == "sent"
