"""Connecting: what is echoed, what is refused."""

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
    """Of those offered the answer names groupcast.v1 alone, and never the token."""
    offered = [f"bearer.{target.token or 'not-for-the-answer'}", "groupcast.v1"]
    async with Peer.connect(target.url, subprotocols=offered) as peer:
        assert peer.socket.subprotocol == "groupcast.v1"


async def test_without_an_offer_there_is_no_subprotocol(connect: Connect) -> None:
    """wscat and plain clients ask for none and get none."""
    peer = await connect("ann")
    assert peer.socket.subprotocol is None
    assert "Sec-WebSocket-Protocol" not in peer.socket.response.headers


async def test_a_foreign_subprotocol_is_not_echoed(connect: Connect) -> None:
    """What the function does not name is not in the answer."""
    peer = await connect("ann", subprotocols=["chat.v9"])
    assert peer.socket.subprotocol is None


async def test_another_stage_is_refused(target: Target) -> None:
    """A path that is no stage is 403, before any function runs."""
    root = target.url.removesuffix("/")
    with pytest.raises(InvalidStatus) as caught:
        async with Peer.connect(f"{root}/no-such-stage"):
            pass
    assert caught.value.response.status_code == 403
