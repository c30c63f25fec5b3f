"""The HTTP client against misbehaving servers: each request gets its own response or the right error."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trustme

from groupcast.aws.errors import (
    ConnectError,
    ConnectTimeoutError,
    HttpError,
    PoolTimeoutError,
    ProtocolError,
    ResetError,
    ResponseTimeoutError,
    TlsError,
    TooLargeError,
    TruncatedError,
)
from groupcast.aws.http1 import Response
from groupcast.aws.origin import Origin
from groupcast.aws.pool import Pool, Timeouts
from tests.faults import hostile
from tests.faults.hostile import hostile_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.faults.hostile import Behaviour

# Long timeouts that no test waits for, but a busy machine may need.
PATIENT = Timeouts(connect_s=20.0, response_s=20.0, total_s=40.0)
# For tests of expiring timeouts.
QUICK = Timeouts(connect_s=20.0, response_s=0.3)
STRESS = Timeouts(connect_s=20.0, response_s=2.0, total_s=40.0)
STRESS_SEED = 1
STRESS_POSTS = 2000
STRESS_WINDOW = 32

# Behaviours with a complete response, in any state of the connection afterwards.
ANSWERING: tuple[Behaviour, ...] = (
    hostile.plain,
    hostile.drips,
    hostile.chunks,
    hostile.drips_chunks,
    hostile.interim,
    hostile.says_close,
    hostile.says_close_and_stays,
    hostile.ends_by_closing,
    hostile.closes_after,
    hostile.resets_after,
    hostile.answers_twice,
    hostile.answers_twice_chunked,
    hostile.answers_and_a_half,
)
# Behaviours without one, and their errors.
FAILING: dict[Behaviour, type[HttpError]] = {
    hostile.never_answers: ResponseTimeoutError,
    hostile.never_ends: ResponseTimeoutError,
    hostile.closes: ResetError,
    hostile.resets: ResetError,
    hostile.closes_midway: TruncatedError,
    hostile.closes_in_head: TruncatedError,
    hostile.closes_in_chunk: TruncatedError,
    hostile.resets_midway: TruncatedError,
    hostile.resets_unbounded: TruncatedError,
    hostile.garbage: ProtocolError,
    hostile.switches: ProtocolError,
    hostile.two_lengths: ProtocolError,
    hostile.endless_head: TooLargeError,
    hostile.endless_interim: TooLargeError,
    hostile.endless_body: TooLargeError,
}
# Rare among thousands of posts, to keep the test short.
SLOW = {hostile.drips, hostile.drips_chunks, hostile.never_answers, hostile.never_ends}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def cafile(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext | None:
    return _server_tls(authority, "127.0.0.1") if request.param == "https" else None


def _server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@asynccontextmanager
async def _pool(url: str, cafile: str, *, size: int = 1, timeouts: Timeouts = PATIENT) -> AsyncIterator[Pool]:
    pool = Pool(Origin.of(url), max_connections=size, timeouts=timeouts, cafile=cafile)
    try:
        yield pool
    finally:
        await pool.close()


def _post(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody".encode()


async def _outcome(pool: Pool, path: str) -> Response | HttpError:
    try:
        return await pool.request(_post(path))
    except HttpError as error:
        return error


async def _answers(pool: Pool, path: str) -> bool:
    """Whether a normal request gets its own response, at the second attempt at the latest."""
    outcome = await _outcome(pool, path)
    if isinstance(outcome, ResetError):
        outcome = await _outcome(pool, path)
    return isinstance(outcome, Response) and outcome.body == path.encode()


async def _until(condition: Callable[[], bool]) -> None:
    # Poll: no event signals it. pytest's timeout is the limit.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("behave", ANSWERING, ids=lambda behave: behave.__name__)
async def test_complete_responses_are_understood(
    behave: Behaviour, tls: ssl.SSLContext | None, cafile: str
) -> None:
    """However a response is framed and whatever follows it, nothing leaks into the next one."""
    path = f"/{behave.__name__}/1"
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        outcome = await _outcome(pool, path)
        assert isinstance(outcome, Response), outcome
        assert (outcome.status, outcome.body) == (200, path.encode())
        assert await _answers(pool, "/plain/2")


@pytest.mark.parametrize(("behave", "error"), FAILING.items(), ids=lambda value: value.__name__)
async def test_each_incomplete_response_has_its_error(
    behave: Behaviour, error: type[HttpError], tls: ssl.SSLContext | None, cafile: str
) -> None:
    """The next request succeeds."""
    timeouts = QUICK if error is ResponseTimeoutError else PATIENT
    async with hostile_server(tls) as server, _pool(server.url, cafile, timeouts=timeouts) as pool:
        outcome = await _outcome(pool, f"/{behave.__name__}/1")
        assert type(outcome) is error, outcome
        response = await pool.request(_post("/plain/2"))
        assert (response.status, response.headers) == (200, {b"Content-Length": b"8"})
        assert response.body == b"/plain/2"


async def test_connections_are_reused(tls: ssl.SSLContext | None, cafile: str) -> None:
    """Successive requests use one connection."""
    async with hostile_server(tls) as server, _pool(server.url, cafile, size=4) as pool:
        for number in range(20):
            assert await _answers(pool, f"/plain/{number}")
        assert len(server.peers) == 1


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_connection_closed_while_idle_is_replaced(
    leave: str, tls: ssl.SSLContext | None, cafile: str
) -> None:
    """If the event loop had time to notice, the next request does not even fail."""
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        assert await _answers(pool, "/plain/1")
        if leave == "close":
            server.peers[0].close()
        else:
            server.peers[0].reset()
        await _until(lambda: not pool._connections)
        assert not pool._idle
        assert isinstance(await _outcome(pool, "/plain/2"), Response)
        assert len(server.peers) == 2


async def test_a_connection_closed_while_frozen_is_a_reset(tls: ssl.SSLContext | None, cafile: str) -> None:
    """If it had no time, one request fails with ResetError, and the next one succeeds."""
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        assert await _answers(pool, "/plain/1")
        server.peers[0].shut()
        assert type(await _outcome(pool, "/plain/2")) is ResetError
        assert isinstance(await _outcome(pool, "/plain/2"), Response)


# asyncio's own TLS reports both ends alike, but API Gateway always sends a length.
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_tls_needs_a_closing_alert(authority: trustme.CA, cafile: str) -> None:
    """Over TLS, a body that ends with the connection is complete only after a closing alert."""
    tls = _server_tls(authority, "127.0.0.1")
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        assert type(await _outcome(pool, "/vanishes_unbounded/1")) is TruncatedError


async def test_an_unrequested_response_drops_the_connection(tls: ssl.SSLContext | None, cafile: str) -> None:
    """Bytes on an idle connection are never taken for the next request's response."""
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        assert await _answers(pool, "/plain/1")
        server.peers[0].write(hostile.response("/somebody-else"))
        await _until(lambda: not pool._connections)
        assert await _answers(pool, "/plain/2")
        assert len(server.peers) == 2


