"""Posting to `@connections`: the requests, and the outcome of each answer."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

import botocore.auth
import botocore.credentials
import pytest
from botocore.awsrequest import AWSRequest

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.errors import NoCredentialsError
from groupcast.aws.management import MAX_MESSAGE_CHARS, ManagementClient, Outcome, PostResult, classify
from groupcast.aws.pool import MAX_WAITING
from groupcast.aws.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ID = "L0SM9cOFvHcCIhw="
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Api:
    """Records requests (head, body) and answers each with `answer`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.answer = OK
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Provider(CredentialsProvider):
    """Credentials that the test changes, and the refused ones."""

    def __init__(self) -> None:
        self.credentials = Credentials("A", "S", "T")
        self.were_refused: list[Credentials] = []

    async def ready(self) -> None:
        pass

    def current(self) -> Credentials:
        return self.credentials

    def refused(self, credentials: Credentials) -> None:
        self.were_refused.append(credentials)


class Stage:
    """A running API and its client."""

    def __init__(self, api: Api, client: ManagementClient, provider: Provider, clock: Clock) -> None:
        self.api, self.client, self.provider, self.clock = api, client, provider, clock


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    api, clock, provider = Api(), Clock(), Provider()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    client = ManagementClient(
        f"http://127.0.0.1:{api.port}/dev", "us-east-1", provider, max_connections=4, clock=clock
    )
    try:
        yield Stage(api, client, provider, clock)
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


async def post(client: ManagementClient, connection_id: str, data: bytes) -> PostResult:
    return await (await client.batch(data)).post(connection_id)


