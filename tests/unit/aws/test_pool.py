"""The pool over real sockets; tests/faults has broken servers."""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from groupcast.aws.errors import ConnectError, HttpError, PoolClosedError, PoolFullError, ResetError
from groupcast.aws.http1 import Response
from groupcast.aws.origin import Origin
from groupcast.aws.pool import Pool, Timeouts
from tests.faults.hostile import hostile_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from groupcast.aws.http1 import Connection
    from tests.faults.hostile import HostileServer


@asynccontextmanager
async def _served(
    size: int, timeouts: Timeouts | None = None, max_waiting: int = 100
) -> AsyncIterator[tuple[HostileServer, Pool]]:
    async with hostile_server() as server:
        pool = Pool(Origin.of(server.url), max_connections=size, timeouts=timeouts, max_waiting=max_waiting)
        try:
            yield server, pool
        finally:
            await pool.close()


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_no_more_connections_than_needed() -> None:
    """Connections are opened on demand and reused."""
    async with _served(8) as (server, pool):
        for count in (1, 3, 2):
            await asyncio.gather(*(pool.request(_get(f"/plain/{n}")) for n in range(count)))
        assert len(server.peers) == 3


async def test_a_cold_pool_opens_few_connections_at_a_time() -> None:
    """Open ones serve waiting requests, so a fast server gets few connections and a slow one the maximum."""
    async with hostile_server() as server:
        pool = Pool(Origin.of(server.url), max_connections=20, connects_at_once=2)
        fast = [asyncio.create_task(pool.request(_get(f"/plain/{n}"))) for n in range(40)]
        await asyncio.sleep(0)
        assert len(pool._opening) == 2
        await asyncio.gather(*fast)
        assert len(server.peers) < 20
        # They answer nothing and stay open.
        late = [asyncio.create_task(pool.request(_get(f"/says_nothing/{n}"))) for n in range(40)]
        await asyncio.sleep(0.2)
        assert len(server.peers) == 20
        await pool.close()
        failed = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(one, PoolClosedError) for one in failed)


async def test_failed_connection_attempts_are_replaced() -> None:
    """Waiting requests get connections even after more failures than concurrent attempts."""
    async with hostile_server() as server:
        pool = Pool(Origin.of(server.url), max_connections=8, connects_at_once=2)
        connect, attempts = pool._connect, itertools.count(1)

        async def flaky() -> Connection:
            if 2 <= next(attempts) <= 3:
                await asyncio.sleep(0.02)
                raise OSError("refused")
            return await connect()

        pool._connect = flaky  # type: ignore[method-assign]
        # Keep the first connection busy.
        silent = asyncio.create_task(pool.request(_get("/says_nothing/1")))
        waiting = [pool.request(_get(f"/plain/{number}")) for number in range(7)]
        async with asyncio.timeout(2):
            assert len(await asyncio.gather(*waiting)) == 7
        await pool.close()
        await asyncio.gather(silent, return_exceptions=True)


async def test_no_more_connections_than_allowed() -> None:
    """Requests beyond max_connections wait, and every request gets its own response."""
    async with _served(4) as (server, pool):
        paths = [f"/plain/{n}" for n in range(50)]
        responses = await asyncio.gather(*(pool.request(_get(path)) for path in paths))
        assert [response.body.decode() for response in responses] == paths
        assert len(server.peers) == 4


async def test_waiting_requests_are_limited() -> None:
    """One more than max_waiting raises at once instead of calling back."""
    async with _served(1, max_waiting=2) as (_, pool):
        results: list[Response | HttpError] = []
        pool.send(_get("/plain/1"), results.append)
        pool.send(_get("/plain/2"), results.append)
        with pytest.raises(PoolFullError):
            pool.send(_get("/plain/3"), results.append)
        assert results == []


async def test_old_connections_are_not_used() -> None:
    """An idle connection older than idle_s is replaced before the server closes it."""
    async with _served(1, Timeouts(idle_s=0.0)) as (server, pool):
        await pool.request(_get("/plain/1"))
        await asyncio.sleep(0.01)
        await pool.request(_get("/plain/2"))
        assert len(server.peers) == 2


async def test_a_lost_connection_is_replaced() -> None:
    """For the requests that wait."""
    async with _served(1) as (server, pool):
        paths = ["/resets/1", "/plain/2", "/closes/3", "/plain/4"]
        results = await asyncio.gather(*(pool.request(_get(path)) for path in paths), return_exceptions=True)
        assert [isinstance(result, Response) for result in results] == [False, True, False, True]
        # Each fault costs its connection.
        assert len(server.peers) == 3