async def test_a_blocked_loop_reads_before_it_times_out(tls: ssl.SSLContext | None, cafile: str) -> None:
    """A response that arrived while the environment was frozen past the deadline still counts."""
    async with hostile_server(tls) as server, _pool(server.url, cafile, timeouts=QUICK) as pool:
        request = asyncio.ensure_future(_outcome(pool, "/waits_for_word/1"))
        await _until(lambda: len(server.peers) == 1)
        await server.peers[0].asked.wait()
        server.peers[0].word.set()
        time.sleep(QUICK.response_s * 2)  # noqa: ASYNC251 - the loop standing still is the fault
        assert isinstance(await request, Response)


async def test_a_closed_port_is_a_connect_error(cafile: str) -> None:
    """For all waiting requests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with _pool(f"http://127.0.0.1:{port}", cafile, size=2) as pool:
        outcomes = await asyncio.gather(*(_outcome(pool, f"/plain/{n}") for n in range(5)))
        assert [type(outcome) for outcome in outcomes] == [ConnectError] * 5


async def test_an_unknown_host_is_a_connect_error(cafile: str) -> None:
    """The host name does not exist (RFC 6761)."""
    async with _pool("http://groupcast.invalid", cafile) as pool:
        assert type(await _outcome(pool, "/plain/1")) is ConnectError


async def test_a_server_without_tls_handshake_times_out(cafile: str) -> None:
    """A server that accepts and never starts TLS is a ConnectTimeoutError."""
    quick = Timeouts(connect_s=0.2)
    async with hostile_server() as server, _pool(server.https_url, cafile, timeouts=quick) as pool:
        assert type(await _outcome(pool, "/plain/1")) is ConnectTimeoutError


async def test_a_certificate_of_another_host_is_a_tls_error(authority: trustme.CA, cafile: str) -> None:
    """The request is never sent."""
    tls = _server_tls(authority, "example.com")
    async with hostile_server(tls) as server, _pool(server.url, cafile) as pool:
        outcome = await _outcome(pool, "/plain/1")
        assert type(outcome) is TlsError
        assert "127.0.0.1" in str(outcome)


async def test_an_untrusted_certificate_is_a_tls_error(authority: trustme.CA, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    tls = _server_tls(authority, "127.0.0.1")
    async with hostile_server(tls) as server, _pool(server.url, str(tmp_path / "other.pem")) as pool:
        assert type(await _outcome(pool, "/plain/1")) is TlsError


async def test_plain_http_instead_of_tls_is_a_tls_error(cafile: str) -> None:
    greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    async with hostile_server(greeting=greeting) as server, _pool(server.https_url, cafile) as pool:
        assert type(await _outcome(pool, "/plain/1")) is TlsError


async def test_a_connection_closed_at_once_keeps_its_place_in_the_pool_free(cafile: str) -> None:
    """The request fails, but the pool loses no place."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, _pool(f"http://127.0.0.1:{port}", cafile) as pool:
        for _ in range(20):
            assert type(await _outcome(pool, "/plain/1")) in {ConnectError, ResetError}


