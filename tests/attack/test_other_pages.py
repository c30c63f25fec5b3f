"""Foreign web pages in the browser of a developer who runs `groupcast up`, and other machines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.attack.handshake import ANSWER_TIMEOUT_S, shake_hands
from tests.conftest import Stack

pytestmark = pytest.mark.stack

SERVERS = ["page_url", "management_url", "requests_url", "sqs_url", "dynamodb_url"]
EVIL = "evil.example"
FOREIGN_ORIGINS = [f"https://{EVIL}", f"http://localhost.{EVIL}:3000", "null"]
LOCAL_ORIGINS = ["http://localhost:5173", "http://127.0.0.1:3000", "https://[::1]"]
LIST_TABLES = {
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request",
}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-amz-target"}


async def ask(
    url: str, method: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, host: str = ""
) -> tuple[int, str]:
    """Send a request by hand; return the status and the whole response. `host` replaces the URL's Host."""
    parts = urlsplit(url)
    assert parts.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
    try:
        lines = [
            f"{method} {parts.path or '/'}{parts.query and '?'}{parts.query} HTTP/1.1",
            f"Host: {host or parts.netloc}",
            "Connection: close",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = (await reader.read()).decode()
    finally:
        writer.transport.abort()
    return int(answer.split()[1]), answer


@pytest.fixture(scope="module")
def tables(cognito_stack: Stack) -> set[str]:
    """The names of all tables, which a malicious page would look for."""
    dynamodb: Any = boto3.client("dynamodb", **cognito_stack.aws(cognito_stack.dynamodb_url))
    return set(dynamodb.list_tables()["TableNames"])


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", [EVIL, f"127.0.0.1.{EVIL}"])
async def test_a_rebound_name_reaches_nothing(
    cognito_stack: Stack, tables: set[str], server: str, name: str
) -> None:
    """After DNS rebinding, a page has the same origin as our servers, but its Host header differs."""
    url = getattr(cognito_stack, server)
    host = f"{name}:{urlsplit(url).port}"
    for method, body in (("GET", b""), ("POST", b"{}")):
        status, answer = await ask(url, method, LIST_TABLES, body, host=host)
        assert status in {403, 404}, answer
        assert "gatewayUrl" not in answer
        assert "posts" not in answer
        assert not any(table in answer for table in tables)


async def test_a_rebound_name_gets_no_connection(cognito_stack: Stack) -> None:
    """The handshake ends before any function runs."""
    target = f"/?token={cognito_stack.token('eve')}"
    answer = await shake_hands(cognito_stack.gateway_url, target, host=f"{EVIL}:3001")
    assert (answer.status, "it must be one of" in answer.answer) == (403, True)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_a_foreign_page_gets_no_connection(cognito_stack: Stack, origin: str) -> None:
    """Browsers apply no same-origin policy to WebSockets, so the server must refuse."""
    target = f"/?token={cognito_stack.token('eve')}"
    answer = await shake_hands(cognito_stack.gateway_url, target, [("Origin", origin)])
    assert (answer.status, "--allow-origin" in answer.answer) == (403, True)


@pytest.mark.parametrize("origin", LOCAL_ORIGINS)
async def test_a_local_page_gets_a_connection(cognito_stack: Stack, origin: str) -> None:
    """Our own page, and one that a developer serves on another port."""
    target = f"/?token={cognito_stack.token('eve')}"
    answer = await shake_hands(cognito_stack.gateway_url, target, [("Origin", origin)])
    assert answer.status == 101


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("server", ["page_url", "management_url", "requests_url", "sqs_url"])
async def test_no_local_server_answers_a_foreign_page(cognito_stack: Stack, server: str, origin: str) -> None:
    """Requests without preflight, preflights, and the requests after them are refused."""
    url = getattr(cognito_stack, server)
    for method, headers in (("GET", {}), ("POST", {}), ("OPTIONS", PREFLIGHT), ("POST", LIST_TABLES)):
        status, answer = await ask(url, method, {"Origin": origin, **headers})
        assert (status, "--allow-origin" in answer) == (403, True), answer
        assert "access-control-allow-origin" not in answer.lower()


@pytest.mark.parametrize("origin", [*FOREIGN_ORIGINS, *LOCAL_ORIGINS])
async def test_no_page_may_query_the_database(cognito_stack: Stack, tables: set[str], origin: str) -> None:
    """After this preflight, browsers send no X-Amz-Target; requests without it get an error."""
    url = cognito_stack.dynamodb_url
    _, preflight = await ask(url, "OPTIONS", {"Origin": origin, **PREFLIGHT})
    assert "access-control-allow-origin" not in preflight.lower()
    status, answer = await ask(url, "POST", {"Origin": origin, "Content-Type": "text/plain"}, b"{}")
    assert status == 400
    assert not any(table in answer for table in tables)


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://127.0.0.1:3000"}, {"Origin": f"https://{EVIL}"}, {"Origin": "null"}]
)
async def test_nobody_resets_moto(cognito_stack: Stack, headers: dict[str, str]) -> None:
    """Users and queues survive: signing in still works."""
    for path in ("/moto-api/reset", "/moto-api/data.json", "/moto-api/recorder/replay-recording"):
        assert (await ask(f"{cognito_stack.sqs_url}{path}", "POST", headers))[0] == 403
    assert cognito_stack.token("ann")


async def test_the_page_signs_in_from_another_local_port(cognito_stack: Stack) -> None:
    """moto answers the preflight and names the page's origin."""
    headers = {"Origin": "http://localhost:5173", **PREFLIGHT}
    status, answer = await ask(cognito_stack.cognito_url, "OPTIONS", headers)
    assert status == 200
    assert "access-control-allow-origin: http://localhost:5173" in answer.lower()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of the machine")
@pytest.mark.parametrize("server", [*SERVERS, "gateway_url"])
async def test_nothing_listens_beyond_loopback(cognito_stack: Stack, server: str) -> None:
    """A server on every interface would also answer on 127.0.0.2; ours listen on 127.0.0.1 only."""
    port = urlsplit(getattr(cognito_stack, server)).port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", port)


@pytest.fixture
async def sender(cognito_stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(cognito_stack.gateway_port))
    yield reader, writer
    writer.transport.abort()


async def test_trailers_without_end_are_refused(
    sender: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Of 200 MB of trailers the gateway reads a bounded part, answers 431, and keeps nothing."""
    reader, writer = sender
    head = "POST /dev/@connections/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(f"{head}2\r\nhi\r\n0\r\n".encode())
    trailers, sent = b"X: " + b"x" * 65_000 + b"\r\n", 0
    answering = asyncio.create_task(reader.read())
    while not answering.done() and sent < 200_000_000:
        try:
            writer.write(trailers)
            await asyncio.wait_for(writer.drain(), ANSWER_TIMEOUT_S)
        except ConnectionError:
            break
        sent += len(trailers)
    assert sent < 20_000_000
    # Bytes in flight when the gateway closes may reset the connection before the sender reads the answer.
    with suppress(ConnectionError):
        assert (await answering).startswith(b"HTTP/1.1 431 ")