async def test_close_ends_everything() -> None:
    """Running and waiting requests end with PoolClosedError, sockets are closed, nothing more is sent."""
    async with _served(1) as (server, pool):
        requests = [asyncio.ensure_future(pool.request(_get(f"/never_answers/{n}"))) for n in range(3)]
        while not server.peers:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)
        await pool.close()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(result) for result in results] == [PoolClosedError] * 3
        with pytest.raises(PoolClosedError):
            await pool.request(_get("/plain/1"))


async def test_close_before_connected() -> None:
    """Closing while connections are being opened leaves none behind."""
    async with _served(4) as (_, pool):
        requests = [asyncio.ensure_future(pool.request(_get(f"/plain/{n}"))) for n in range(4)]
        await asyncio.sleep(0)
        await pool.close()
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(result) for result in results] == [PoolClosedError] * 4


async def test_a_cancelled_requests_response_is_dropped() -> None:
    """The connection serves the next request."""
    async with _served(1) as (server, pool):
        request = asyncio.ensure_future(pool.request(_get("/waits_for_word/1")))
        while not server.peers:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)
        await server.peers[0].asked.wait()
        request.cancel()
        server.peers[0].word.set()
        response = await pool.request(_get("/plain/2"))
        assert response.body == b"/plain/2"
        assert len(server.peers) == 1


async def test_nagles_algorithm_is_off() -> None:
    """On every connection."""
    async with _served(1) as (_, pool):
        await pool.request(_get("/plain/1"))
        [connection] = pool._connections
        found = connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_no_timer_while_idle() -> None:
    """Between requests the event loop has no timers: an environment may freeze at any time."""
    async with _served(1) as (_, pool):
        await pool.request(_get("/plain/1"))
        while pool._sweeper is not None:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)
        await pool.request(_get("/plain/2"))
        assert pool._sweeper is not None


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Make the event loop resolve any name to these addresses, one list per lookup."""
    remaining = iter(answers)

    async def getaddrinfo(_: str, port: int, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, 0, 0, "", (address, port)) for address in next(remaining)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)


@asynccontextmanager
async def _named(server: HostileServer) -> AsyncIterator[Pool]:
    pool = Pool(Origin("http", "api.test", server.port), max_connections=1)
    try:
        yield pool
    finally:
        await pool.close()


async def test_another_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of a name's addresses refuses, the next one serves the same request."""
    _resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    async with hostile_server() as server, _named(server) as pool:
        assert (await pool.request(_get("/plain/1"))).status == 200


async def test_dead_addresses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no address answers, the next request resolves the name again."""
    _resolve_to(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    async with hostile_server() as server, _named(server) as pool:
        with pytest.raises(ConnectError):
            await pool.request(_get("/plain/1"))
        assert (await pool.request(_get("/plain/2"))).status == 200


async def test_waiting_for_a_connection_counts_towards_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts = Timeouts(response_s=20.0, total_s=20.0)
    async with _served(1, timeouts) as (server, pool):
        first = asyncio.ensure_future(pool.request(_get("/waits_for_word/1")))
        second = asyncio.ensure_future(pool.request(_get("/waits_for_word/2")))
        await asyncio.sleep(0)
        latest = asyncio.get_running_loop().time() + timeouts.total_s
        while not server.peers:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        server.peers[0].word.set()
        await first
        [connection] = pool._connections
        assert connection.busy
        assert connection.deadline <= latest
        await second


class FakeTransport:
    """Loses its connection at the first write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, _: bytes) -> None:
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def abort(self) -> None:
        pass


async def test_a_connection_lost_at_its_handover_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real = loop.create_connection

    async def create_connection(factory: Callable[[], Connection], *_: Any, **__: Any) -> Any:
        connection = factory()
        connection.connection_made(cast("asyncio.Transport", FakeTransport(connection)))
        connection.eof_received()
        connection.connection_lost(None)
        return None, connection

    async with _served(1) as (_, pool):
        monkeypatch.setattr(loop, "create_connection", create_connection, raising=False)
        with pytest.raises(ConnectError, match="as soon as"):
            await pool.request(_get("/plain/1"))
        monkeypatch.setattr(loop, "create_connection", real, raising=False)
        assert (await pool.request(_get("/plain/2"))).status == 200


async def test_a_connection_lost_on_its_first_request_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waiting request does not hang."""
    loop = asyncio.get_running_loop()
    real = loop.create_connection

    async def create_connection(factory: Callable[[], Connection], *_: Any, **__: Any) -> Any:
        monkeypatch.setattr(loop, "create_connection", real, raising=False)
        connection = factory()
        connection.connection_made(cast("asyncio.Transport", FakeTransport(connection)))
        return None, connection

    async with _served(1) as (_, pool):
        monkeypatch.setattr(loop, "create_connection", create_connection, raising=False)
        requests = [pool.request(_get(f"/plain/{n}")) for n in range(2)]
        first, second = await asyncio.gather(*requests, return_exceptions=True)
        assert isinstance(first, ResetError)
        assert isinstance(second, Response)