@pytest.mark.parametrize("connect_s", [0.0005, 0.001, 0.002, 0.004, 0.008])
async def test_a_cancelled_connection_attempt_keeps_its_place_free(
    connect_s: float, tls: ssl.SSLContext | None, cafile: str
) -> None:
    """At whatever moment it is cut short."""
    short = Timeouts(connect_s=connect_s, response_s=20.0, total_s=20.0)
    async with hostile_server(tls) as server, _pool(server.url, cafile, timeouts=short) as pool:
        for _ in range(20):
            outcome = await _outcome(pool, "/says_close/1")
            assert isinstance(outcome, Response | ConnectTimeoutError), outcome
        await _until(lambda: not pool._connections)


async def test_waiting_for_a_connection_times_out(cafile: str) -> None:
    """With a PoolTimeoutError."""
    slow = Timeouts(response_s=2.0, total_s=0.3)
    async with hostile_server() as server, _pool(server.url, cafile, timeouts=slow) as pool:
        outcomes = await asyncio.gather(*(_outcome(pool, "/never_answers/1") for _ in range(3)))
        kinds = Counter(type(outcome) for outcome in outcomes)
        # Timing decides whether the second one gets a connection before its own timeout.
        assert kinds[ResponseTimeoutError] + kinds[PoolTimeoutError] == 3
        assert kinds[PoolTimeoutError]


async def test_every_post_ends_once_among_all_faults(tls: ssl.SSLContext | None, cafile: str) -> None:
    """With its own response or its own fault.

    Only a ResetError may hit an innocent post: the server left a kept-alive connection at that moment.
    """
    rng = random.Random(STRESS_SEED)
    behaviours = [*ANSWERING, *FAILING]
    weights = [1 if behave in SLOW else 20 for behave in behaviours]
    chosen = rng.choices(behaviours, weights, k=STRESS_POSTS)
    paths = [f"/{behave.__name__}/{number}" for number, behave in enumerate(chosen)]
    async with (
        hostile_server(tls) as server,
        _pool(server.url, cafile, size=STRESS_WINDOW, timeouts=STRESS) as pool,
    ):
        outcomes = await _post_all(pool, paths)
    assert Counter(path for path, _ in outcomes) == Counter(paths)
    expected = {behave.__name__: error for behave, error in FAILING.items()}
    for path, outcome in outcomes:
        if isinstance(outcome, Response):
            assert outcome.body == path.encode()
        elif type(outcome) is not ResetError:
            assert type(outcome) is expected.get(path.split("/")[1]), path
    assert {type(outcome) for _, outcome in outcomes} == {Response, *FAILING.values()}


async def _post_all(pool: Pool, paths: list[str]) -> list[tuple[str, Response | HttpError]]:
    """Keep a window of posts under way with callbacks, like the fan-out."""
    outcomes: list[tuple[str, Response | HttpError]] = []
    remaining = iter(paths)
    finished = asyncio.Event()

    def start_next() -> None:
        for path in remaining:
            pool.send(_post(path), partial(done, path))
            return

    def done(path: str, outcome: Response | HttpError) -> None:
        outcomes.append((path, outcome))
        start_next()
        if len(outcomes) == len(paths):
            finished.set()

    for _ in range(STRESS_WINDOW):
        start_next()
    await finished.wait()
    # Wait for a possible second callback.
    await asyncio.sleep(0.2)
    return outcomes
