"""Messages: the selected function, the reply, and concurrency."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.gateway import GatewayLimits
from tests.unit.localcloud.gateway.support import (
    OK,
    ROUTES,
    Functions,
    counter,
    dial,
    failure,
    joined,
    serving,
    shape,
)

EVENTS = Path(__file__).parents[3] / "events"

SEND = '{"action": "sendMessage", "message": "hi"}'


async def test_message_function_gets_the_recorded_shape() -> None:
    """The MESSAGE event of a real frame has the recorded event's fields and types, and the frame's text."""
    functions = Functions()
    async with serving(functions) as gateway, joined(gateway, functions) as (client, id_):
        await client.send(SEND)
        event = await functions.called("send")
    recorded = json.loads((EVENTS / "message.json").read_text())
    # There is no authorizer on this route.
    del recorded["requestContext"]["authorizer"]
    assert shape(event) == shape(recorded)
    assert event["body"] == SEND
    context = event["requestContext"]
    connected = functions.events("connect")[0]["requestContext"]
    assert context["connectionId"] == id_
    assert context["connectedAt"] == connected["connectedAt"]
    assert context["requestTimeEpoch"] >= context["connectedAt"]
    assert context["requestId"] != connected["requestId"]


@pytest.mark.parametrize(
    ("body", "function"),
    [
        (SEND, "send"),
        ('{"action": "note"}', "note"),
        ('{"action": "nothing"}', "default"),
        ("hello", "default"),
        ("", "default"),
        ("[" * 100_000, "default"),
        ('{"action": "sendMessage", "message": "\\ud800"}', "send"),
    ],
    ids=["known", "one-way", "unknown", "not JSON", "empty", "deep", "escaped surrogate"],
)
async def test_action_chooses_the_function(body: str, function: str) -> None:
    """`$request.body.action` selects the function; unknown actions go to `$default`, unchanged."""
    functions = Functions()
    # In several frames: 100,000 brackets exceed one.
    frames = [body[start : start + 30_000] for start in range(0, max(len(body), 1), 30_000)]
    async with serving(functions) as gateway, dial(gateway) as client:
        await client.send(frames if len(frames) > 1 else body)
        event = await functions.called(function)
    assert event["body"] == body
    assert [name for name, _ in functions.calls if name not in {"connect", "disconnect"}] == [function]


async def test_no_route_is_forbidden() -> None:
    """Without a route and `$default`, the client gets an error with the ids to ask about."""
    functions = Functions()
    async with serving(functions, *ROUTES[:2]) as gateway, joined(gateway, functions) as (client, id_):
        await client.send(SEND)
        complaint = json.loads(await client.recv())
    assert complaint.keys() == {"message", "connectionId", "requestId"}
    assert complaint["message"] == "Forbidden"
    assert complaint["connectionId"] == id_


async def test_a_reply_goes_back_from_routes_that_respond() -> None:
    """The returned body is sent as text; other routes and empty bodies send nothing."""
    functions = Functions(
        send={"statusCode": 200, "body": "é"}, note={"statusCode": 200, "body": "unseen"}, default=OK
    )
    async with serving(functions) as gateway, dial(gateway) as client:
        for body in ('{"action": "note"}', "default", SEND):
            await client.send(body)
            # One after the other, so that the only reply must be the last one's.
            await functions.called({"default": "default", SEND: "send"}.get(body, "note"))
        assert await client.recv() == "é"


async def complained(functions: Functions, body: str) -> bool:
    """Send a message; return whether its function's failure gave exactly one error frame."""
    async with serving(functions) as gateway, joined(gateway, functions) as (client, id_):
        await client.send(body)
        complaint: dict[str, str] = json.loads(await client.recv())
        await client.send("x")
        assert await client.recv() == "still here"
    request_id = functions.calls[1][1]["requestContext"]["requestId"]
    return complaint == {"message": "Internal server error", "connectionId": id_, "requestId": request_id}


