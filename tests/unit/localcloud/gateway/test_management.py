"""`@connections`, through boto3 and byte for byte."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.gateway import Faults, GatewayLimits
from localcloud.gateway.ids import new_id
from localcloud.gateway.quota import AccountQuota
from tests.unit.localcloud.gateway.support import (
    HANDSHAKE,
    Functions,
    at,
    dial,
    http,
    joined,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.gateway import Gateway

# So slow that nothing refills during a test.
SLOW_RATE_PER_S = 0.001


@contextmanager
def management(gateway: Gateway, stage: str = "/dev") -> Iterator[Any]:
    client = boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{gateway.port}{stage}",
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("stage", ["", "/dev"])
async def test_boto3_posts_gets_and_deletes(stage: str) -> None:
    """With and without the stage in its endpoint."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions, user_agent_header="agent") as (client, id_),
    ):
        with management(gateway, stage) as boto:
            await asyncio.to_thread(boto.post_to_connection, ConnectionId=id_, Data="é".encode())
            assert await client.recv() == "é"
            found = await asyncio.to_thread(boto.get_connection, ConnectionId=id_)
            connected_ms = functions.events("connect")[0]["requestContext"]["connectedAt"]
            assert found["ConnectedAt"] == datetime.fromtimestamp(connected_ms / 1000, UTC)
            assert found["LastActiveAt"] >= found["ConnectedAt"]
            assert found["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "agent"}
            await asyncio.to_thread(boto.delete_connection, ConnectionId=id_)
            await client.wait_closed()
            assert client.close_code == 1000


@pytest.mark.parametrize(
    ("connection_id", "data", "error", "status"),
    [
        ("L0SM9cOFvHcCIhw=", b"x", "GoneException", 410),
        ("L0+M9cO/vHcCIhw=", b"x", "GoneException", 410),
        ("not-an-id", b"x", "BadRequestException", 400),
    ],
)
async def test_boto3_understands_the_errors(connection_id: str, data: bytes, error: str, status: int) -> None:
    """Gone and malformed ids raise boto3's exceptions."""
    async with serving(Functions()) as gateway:
        with management(gateway) as boto, pytest.raises(ClientError) as raised:
            await asyncio.to_thread(boto.post_to_connection, ConnectionId=connection_id, Data=data)
    assert raised.value.response["Error"]["Code"] == error
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_closed_or_unknown_connection_is_gone(method: str) -> None:
    """410 with the exception's name and no body."""
    functions = Functions()
    async with serving(functions) as gateway, http(gateway) as sender:
        async with joined(gateway, functions) as (_, id_):
            pass
        await functions.called("disconnect")
        for gone in (id_, new_id()):
            response = await sender.request(method, at(gone))
            assert (response.status, response.headers["x-amzn-errortype"]) == (410, "GoneException")
            assert response.body == b""


@pytest.mark.parametrize("id_", ["x", "a" * 16, "a" * 15 + "==", "%00", "%", "%ED%A0%80", "%FF" * 15 + "="])
async def test_a_malformed_id_is_a_bad_request(id_: str) -> None:
    """400, not 410."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        response = await sender.request("POST", f"/dev/@connections/{id_}", body=b"x")
    status, error, message = response.error
    assert (status, error) == (400, "BadRequestException")
    assert message.startswith("Invalid connectionId")


@pytest.mark.parametrize(
    "path", ["/@connections/{}", "/dev/@connections/{}", "/%40connections/{}", "/dev/%40connections/{}?x=1"]
)
@pytest.mark.parametrize("encoded", [True, False])
async def test_path_may_be_encoded(path: str, encoded: bool) -> None:
    """The id and the @ may be percent-encoded, with or without the stage."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        in_path = "".join(f"%{ord(char):02x}" for char in id_) if encoded else id_
        assert (await sender.request("POST", path.format(in_path), body=b"x")).status == 200
        assert await client.recv() == "x"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/dev"),
        ("POST", "/prod/@connections/L0SM9cOFvHcCIhw="),
        ("POST", "/dev/connections/L0SM9cOFvHcCIhw="),
        ("POST", "/dev/@connections/"),
        ("POST", "/dev/@connections"),
        ("POST", "/dev/@connections/a/L0SM9cOFvHcCIhw="),
        ("PUT", "/dev/@connections/L0SM9cOFvHcCIhw="),
        ("OPTIONS", "/dev/@connections/L0SM9cOFvHcCIhw="),
    ],
)
async def test_all_else_is_not_found(method: str, path: str) -> None:
    """Other paths and methods are 404."""
    async with serving(Functions()) as gateway, http(gateway) as sender:
        assert (await sender.request(method, path)).error == (404, None, "Not Found")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "AWS4-HMAC-SHA256"}]
)
async def test_a_signature_is_required(headers: dict[str, str]) -> None:
    """A request without a SigV4 header is 403 without effect; the signature is not verified."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        for method in ("POST", "GET", "DELETE"):
            response = await sender.request(method, at(id_), body=b"x", headers=headers)
            assert response.error == (
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )
        await sender.request("POST", at(id_), body=b"signed")
        assert await client.recv() == "signed"


async def test_responses_carry_amazons_headers() -> None:
    """A content type and a unique request id, and a length where allowed."""
    functions = Functions()
    async with serving(functions) as gateway, joined(gateway, functions) as (_, id_), http(gateway) as sender:
        responses = [
            await sender.request(method, path)
            for method, path in [
                ("POST", at(id_)),
                ("GET", at(id_)),
                ("GET", "/"),
                ("DELETE", at(id_)),
                ("GET", at(id_)),
            ]
        ]
    assert [response.status for response in responses] == [200, 200, 404, 204, 410]
    assert {response.headers["content-type"] for response in responses} == {"application/json"}
    assert len({response.headers["x-amzn-requestid"] for response in responses}) == 5
    # RFC 9110, 8.6: none on a 204.
    assert ["content-length" in response.headers for response in responses] == [True, True, True, False, True]


@pytest.mark.parametrize("chunked", [True, False])
async def test_128_kb_pass_and_more_is_too_large(chunked: bool) -> None:
    """One byte more is 413, and the connection stays usable."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        for size in (131_072, 131_073):
            if chunked:
                sender.writer.write(
                    f"POST {at(id_)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n"
                    f"Transfer-Encoding: chunked\r\n\r\n{size - 1:x}\r\n".encode()
                    + b"x" * (size - 1)
                    + b"\r\n1\r\nx\r\n0\r\n\r\n"
                )
            else:
                sender.send("POST", at(id_), body=b"x" * size)
        assert (await sender.receive()).status == 200
        assert (await sender.receive()).error == (413, "PayloadTooLargeException", "Message too long")
        assert await client.recv() == "x" * 131_072
        assert (await sender.request("POST", at(id_), body=b"after")).status == 200
        assert await client.recv() == "after"