def _answer(status: str, *, error_type: str = "", body: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nx-amzn-ErrorType: {error_type}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def test_a_post_has_a_body_and_a_delete_has_none() -> None:
    """Both go to the connection's path."""
    async with _stage() as stage:
        posted = await post(stage.client, ID, b"hello")
        deleted = await stage.client.delete(ID)
        assert posted == deleted == PostResult(Outcome.ACCEPTED, 200)
        (posting, body), (delete, nothing) = stage.api.requests
        assert posting.startswith("POST /dev/@connections/L0SM9cOFvHcCIhw%3D HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{stage.api.port}\r\n" in posting
        assert delete.startswith("DELETE /dev/@connections/L0SM9cOFvHcCIhw%3D HTTP/1.1\r\n")
        assert (body, nothing) == (b"hello", b"")


async def test_a_batch_posts_one_payload_to_many() -> None:
    """Each connection gets it once, with callbacks that name the connection."""
    async with _stage() as stage:
        batch = await stage.client.batch(b"hello")
        results: list[tuple[str, PostResult]] = []
        finished = asyncio.Event()

        def on_result(connection_id: str, result: PostResult) -> None:
            results.append((connection_id, result))
            if len(results) == 20:
                finished.set()

        for number in range(20):
            batch.send(f"id{number}=", on_result)
        assert results == []
        await finished.wait()
        assert dict(results) == {f"id{n}=": PostResult(Outcome.ACCEPTED, 200) for n in range(20)}
        assert len(stage.api.requests) == 20


async def test_a_batch_follows_time_and_credentials() -> None:
    """Posts are signed with the current second and the current credentials."""
    async with _stage() as stage:
        batch = await stage.client.batch(b"hello")
        await batch.post(ID)
        stage.provider.credentials = Credentials("B", "S2", "U")
        stage.clock.now += 0.5
        await batch.post(ID)
        stage.clock.now += 0.5
        await batch.post(ID)
        heads = [head for head, _ in stage.api.requests]
        assert ["Credential=A/" in head for head in heads] == [True, True, False]
        assert ["X-Amz-Security-Token: T" in head for head in heads] == [True, True, False]
        assert ["X-Amz-Date: 20270115T080000Z" in head for head in heads] == [True, True, False]
        assert "Credential=B/" in heads[2]
        assert "X-Amz-Date: 20270115T080001Z" in heads[2]


async def test_a_malformed_id_is_refused() -> None:
    """An unusable id is an outcome, not an exception in the middle of a batch."""
    async with _stage() as stage:
        result = await post(stage.client, "..", b"hello")
        assert (result.outcome, result.error_type) == (Outcome.REFUSED, "InvalidConnectionId")
        assert stage.api.requests == []


async def test_without_credentials_each_post_fails_in_passing() -> None:
    """The posts of a batch and a delete end as results, and go out once there are credentials."""
    async with _stage() as stage:
        without = CredentialsProvider(environ={}, load=_no_credentials)
        stage.client.credentials = without
        batch = await stage.client.batch(b"hello")
        expected = (Outcome.RETRYABLE, 0, "NoCredentialsError", "no credentials are loaded")
        assert await batch.post(ID) == await stage.client.delete(ID) == expected
        assert stage.api.requests == []
        stage.client.credentials = stage.provider
        assert (await batch.post(ID)).outcome is Outcome.ACCEPTED


async def test_posts_beyond_the_pools_room_fail_in_passing() -> None:
    """Each has one result, later than `send`; the others are posted."""
    async with _stage() as stage:
        batch = await stage.client.batch(b"hello")
        results: list[PostResult] = []
        finished = asyncio.Event()

        def on_result(_: str, result: PostResult) -> None:
            results.append(result)
            if len(results) == MAX_WAITING + 3:
                finished.set()

        for number in range(MAX_WAITING + 3):
            batch.send(f"id{number}=", on_result)
        assert results == []
        await finished.wait()
        failed = [result for result in results if result.outcome is not Outcome.ACCEPTED]
        assert [(one.outcome, one.reason) for one in failed] == [(Outcome.RETRYABLE, "0 PoolFullError")] * 3


def _no_credentials() -> Credentials:
    raise NoCredentialsError("as told")


async def test_errors_keep_their_type_and_text() -> None:
    """The text distinguishes a slow client from a throttled account."""
    async with _stage() as stage:
        for text, outcome in (("client side buffer is full", Outcome.FULL), ("Too Many", Outcome.THROTTLED)):
            body = f'{{"message": "{text}"}}'
            stage.api.answer = _answer("429 X", error_type="LimitExceededException:http://x/", body=body)
            assert await post(stage.client, ID, b"") == PostResult(
                outcome, 429, "LimitExceededException", text
            )
        stage.api.answer = _answer("410 Gone", error_type="GoneException")
        assert await post(stage.client, ID, b"") == PostResult(Outcome.GONE, 410, "GoneException", "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"Message": "big M"}', "big M"),
        ('{"message": null, "connectionId": "x"}', ""),
        ("[1]", "[1]"),
        ("<html>oops", "<html>oops"),
        ("x" * 2000, "x" * MAX_MESSAGE_CHARS),
    ],
)
async def test_any_error_body_gives_a_message(body: str, message: str) -> None:
    """The beginning of the body is kept."""
    async with _stage() as stage:
        stage.api.answer = _answer("500 X", body=body)
        assert await post(stage.client, ID, b"") == PostResult(Outcome.RETRYABLE, 500, "", message)


@pytest.mark.parametrize("error_type", ["ExpiredTokenException", "InvalidSignatureException"])
async def test_refused_credentials_are_reported(error_type: str) -> None:
    """An expired token is retryable, and the provider learns of the refused credentials."""
    async with _stage() as stage:
        stage.api.answer = _answer("403 Forbidden", error_type=error_type)
        result = await post(stage.client, ID, b"")
        assert result.outcome is Outcome.RETRYABLE
        assert stage.provider.were_refused == [stage.provider.credentials]


async def test_no_response_is_retryable() -> None:
    """Without a listening server, the outcome is RETRYABLE and names the error."""
    async with _stage() as stage:
        port = stage.api.port
    client = ManagementClient(f"http://127.0.0.1:{port}", "us-east-1", Provider(), max_connections=1)
    result = await post(client, ID, b"")
    await client.close()
    assert (result.outcome, result.status, result.error_type) == (Outcome.RETRYABLE, 0, "ConnectError")


@pytest.mark.parametrize(
    ("status", "error_type", "outcome"),
    [
        (200, "", Outcome.ACCEPTED),
        (204, "", Outcome.ACCEPTED),
        (302, "", Outcome.REFUSED),
        (400, "BadRequestException", Outcome.REFUSED),
        (400, "ThrottlingException", Outcome.THROTTLED),
        (403, "ForbiddenException", Outcome.REFUSED),
        (403, "AccessDeniedException", Outcome.REFUSED),
        (403, "ExpiredTokenException", Outcome.RETRYABLE),
        (403, "InvalidSignatureException", Outcome.RETRYABLE),
        (403, "RequestExpired", Outcome.RETRYABLE),
        (404, "", Outcome.REFUSED),
        (408, "", Outcome.RETRYABLE),
        (410, "GoneException", Outcome.GONE),
        (413, "PayloadTooLargeException", Outcome.REFUSED),
        (429, "LimitExceededException", Outcome.THROTTLED),
        (429, "", Outcome.THROTTLED),
        (500, "", Outcome.RETRYABLE),
        (503, "", Outcome.RETRYABLE),
    ],
)
def test_each_answer_has_its_outcome(status: int, error_type: str, outcome: Outcome) -> None:
    """All documented answers, and others that AWS sends."""
    assert classify(status, error_type) is outcome


# The rest of AWS's sentence.
REQUESTS = "requests per unit of time or the WebSocket client side buffer is full"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", Outcome.THROTTLED),
        ("Too Many Requests", Outcome.THROTTLED),
        ("WebSocket client side buffer is full", Outcome.FULL),
        (f"The client is sending more than the allowed number of {REQUESTS}.", Outcome.THROTTLED),
    ],
)
def test_only_a_text_naming_just_the_buffer_is_about_the_client(text: str, outcome: Outcome) -> None:
    """AWS's documented sentence leaves it open, and other statuses don't count."""
    assert classify(429, "LimitExceededException", text) is outcome
    assert classify(413, "PayloadTooLargeException", text) is Outcome.REFUSED


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("", "/@connections/x"),
        ("/", "/@connections/x"),
        ("/dev/", "/dev/@connections/x"),
        ("/v1$-_.+!*'()", "/v1$-_.+!*'()/@connections/x"),
    ],
)
async def test_an_endpoint_may_end_with_a_slash(endpoint: str, path: str) -> None:
    """Or have no stage."""
    async with _stage() as stage:
        url = f"http://127.0.0.1:{stage.api.port}{endpoint}"
        client = ManagementClient(url, "us-east-1", Provider(), max_connections=1)
        await post(client, "x", b"")
        await client.close()
        assert stage.api.requests[0][0].split()[1] == path


