"""DynamoDB's and SQS's JSON protocol: requests, retries, and reports of failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from groupcast.aws import json_api
from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.errors import HttpError, ServiceError
from groupcast.aws.json_api import ATTEMPTS_MAX, DYNAMODB, AwsJsonClient
from groupcast.aws.sigv4 import Credentials
from groupcast.errors import GroupcastError

DENIED = b'{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not authorized"}'
THROTTLED = (
    b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"x"}'
)


class Provider(CredentialsProvider):
    """Fixed credentials."""

    def __init__(self) -> None:
        pass

    async def ready(self) -> None:
        pass

    def current(self) -> Credentials:
        return Credentials("A", "S", None)


class Service:
    """Gives `answers` one after the other, repeating the last one; without any it hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, bytes]] = []
        self.failures: list[tuple[str, GroupcastError]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                if not self.answers:
                    break
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()


def answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@asynccontextmanager
async def calling(service: Service) -> AsyncIterator[AwsJsonClient]:
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    api = AwsJsonClient(
        DYNAMODB,
        f"http://127.0.0.1:{port}",
        "eu-west-1",
        Provider(),
        max_connections=2,
        on_failure=lambda operation, error: service.failures.append((operation, error)),
    )
    try:
        yield api
    finally:
        await api.close()
        server.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real but shorter waits."""
    monkeypatch.setattr(json_api, "RETRY_BASE_S", 0.0005)


async def test_an_operation_is_a_signed_post() -> None:
    """With its name in X-Amz-Target, its input as JSON, and the output unchanged."""
    service = Service(answer(200, b'{"Count":3}'))
    async with calling(service) as api:
        assert await api.call("Query", {"TableName": "t"}) == {"Count": 3}
    ((head, body),) = service.requests
    assert "X-Amz-Target: DynamoDB_20120810.Query" in head
    assert "AWS4-HMAC-SHA256 Credential=A/" in head
    assert (body, service.failures) == (b'{"TableName":"t"}', [])


@pytest.mark.parametrize(
    "passing", [answer(400, THROTTLED), answer(500, b"{}"), answer(503, b""), answer(429, b"")]
)
async def test_passing_failures_are_retried(passing: bytes) -> None:
    """Without a log line if it succeeds in the end."""
    service = Service(passing, passing, answer(200, b"{}"))
    async with calling(service) as api:
        assert await api.call("Query", {}) == {}
    assert (len(service.requests), service.failures) == (3, [])


@pytest.mark.parametrize(
    ("given", "code", "tries"),
    [
        (answer(400, DENIED), "AccessDeniedException", 1),
        (answer(400, b"<html>"), "", 1),
        (answer(400, THROTTLED), "ProvisionedThroughputExceededException", ATTEMPTS_MAX),
    ],
)
async def test_a_failure_is_logged_once_and_raised(given: bytes, code: str, tries: int) -> None:
    """With the operation and the service's error code, so that a missing permission shows in the log."""
    service = Service(given)
    async with calling(service) as api:
        with pytest.raises(ServiceError) as caught:
            await api.call("BatchWriteItem", {})
    assert (caught.value.code, len(service.requests)) == (code, tries)
    assert service.failures == [("BatchWriteItem", caught.value)]


async def test_no_answer_is_logged_once_and_raised() -> None:
    """The server hangs up on every request."""
    service = Service()
    async with calling(service) as api:
        with pytest.raises(HttpError) as caught:
            await api.call("Query", {})
    assert len(service.requests) == ATTEMPTS_MAX
    assert service.failures == [("Query", caught.value)]
