"""--account-quota and --timeout: the chat on a small account and with a short function timeout."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running_stack
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as response:  # noqa: S310 - a URL of the stack's own
        return json.load(response)


async def test_connects_frames_and_posts_share_the_accounts_quota(tmp_path: Path) -> None:
    """The quota allows a connect, two frames and a post; the gateway itself refuses the third frame."""
    with running_stack(tmp_path / "functions.log", "--account-quota", "0.001,4") as running:
        async with Peer.connect(running.gateway_url) as peer:
            await peer.join("group1")
            await peer.say("hi")
            await peer.messages(1)
            await peer.send({"action": "ping", "id": "mine"})
            complaint = json.loads(await peer.socket.recv())
        counts = await asyncio.to_thread(get, running.requests_url)
    assert complaint.keys() == {"message", "connectionId", "requestId"}
    assert counts == {
        "posts": {"accepted": 1, "refused": 0},
        "otherCalls": {"accepted": 0, "refused": 0},
        "frames": {"accepted": 2, "refused": 1},
        "connects": {"accepted": 1, "refused": 0},
    }
