"""The JavaScript client in several groups, on real WebSockets."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path

import pytest

from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]
SCRIPT = Path(__file__).with_name("groups_client.mjs")
QUIET = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"


async def test_two_clients_in_three_groups_lose_and_double_nothing(stack: Stack) -> None:
    """One of them is cut off, rejoins all with one frame, and leaves one group at the end."""
    groups = [f"group-{uuid.uuid4()}" for _ in range(3)]
    node = Path(sys.executable).with_name("node")
    process = await asyncio.create_subprocess_exec(
        node, QUIET, SCRIPT, stack.gateway_url, *groups, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(40):
        out, _ = await process.communicate()
    assert process.returncode == 0
    said = json.loads(out)
    everything = sorted([f"ann {turn}" for turn in (1, 2, 3)] + [f"bob {turn}" for turn in (1, 2, 3, 4)])
    for name, received in said["received"].items():
        for group in groups:
            left = name == "ann" and group == groups[2]
            assert [seq for seq, _ in received[group]] == list(range(1, 7 if left else 8))
            texts = sorted(text for _, text in received[group])
            assert texts == [text for text in everything if not left or text != "bob 4"]
    assert said["lastSeqs"] == [7, 7, 7]
    assert said["connections"] == 2
    joins = [frame for frame in said["frames"] if frame["action"] == "joinGroup"]
    assert [[one["groupId"], one["since"]] for one in joins[0]["groups"]] == [[group, 4] for group in groups]
    assert len(joins) == 1
