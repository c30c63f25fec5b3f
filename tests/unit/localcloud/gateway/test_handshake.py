"""Connecting: the functions' events and the client's answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from localcloud.gateway import GatewayLimits
from tests.unit.localcloud.gateway.support import (
    GUARDED_ROUTES,
    HANDSHAKE,
    OK,
    ROUTES,
    Functions,
    at,
    dial,
    failure,
    handshake,
    http,
    joined,
    serving,
    shape,
)

EVENTS = Path(__file__).parents[3] / "events"

POLICY = {
    "principalId": "ann",
    "policyDocument": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}],
    },
    "context": {"name": "Ann", "admin": True},
}
DENIAL = {
    "principalId": "ann",
    "policyDocument": {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]},
}


@pytest.mark.parametrize("path", ["", "/", "/dev", "/dev/", "/dev?x=1", "?x=1"])
async def test_stage_is_optional(path: str) -> None:
    """The path may have the stage and a query."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway, path):
        event = await functions.called("connect")
    assert event.get("queryStringParameters") == ({"x": "1"} if "?" in path else None)


async def test_another_path_is_forbidden() -> None:
    """An unknown stage is 403, and no function runs."""
    functions = Functions()
    async with serving(functions) as gateway:
        refusal = await handshake(gateway, "/prod")
    assert refusal.error == (403, None, "Forbidden")
    assert functions.calls == []


async def test_connect_function_gets_the_recorded_shape() -> None:
    """The CONNECT event of a real handshake has the recorded event's fields and types."""
    functions = Functions(authorize=POLICY)
    async with (
        serving(functions, *GUARDED_ROUTES) as gateway,
        dial(
            gateway, "/dev?name=Ann", user_agent_header="test", origin="http://localhost", subprotocols=["a"]
        ),
    ):
        event = await functions.called("connect")
    recorded = json.loads((EVENTS / "connect.json").read_text())
    recorded["requestContext"]["authorizer"] = {"name": "Ann", "admin": "true", "principalId": "ann"}
    assert shape(event) == shape(recorded)
    assert event["requestContext"]["authorizer"] == recorded["requestContext"]["authorizer"]
    assert event["requestContext"]["identity"] == {"userAgent": "test", "sourceIp": "127.0.0.1"}
    assert event["requestContext"]["domainName"] == event["headers"]["Host"]
    assert event["requestContext"]["apiId"] == "localcloud"


async def test_ids_are_the_connections_own() -> None:
    """Two connections have different ids, each the same in all of its events."""
    functions = Functions()
    async with serving(functions) as gateway:
        for _ in range(2):
            async with dial(gateway) as client:
                await client.send("x")
                await client.send("x")
        await functions.called("disconnect", 2)
    ids = [event["requestContext"]["connectionId"] for _, event in functions.calls]
    assert len(set(ids)) == 2
    assert {ids.count(id_) for id_ in ids} == {4}


async def test_handshake_waits_for_the_function() -> None:
    """Until `$connect` returns, the client is not connected and posts get 410; afterwards 200."""
    gate = asyncio.Event()

    async def connect(_event: Any) -> Any:
        await gate.wait()
        return OK

    functions = Functions(connect=connect)
    async with serving(functions) as gateway, http(gateway) as sender:
        dialling = asyncio.ensure_future(dial(gateway).__aenter__())
        event = await functions.called("connect")
        path = at(event["requestContext"]["connectionId"])
        assert (await sender.request("POST", path, body=b"early")).error == (410, "GoneException", None)
        assert (await sender.request("GET", path)).status == 410
        assert not dialling.done()
        gate.set()
        client = await dialling
        assert (await sender.request("POST", path, body=b"late")).status == 200
        assert await client.recv() == "late"
        await client.close()


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"statusCode": 403}, 403),
        ({"statusCode": 302}, 302),
        ({"statusCode": 599}, 599),
        ({"statusCode": 500, "body": "x"}, 500),
        ({"statusCode": "200"}, 502),
        ({}, 502),
        (None, 502),
        (failure("connect"), 502),
    ],
)
async def test_connect_function_can_refuse(result: Any, status: int) -> None:
    """A status outside 2xx is the handshake's; a failure or an invalid answer is 502."""
    functions = Functions(connect=result)
    async with serving(functions) as gateway:
        with pytest.raises(InvalidStatus) as refusal:
            await dial(gateway).__aenter__()
    response = refusal.value.response
    assert response.status_code == status
    assert (
        json.loads(response.body)["connectionId"] == functions.calls[0][1]["requestContext"]["connectionId"]
    )
    assert functions.events("disconnect") == []


async def test_slow_connect_function_is_a_timeout() -> None:
    """504 after the integration timeout."""
    functions = Functions(connect=lambda _event: asyncio.sleep(30))
    async with serving(functions, limits=GatewayLimits(integration_timeout_s=0.05)) as gateway:
        refusal = await handshake(gateway)
    assert refusal.error == (504, None, "Endpoint request timed out")


