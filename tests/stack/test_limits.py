"""API Gateway's idle timeout and connection lifetime, shortened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.conftest import Stack, running_stack
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
IDLE_S = 1.0
LIFETIME_S = 4.0


@pytest.fixture(scope="module")
def short_limits_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    log = tmp_path_factory.mktemp("short_limits_stack") / "functions.log"
    with running_stack(log, "--idle-timeout-s", str(IDLE_S), "--lifetime-s", str(LIFETIME_S)) as running:
        yield running


async def test_an_idle_connection_is_closed(short_limits_stack: Stack) -> None:
    """With 1001, after 10 minutes on AWS."""
    async with Peer.connect(short_limits_stack.gateway_url, ping_interval=None) as peer:
        assert await peer.closed_with() == 1001


async def test_a_busy_connection_is_closed_at_the_end_of_its_life(short_limits_stack: Stack) -> None:
    """After 2 hours on AWS; until then its messages are answered."""
    loop = asyncio.get_running_loop()
    async with Peer.connect(short_limits_stack.gateway_url, ping_interval=None) as peer:
        started = loop.time()
        pongs = 0
        while peer.socket.close_code is None and loop.time() - started < 5 * LIFETIME_S:
            try:
                await peer.ask({"action": "ping"}, "pong")
            except Exception:  # noqa: BLE001 - the close may come between any two calls
                break
            pongs += 1
            await asyncio.sleep(IDLE_S / 4)
        assert await peer.closed_with() == 1001
        # Several idle timeouts long, so its age closed it.
        assert loop.time() - started > 2 * IDLE_S
        assert pongs > 4