@pytest.mark.parametrize(
    "result",
    [failure("send"), None, "text", {"statusCode": 200, "body": {"a": 1}}, {"body": "\ud800"}],
    ids=["raises", "none", "text", "body object", "surrogate"],
)
@pytest.mark.parametrize("action", ["sendMessage", "note"])
async def test_failures_are_an_internal_server_error(action: str, result: Any) -> None:
    """An exception or an invalid answer gives the client an error frame and keeps the connection open.

    On routes that respond and on those that do not.
    """
    functions = Functions(send=result, note=result, default={"body": "still here"})
    assert await complained(functions, json.dumps({"action": action}))


async def test_a_reply_over_128_kb_is_an_internal_server_error() -> None:
    functions = Functions(send={"body": "x" * 131_073}, default={"body": "still here"})
    assert await complained(functions, SEND)


async def test_slow_functions_time_out() -> None:
    """The client gets an error frame after the integration timeout."""
    functions = Functions(send=lambda _event: asyncio.sleep(30))
    limits = GatewayLimits(integration_timeout_s=0.05)
    async with serving(functions, limits=limits) as gateway, dial(gateway) as client:
        await client.send(SEND)
        assert json.loads(await client.recv())["message"] == "Endpoint request timed out"


async def test_messages_of_a_connection_run_at_the_same_time() -> None:
    """Replies come as soon as they are ready."""
    first_may_end = asyncio.Event()

    async def send(event: Any) -> Any:
        if "first" in event["body"]:
            await first_may_end.wait()
        return {"body": json.loads(event["body"])["message"]}

    functions = Functions(send=send)
    async with serving(functions) as gateway, dial(gateway) as client:
        for message in ("first", "second"):
            await client.send(json.dumps({"action": "sendMessage", "message": message}))
        assert await client.recv() == "second"
        first_may_end.set()
        assert await client.recv() == "first"


async def test_pending_messages_are_bounded_and_none_is_lost() -> None:
    """Over the limit, messages wait in the gateway, then in the client; all are answered."""
    running, most = 0, 0
    gate = asyncio.Event()

    async def send(event: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return {"body": json.loads(event["body"])["n"]}

    functions = Functions(send=send)
    limits = GatewayLimits(pending_messages=3)
    total = 1000
    async with serving(functions, limits=limits) as gateway, dial(gateway, max_queue=None) as client:

        async def flood() -> None:
            # 30 MB, more than the sockets' buffers.
            for number in range(total):
                padding = "x" * 30_000
                await client.send(f'{{"action": "sendMessage", "padding": "{padding}", "n": "{number}"}}')

        flooding = asyncio.ensure_future(flood())
        await functions.called("send", 3)
        await asyncio.wait([flooding], timeout=0.2)
        assert not flooding.done()
        assert len(functions.events("send")) == 3
        gate.set()
        await flooding
        replies = {await client.recv() for _ in range(total)}
    assert replies == {str(number) for number in range(total)}
    assert most == 3


async def test_a_reply_after_the_end_is_dropped() -> None:
    """A function that ends after its client has left does no harm."""
    gate = asyncio.Event()

    async def send(_event: Any) -> Any:
        await gate.wait()
        return {"body": "late"}

    functions = Functions(send=send, default=counter())
    async with serving(functions) as gateway:
        async with dial(gateway) as client:
            await client.send(SEND)
            await functions.called("send")
        await functions.called("disconnect")
        gate.set()
        async with dial(gateway) as client:
            await client.send("x")
            assert json.loads(await client.recv()) == {"n": 1}


async def test_messages_sent_right_before_the_close_are_handled() -> None:
    """Any number of them."""
    functions = Functions(send=lambda _event: asyncio.sleep(0.001, OK))
    limits = GatewayLimits(pending_messages=2)
    async with serving(functions, limits=limits) as gateway:
        async with dial(gateway) as client:
            for _ in range(50):
                await client.send(SEND)
        await functions.called("send", 50)
        await functions.called("disconnect")