async def test_a_body_that_is_not_text_is_refused() -> None:
    """400, instead of breaking the client's connection."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        response = await sender.request("POST", at(id_), body=b"\xff")
        assert response.error == (400, "BadRequestException", "Data is not UTF-8 text")
        await sender.request("POST", at(id_), body=b"fine")
        assert await client.recv() == "fine"


async def test_posts_arrive_in_order() -> None:
    """Pipelined posts to one client are delivered and answered in order."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        for number in range(500):
            sender.send("POST", at(id_), body=str(number).encode())
        assert [(await sender.receive()).status for _ in range(500)] == [200] * 500
        assert [await client.recv() for _ in range(500)] == [str(number) for number in range(500)]


async def test_a_client_that_does_not_read_is_limited_alone() -> None:
    """Posts to it get 429, to others 200; later it gets the accepted ones, then more."""
    functions = Functions()
    limits = GatewayLimits(write_buffer_bytes=200_000)
    async with (
        serving(functions, limits=limits) as gateway,
        joined(gateway, functions) as (other, other_id),
        http(gateway) as sender,
        http(gateway) as slow,
    ):
        slow.send("GET", "/", headers=HANDSHAKE)
        await slow.receive()
        slow_id = (await functions.called("connect", 2))["requestContext"]["connectionId"]
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined] # typed as a WriteTransport
        accepted = 0
        # The sockets themselves hold some megabytes.
        for _ in range(1000):
            response = await sender.request("POST", at(slow_id), body=b"x" * 100_000)
            if response.status != 200:
                break
            accepted += 1
        assert response.error == (429, "LimitExceededException", "WebSocket client side buffer is full")
        assert (await sender.request("POST", at(other_id), body=b"x")).status == 200
        assert await other.recv() == "x"
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined] # typed as a WriteTransport
        for _ in range(accepted):
            assert await slow.reader.readexactly(10) == b"\x81\x7f" + (100_000).to_bytes(8, "big")
            assert set(await slow.reader.readexactly(100_000)) == {ord("x")}
        assert (await sender.request("POST", at(slow_id), body=b"again")).status == 200
        assert await slow.reader.readexactly(7) == b"\x81\x05again"