async def test_connect_and_disconnect_routes_are_optional() -> None:
    """Without them everyone is admitted."""
    functions = Functions(default={"body": "hello"})
    async with serving(functions, ROUTES[2]) as gateway, dial(gateway) as client:
        await client.send("x")
        assert await client.recv() == "hello"
    assert [name for name, _ in functions.calls] == ["default"]


async def test_subprotocol_is_the_functions_choice() -> None:
    """A subprotocol is accepted only if the function returns it."""
    functions = Functions(connect={"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "b"}})
    async with serving(functions) as gateway:
        async with dial(gateway, subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "b"
        functions.functions["connect"] = OK
        async with dial(gateway, subprotocols=["a", "b"]) as client:
            assert client.subprotocol is None
    assert functions.events("connect")[0]["headers"]["Sec-WebSocket-Protocol"] == "a, b"


async def test_compression_is_not_offered() -> None:
    """API Gateway does not compress, so the extension is declined."""
    functions = Functions()
    async with serving(functions) as gateway, dial(gateway, compression="deflate") as client:
        assert client.protocol.extensions == []


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (DENIAL, 403, "Forbidden"),
        (failure("authorize", "Unauthorized"), 401, "Unauthorized"),
        (failure("authorize", "unauthorized"), 500, "Internal server error"),
        (failure("authorize"), 500, "Internal server error"),
        ({"isAuthorized": True}, 500, "Internal server error"),
        (None, 500, "Internal server error"),
        (lambda _event: asyncio.sleep(30), 500, "Internal server error"),
    ],
)
async def test_authorizer_can_refuse(answer: Any, status: int, message: str) -> None:
    """Deny is 403, the error "Unauthorized" 401, any other answer without an Allow 500."""
    functions = Functions(authorize=answer)
    limits = GatewayLimits(integration_timeout_s=0.05)
    async with serving(functions, *GUARDED_ROUTES, limits=limits) as gateway:
        refusal = await handshake(gateway)
    assert refusal.error == (status, None, message)
    assert functions.events("connect") == []


async def test_authorizer_is_asked_first_and_shows_in_every_event() -> None:
    """Its context is in the CONNECT, MESSAGE and DISCONNECT events."""
    functions = Functions(authorize=POLICY)
    async with serving(functions, *GUARDED_ROUTES) as gateway:
        async with dial(gateway, "/dev?token=t") as client:
            await client.send("x")
        await functions.called("disconnect")
    (_, asked), *rest = functions.calls
    assert asked["type"] == "REQUEST"
    assert asked["methodArn"] == "arn:aws:execute-api:eu-central-1:123456789012:localcloud/dev/$connect"
    assert asked["queryStringParameters"] == {"token": "t"}
    assert asked["headers"]["Upgrade"] == "websocket"
    assert [event["requestContext"]["authorizer"] for _, event in rest] == 3 * [
        {"name": "Ann", "admin": "true", "principalId": "ann"}
    ]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Upgrade": "h2c"}, 404),
        ({"Connection": "keep-alive"}, 404),
    ],
)
async def test_broken_handshakes_reach_no_function(change: dict[str, str], status: int) -> None:
    """They are answered as HTTP."""
    functions = Functions()
    async with serving(functions) as gateway:
        assert (await handshake(gateway, headers=HANDSHAKE | change)).status == status
    assert functions.calls == []


async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    """The first message may be sent before the answer."""
    functions = Functions()
    frame = b"\x81\x82\x00\x00\x00\x00hi"
    async with serving(functions) as gateway, http(gateway) as client:
        client.send("GET", "/dev", headers=HANDSHAKE)
        client.writer.write(frame + frame)
        assert (await client.receive()).status == 101
        await functions.called("default", 2)
    assert [event["body"] for event in functions.events("default")] == ["hi", "hi"]


async def test_a_client_lost_while_connecting_is_disconnected() -> None:
    """`$disconnect` runs if it is gone when `$connect` returns, so that no item stays."""
    gate = asyncio.Event()

    async def connect(_event: Any) -> Any:
        await gate.wait()
        return OK

    functions = Functions(connect=connect)
    async with serving(functions) as gateway:
        async with http(gateway) as client:
            client.send("GET", "/dev", headers=HANDSHAKE)
            await functions.called("connect")
            client.writer.transport.abort()
        gate.set()
        event = await functions.called("disconnect")
    assert event["requestContext"]["disconnectStatusCode"] == 1006


async def test_joined_helper_gives_the_connections_id() -> None:
    """Functions and senders use the same id."""
    functions = Functions()
    async with (
        serving(functions) as gateway,
        joined(gateway, functions) as (client, id_),
        http(gateway) as sender,
    ):
        assert (await sender.request("POST", at(id_), body=b"hello")).status == 200
        assert await client.recv() == "hello"