@pytest.mark.parametrize("base_path", ["", "/dev", "/team", "/v1$-_.+!*'()", "/a%20b"])
@pytest.mark.parametrize("connection_id", [ID, "a+b/c==", "é ~@'%2F"])
async def test_requests_are_signed_for_their_path_on_the_wire(base_path: str, connection_id: str) -> None:
    """The server signs the received request like botocore and gets the same signature."""
    async with _stage() as stage:
        origin = f"http://127.0.0.1:{stage.api.port}"
        client = ManagementClient(origin + base_path, "us-east-1", stage.provider, max_connections=1)
        await post(client, connection_id, b"hello")
        await client.close()
        ((head, body),) = stage.api.requests
        method, path, _ = head.partition("\r\n")[0].split(" ")
        assert path.startswith(f"{base_path}/@connections/")
        sent = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        credentials = botocore.credentials.Credentials("A", "S", "T")
        again = AWSRequest(method, origin + path, data=body)
        signed_at = dt.datetime.strptime(sent["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        with patch.object(botocore.auth, "get_current_datetime", return_value=signed_at):
            botocore.auth.SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(again)
        assert sent["Authorization"] == again.headers["Authorization"]


@pytest.mark.parametrize(
    "url",
    [
        *("ws://h/dev", "http://h/a//b", "http://h/../b", "http://h/a?b", "http://h/a#b"),
        *("http://h/a b", "http://h/é", "http://h/a%2", 'http://h/"'),
    ],
)
async def test_endpoints_must_be_plain(url: str) -> None:
    """An invalid endpoint URL is refused when the client is created."""
    with pytest.raises(ValueError, match="URL"):
        ManagementClient(url, "us-east-1", Provider(), max_connections=1)
