"""The users of a process: retries, failed joins, pings, leaving."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic_ns
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from loadtest.generate import users as crowds
from loadtest.generate.users import VirtualUsers
from loadtest.generate.wire import Dialer
from loadtest.plan.schedule import PlannedConnection, PlannedMessage, message_prefix
from loadtest.results.ledger import Ledger

JOINED = json.dumps({"type": "joined", "groupId": "g", "lastSeq": 0, "messages": [], "complete": True})
PATIENCE_S = 10


class Host:
    """Refuses so many handshakes, answers joins as told (or not at all), and keeps received frames."""

    def __init__(self, *, refusals: int = 0, answer: str | None = JOINED, hang_up: bool = False) -> None:
        self.refusals = refusals
        self.answer = answer
        self.hang_up = hang_up
        self.handshakes = 0
        self.actions: list[str] = []
        self.news = asyncio.Event()

    def admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        self.handshakes += 1
        if self.handshakes <= self.refusals:
            return connection.respond(429, "slow down")
        return None

    async def talk(self, connection: ServerConnection) -> None:
        async for text in connection:
            self.actions.append(json.loads(text)["action"])
            self.news.set()
            if self.hang_up:
                await connection.close()
            elif self.answer is not None:
                await connection.send(self.answer)

    async def until(self, count: int, action: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.actions.count(action) < count:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def crowd_at(host: Host, ledger: Ledger | None = None) -> AsyncIterator[VirtualUsers]:
    ledger = ledger or Ledger(1)
    async with serve(host.talk, "127.0.0.1", 0, process_request=host.admit) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        dialer = await Dialer.resolve(f"ws://127.0.0.1:{port}", None)
        prefix = message_prefix("0123456789ab")
        crowd = VirtualUsers(["g"], dialer, prefix, ledger, lambda _frame, _stamp_ns: None)
        yield crowd
        crowd.close()


def users(count: int) -> list[PlannedConnection]:
    return [PlannedConnection(user, initial=True, connect_ns=0, leave_ns=None) for user in range(count)]


async def test_a_refused_user_tries_again_and_its_wait_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two refusals cost two pauses, which connect_ms includes; then the user joins."""
    monkeypatch.setattr(crowds, "RETRY_AFTER_S", 0.1)
    host = Host(refusals=2)
    async with crowd_at(host) as crowd:
        await crowd.connect_all(users(1), monotonic_ns())
        assert list(crowd.online) == [0]
        assert crowd.arrivals().joined == 1
        assert crowd.arrivals().failures == {}
    assert host.handshakes == 3
    assert crowd.connect.min_ms is not None
    assert crowd.connect.min_ms >= 190


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ({"refusals": 99}, "the server refused the handshake with 429"),
        ({"answer": '{"type":"error","code":"RateLimited"}'}, "joinGroup was answered with RateLimited"),
        ({"answer": '{"message":"Internal server error"}'}, "answered with Internal server error"),
        ({"answer": None}, "joinGroup was not answered within 0 s"),
        ({"hang_up": True}, "the server closed the connection before it joined"),
    ],
    ids=["handshake", "error", "gateway error", "silence", "hang up"],
)
async def test_users_who_cannot_join_are_counted_by_reason(
    monkeypatch: pytest.MonkeyPatch, host: dict[str, Any], reason: str
) -> None:
    """After the last attempt the reason is kept in the server's words, and nobody is online."""
    monkeypatch.setattr(crowds, "RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(crowds, "JOIN_TIMEOUT_S", 0.2)
    async with crowd_at(Host(**host)) as crowd:
        await crowd.connect_all(users(2), monotonic_ns())
    ((found, count),) = crowd.failures.items()
    assert reason in found
    assert count == 2
    assert crowd.online == {}
    assert crowd.dropped == 0
    assert crowd.connect.count == 0


async def test_every_connection_pings_periodically(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per period, so that none is closed as idle."""
    monkeypatch.setattr(crowds, "PING_EVERY_S", 0.2)
    host = Host()
    async with crowd_at(host) as crowd:
        await crowd.connect_all(users(3), monotonic_ns())
        pinging = asyncio.create_task(crowd.keep_alive())
        await host.until(6, "ping")
        pinging.cancel()
    assert host.actions.count("joinGroup") == 3


async def test_a_leaver_stays_connected_during_the_grace() -> None:
    """It stops being a member at once, and disconnects after the grace."""
    host = Host()
    async with crowd_at(host) as crowd:
        await crowd.connect_all(users(2), monotonic_ns())
        leaver = crowd.online[1]
        assert leaver.member is not None
        origin_ns = monotonic_ns()
        await crowd.leave_all(
            [PlannedConnection(1, initial=True, connect_ns=0, leave_ns=1_000_000)], origin_ns, grace_s=0.2
        )
        assert list(crowd.online) == [0]
        assert origin_ns + 1_000_000 <= leaver.member.until_ns <= monotonic_ns()
        assert leaver.send(b'{"action":"ping"}')
        await asyncio.sleep(0.4)
        assert not leaver.send(b'{"action":"ping"}')
    assert crowd.dropped == 0


async def test_a_late_leaver_still_expects_the_messages_it_has_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine users leave late; messages received after their time are expected."""
    monkeypatch.setattr(crowds, "JOIN_SETTLE_S", 0.0)
    ledger = Ledger(1)
    async with crowd_at(Host(), ledger) as crowd:
        await crowd.connect_all(users(1), monotonic_ns())
        leaver = crowd.online[0].member
        assert leaver is not None
        start_ns = monotonic_ns()
        ledger.begin([PlannedMessage(0, 0, 0, 0)], start_ns, 0)
        ledger.receive(leaver, 0, 1, start_ns + 1)
        # The user should have left a second earlier.
        life = PlannedConnection(0, initial=True, connect_ns=0, leave_ns=0)
        await crowd.leave_all([life], start_ns - 1_000_000_000, grace_s=0.0)
    (row,) = ledger.rows(monotonic_ns())
    assert (row.eligible, row.received) == (1, 1)
