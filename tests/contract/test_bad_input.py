"""Invalid frames get an error frame or a close code, store nothing, and leave the connection usable."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.stack
Connect = Callable[..., Any]

UNKNOWN = "UnknownAction"
BAD = "BadRequest"
NESTED = "[" * 100 + "]" * 100
CASES = {
    "not JSON": ("hello", UNKNOWN),
    "empty text": ("", UNKNOWN),
    "half an object": ('{"action":"sendMessage"', UNKNOWN),
    "a list": ('["sendMessage"]', UNKNOWN),
    "no action": ('{"message":"hi"}', UNKNOWN),
    "unknown action": ('{"action":"dance"}', UNKNOWN),
    "action of a wrong type": ('{"action":{"sendMessage":1}}', UNKNOWN),
    "action null": ('{"action":null}', UNKNOWN),
    "a route that only the gateway may call": ('{"action":"$connect"}', UNKNOWN),
    "groupId missing": ('{"action":"joinGroup"}', BAD),
    "groupId empty": ('{"action":"joinGroup","groupId":""}', BAD),
    "groupId too long": (json.dumps({"action": "joinGroup", "groupId": "x" * 129}), BAD),
    "groupId a number": ('{"action":"joinGroup","groupId":1}', BAD),
    "groupId with a control character": ('{"action":"joinGroup","groupId":"a\\u0000b"}', BAD),
    "since a text": ('{"action":"joinGroup","groupId":"g","since":"1"}', BAD),
    "message missing": ('{"action":"sendMessage"}', BAD),
    "message empty": ('{"action":"sendMessage","message":""}', BAD),
    "message blank": ('{"action":"sendMessage","message":"  "}', BAD),
    "message a list": ('{"action":"sendMessage","message":["hi"]}', BAD),
    "message too long": (json.dumps({"action": "sendMessage", "message": "x" * 16_385}), "TooLarge"),
    "messageId no UUID": ('{"action":"sendMessage","message":"hi","messageId":"1"}', BAD),
    "messageId in capitals": (
        '{"action":"sendMessage","message":"hi","messageId":"0192F0C1-2345-7ABC-8DEF-0123456789AB"}',
        BAD,
    ),
    "id too long": (json.dumps({"action": "sendMessage", "message": "hi", "id": "x" * 65}), BAD),
    "a lone surrogate": ('{"action":"sendMessage","message":"\\ud800"}', BAD),
    "100 levels in message": (f'{{"action":"sendMessage","message":{NESTED}}}', BAD),
    "100 levels elsewhere": (f'{{"action":"dance","x":{NESTED}}}', UNKNOWN),
    "10,000 levels": ("[" * 10_000, UNKNOWN),
    "history with since and before": ('{"action":"history","since":1,"before":2}', BAD),
    "history with limit 0": ('{"action":"history","limit":0}', BAD),
}


@pytest.mark.parametrize(("text", "code"), CASES.values(), ids=CASES.keys())
async def test_a_bad_frame_is_an_error(connect: Connect, text: str, code: str) -> None:
    """Each leaves no data behind, and the next good frame works."""
    group = f"group-{uuid.uuid4()}"
    ann = await connect("ann")
    await ann.join(group)
    error = await ann.ask(text, "error")
    assert error["code"] == code
    assert set(error) - {"id"} == {"type", "code", "message", "action", "requestId"}
    assert error["message"]
    assert code != UNKNOWN or ", sendMessage, " in error["message"], "it does not say what would be taken"
    assert error["requestId"]
    ack = await ann.say("still here")
    assert ack["seq"] == 1
    assert [message["message"] for message in await ann.messages(1)] == ["still here"]


async def test_sending_before_joining_is_not_in_group(connect: Connect) -> None:
    """With advice."""
    ann = await connect("ann")
    error = await ann.ask({"action": "sendMessage", "message": "hi"}, "error")
    assert (error["code"], error["action"]) == ("NotInGroup", "sendMessage")
    assert "oin" in error["message"]


async def test_a_binary_frame_closes_with_1003(connect: Connect) -> None:
    """API Gateway accepts only text."""
    ann = await connect("ann")
    await ann.socket.send(b"\x00\x01")
    assert await ann.closed_with() == 1003


async def test_a_frame_over_32_kb_closes_with_1009(connect: Connect) -> None:
    """A frame of exactly 32 KB does not."""
    ann, eve = await connect("ann"), await connect("eve")
    padding = {"action": "ping", "padding": ""}
    padding["padding"] = "x" * (32 * 1024 - len(json.dumps(padding)))
    assert (await ann.ask(padding, "pong"))["groupId"] is None
    padding["padding"] += "x"
    await eve.send(padding)
    assert await eve.closed_with() == 1009


async def test_a_message_over_128_kb_closes_with_1009(connect: Connect) -> None:
    """Fragments may add up to 128 KB, not more."""
    ann, eve = await connect("ann"), await connect("eve")

    async def parts(total: int) -> Any:
        head = '{"action":"ping","padding":"'
        yield head
        left = total - len(head) - 2
        while left:
            size = min(left, 30_000)
            yield "x" * size
            left -= size
        yield '"}'

    await ann.socket.send(parts(128 * 1024))
    assert (await ann.expect("pong"))["groupId"] is None
    await eve.socket.send(parts(128 * 1024 + 1))
    assert await eve.closed_with() == 1009
