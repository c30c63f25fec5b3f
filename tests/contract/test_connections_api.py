"""`@connections` through plain boto3, as another backend would use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.conftest import Target
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]


async def connection_id_of(peer: Peer) -> str:
    return str((await peer.ask({"action": "ping"}, "pong"))["connectionId"])


async def call(operation: Callable[..., Any], **arguments: Any) -> Any:
    return await asyncio.to_thread(operation, **arguments)


async def failure(operation: Callable[..., Any], **arguments: Any) -> tuple[int, str, dict[str, str]]:
    """Return status, error code and headers of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        await call(operation, **arguments)
    metadata = caught.value.response["ResponseMetadata"]
    return metadata["HTTPStatusCode"], caught.value.response["Error"]["Code"], metadata["HTTPHeaders"]


async def test_a_post_arrives_byte_for_byte(connect: Connect, target: Target) -> None:
    """A post becomes one text message at the client."""
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    data = json.dumps({"type": "news", "text": "안녕하세요!"}, ensure_ascii=False)
    await call(target.management().post_to_connection, ConnectionId=connection_id, Data=data.encode())
    assert await peer.expect("news") == json.loads(data)


async def test_an_unknown_id_is_gone(target: Target) -> None:
    """410 with the header that SDKs read the exception's name from, for each operation."""
    management = target.management()
    for operation, arguments in (
        (management.post_to_connection, {"Data": b"{}"}),
        (management.get_connection, {}),
        (management.delete_connection, {}),
    ):
        status, code, headers = await failure(operation, ConnectionId="L0SM9cOFvHcCIhw=", **arguments)
        assert (status, code) == (410, "GoneException")
        assert headers["x-amzn-errortype"].startswith("GoneException")


async def test_a_closed_connection_is_gone(connect: Connect, target: Target) -> None:
    """As soon as it is closed."""
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    await peer.socket.close()
    status, code, _ = await failure(
        target.management().post_to_connection, ConnectionId=connection_id, Data=b"{}"
    )
    assert (status, code) == (410, "GoneException")


async def test_more_than_128_kb_is_too_large(connect: Connect, target: Target) -> None:
    """128 KB arrive; one byte more is 413."""
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    post = target.management().post_to_connection
    status, code, _ = await failure(post, ConnectionId=connection_id, Data=b"x" * (128 * 1024 + 1))
    assert (status, code) == (413, "PayloadTooLargeException")
    data = json.dumps({"type": "large", "text": ""})
    data = data.replace('""', '"' + "x" * (128 * 1024 - len(data)) + '"')
    await call(post, ConnectionId=connection_id, Data=data.encode())
    assert len((await peer.expect("large"))["text"]) > 130_000


async def test_a_malformed_id_is_a_bad_request(target: Target) -> None:
    """400, not 410: a typing error must not make a sender forget a connection."""
    status, code, _ = await failure(
        target.management().post_to_connection, ConnectionId="not an id", Data=b"{}"
    )
    assert (status, code) == (400, "BadRequestException")


async def test_get_describes_a_connection(connect: Connect, target: Target) -> None:
    """Connect time, last activity, source address."""
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    found = await call(target.management().get_connection, ConnectionId=connection_id)
    assert found["ConnectedAt"] <= found["LastActiveAt"]
    assert found["Identity"]["SourceIp"]


async def test_delete_closes_a_connection(connect: Connect, target: Target) -> None:
    """The client gets a close frame, and the id is gone."""
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    answer = await call(target.management().delete_connection, ConnectionId=connection_id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    await peer.closed_with()
    status, _, _ = await failure(target.management().get_connection, ConnectionId=connection_id)
    assert status == 410


async def test_posts_are_whole_text_messages_in_order(connect: Connect, target: Target) -> None:
    peer = await connect("ann")
    connection_id = await connection_id_of(peer)
    post = target.management().post_to_connection
    for number in range(20):
        data = json.dumps({"type": "count", "number": number}).encode()
        await call(post, ConnectionId=connection_id, Data=data)
    assert [(await peer.expect("count"))["number"] for _ in range(20)] == list(range(20))