async def test_a_429_may_leave_the_limit_open() -> None:
    """The account's and the client's then look alike."""
    functions = Functions()
    quota = AccountQuota(SLOW_RATE_PER_S, 1000)
    limits = GatewayLimits(write_buffer_bytes=200_000, says_whose_limit=False, account_quota=quota)
    async with serving(functions, limits=limits) as gateway, http(gateway) as sender, http(gateway) as slow:
        slow.send("GET", "/", headers=HANDSHAKE)
        await slow.receive()
        slow_id = (await functions.called("connect", 1))["requestContext"]["connectionId"]
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined] # typed as a WriteTransport
        while (full := await sender.request("POST", at(slow_id), body=b"x" * 100_000)).status == 200:
            pass
        # The account still accepts requests: this one is for a gone connection.
        throttled = await sender.request("POST", at(new_id()))
        assert throttled.status == 410
        while throttled.status == 410:
            throttled = await sender.request("POST", at(new_id()))
    nameless = (429, "LimitExceededException", b'{"message":null}')
    for answer in (full, throttled):
        assert (answer.status, answer.headers["x-amzn-errortype"], answer.body) == nameless


async def test_last_active_moves_with_posts() -> None:
    """GET shows the last activity of the connection."""
    functions = Functions()
    async with serving(functions) as gateway, joined(gateway, functions) as (_, id_), http(gateway) as sender:
        before = json.loads((await sender.request("GET", at(id_))).body)
        await asyncio.sleep(0.02)
        await sender.request("POST", at(id_), body=b"x")
        after = json.loads((await sender.request("GET", at(id_))).body)
    assert before["connectedAt"] == after["connectedAt"]
    assert datetime.fromisoformat(after["lastActiveAt"]) > datetime.fromisoformat(before["lastActiveAt"])


async def outcomes(faults: Faults, posts: int) -> tuple[list[Any], list[str]]:
    """Post so many numbers; return the outcome of each, and the messages the client received."""
    functions = Functions()
    results: list[Any] = []
    async with serving(functions, faults=faults) as gateway, joined(gateway, functions) as (client, id_):
        for number in range(posts):
            async with http(gateway) as sender:
                try:
                    response = await sender.request("POST", at(id_), body=str(number).encode())
                    results.append(response.error if response.body else response.status)
                except (ConnectionResetError, BrokenPipeError):
                    results.append("reset")
        received = [await client.recv() for _ in range(results.count(200))]
    return results, [str(message) for message in received]


async def test_faults_hit_before_delivery_and_repeat_with_their_seed() -> None:
    """Throttles, errors and resets occur in their shares, deliver nothing, and repeat with the seed."""
    faults = Faults(throttle_ratio=0.25, error_ratio=0.25, reset_ratio=0.25, seed=7)
    results, received = await outcomes(faults, 60)
    assert set(map(str, results)) == {
        "200",
        "reset",
        str((429, "LimitExceededException", "Rate exceeded")),
        str((500, "InternalServerErrorException", "Internal server error")),
    }
    assert received == [str(number) for number, result in enumerate(results) if result == 200]
    assert (await outcomes(faults, 60))[0] == results


async def test_faults_leave_other_methods_alone() -> None:
    """Tests can still inspect and close their connections."""
    functions = Functions()
    async with (
        serving(functions, faults=Faults(reset_ratio=1)) as gateway,
        joined(gateway, functions) as (_, id_),
        http(gateway) as sender,
    ):
        assert (await sender.request("GET", at(id_))).status == 200
        assert (await sender.request("DELETE", at(id_))).status == 204


async def test_thousand_ids_are_all_reachable() -> None:
    """Whatever characters a random id has."""
    functions = Functions()
    async with serving(functions) as gateway, http(gateway) as sender:
        for _ in range(30):
            async with dial(gateway) as client:
                id_ = functions.events("connect")[-1]["requestContext"]["connectionId"]
                await sender.request("POST", at(id_), body=id_.encode())
                assert await client.recv() == id_
