"""Connecting: the echoed subprotocol, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.contract.conftest import Target
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]


async def test_our_subprotocol_is_echoed(target: Target) -> None:
    """Of the offered ones the response names only groupcast.v1, never the token."""
    offered = [f"bearer.{target.token or 'not-for-the-answer'}", "groupcast.v1"]
    async with Peer.connect(target.url, subprotocols=offered) as peer:
        assert peer.socket.subprotocol == "groupcast.v1"


async def test_without_an_offer_there_is_no_subprotocol(connect: Connect) -> None:
    """wscat and plain clients offer none and get none."""
    peer = await connect("ann")
    assert peer.socket.subprotocol is None
    assert "Sec-WebSocket-Protocol" not in peer.socket.response.headers


async def test_a_foreign_subprotocol_is_not_echoed(connect: Connect) -> None:
    peer = await connect("ann", subprotocols=["chat.v9"])
    assert peer.socket.subprotocol is None


async def test_another_stage_is_refused(target: Target) -> None:
    """An unknown stage in the path is 403 before any function runs."""
    root = target.url.removesuffix("/")
    with pytest.raises(InvalidStatus) as caught:
        async with Peer.connect(f"{root}/no-such-stage"):
            pass
    assert caught.value.response.status_code == 403
