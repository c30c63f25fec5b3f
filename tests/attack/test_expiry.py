"""Limits of signed-in users' rights, and the end of those rights."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from groupcast.tokens import CLOCK_SKEW_S
from tests.attack.mint import Mint, ending_in
from tests.attack.pool import Pool
from tests.conftest import Stack
from tests.contract.peer import Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
Connect = Callable[..., Any]

PRIVATE = "private-team"
# Rights end late enough for a test to use them first.
SOON_S = 3
AFTERWARDS_S = 0.05
NORMAL_CLOSURE = 1000
# The defaults of serverless.yml, and enough messages to exceed them for certain.
PER_SECOND, BURST, SENT = 10, 20, 150


@pytest.fixture
def pool(cognito_stack: Stack) -> Iterator[Pool]:
    client = boto3.client("cognito-idp", **cognito_stack.aws(cognito_stack.cognito_url))
    yield Pool(cognito_stack, client)
    client.close()


async def code_of(peer: Peer, frame: dict[str, Any]) -> str:
    return str((await peer.ask(frame, "error"))["code"])


async def rights_end(token: dict[str, Any]) -> None:
    """Wait until the token's rights have ended."""
    await asyncio.sleep(token["exp"] + CLOCK_SKEW_S - time.time() + AFTERWARDS_S)


async def test_a_forged_sender_is_ignored(cognito_stack: Stack, connect: Connect, group: str) -> None:
    """A sender in the URL or in the frame is ignored: the token decides."""
    ann = await connect(cognito_stack, cognito_stack.token("ann"), "?name=bob&sender=bob&sub=bob")
    bob = await connect(cognito_stack, cognito_stack.token("bob"))
    await ann.join(group, sender="bob", name="bob")
    await bob.join(group)
    forged = {"sender": "bob", "name": "bob", "username": "bob", "userId": "bob", "principalId": "bob"}
    await ann.say("I am bob", **forged, groups=[PRIVATE], authorizedUntil=2**40)
    assert [message["sender"] for message in await bob.messages(1)] == ["ann"]
    history = await bob.ask({"action": "history"}, "history")
    assert [message["sender"] for message in history["messages"]] == ["ann"]


async def test_an_outsider_gets_nothing_of_a_private_group(
    cognito_stack: Stack, connect: Connect, group: str
) -> None:
    """Eve can neither join it, read its history, receive its messages nor send to it."""
    ann, bob, eve = [
        await connect(cognito_stack, cognito_stack.token(name)) for name in ("ann", "bob", "eve")
    ]
    await ann.join(PRIVATE)
    await bob.join(PRIVATE)
    secret = f"secret {group}"
    ack = await ann.say(secret)
    assert [message["message"] for message in await bob.messages(1)] == [secret]
    for since in ({}, {"since": 0}):
        assert await code_of(eve, {"action": "joinGroup", "groupId": PRIVATE, **since}) == "Forbidden"
    assert await code_of(eve, {"action": "history", "groupId": PRIVATE}) == "NotInGroup"
    await eve.join(group)
    assert await code_of(eve, {"action": "joinGroup", "groupId": PRIVATE}) == "Forbidden"
    known = {"messageId": ack["messageId"], "groupId": PRIVATE}
    for frame in ({"action": "sendMessage", "message": "hello?", **known}, {"action": "history", **known}):
        assert await code_of(eve, frame) == "NotInGroup"
    assert (await eve.say("hello?", messageId=ack["messageId"]))["groupId"] == group
    history = await eve.ask({"action": "history", "since": 0}, "history")
    assert [message["message"] for message in history["messages"]] == ["hello?"]
    await eve.messages(1)
    await ann.say(f"{secret} again")
    await bob.messages(1)
    assert all(await asyncio.gather(eve.is_quiet(), bob.is_quiet()))


async def test_a_removed_user_is_out_when_their_token_ends(
    cognito_stack: Stack, mint: Mint, pool: Pool, connect: Connect, group: str
) -> None:
    """A removed user can't sign in again.

    Their rights end with the token, and the next message closes the connection.
    """
    private = pool.new_group()
    user = pool.new_user(private)
    claims = mint.payload(pool.token(user))
    ann = await connect(cognito_stack, mint.token("ann", **{"cognito:groups": [private]}))
    claims["exp"] = ending_in(SOON_S)
    gus = await connect(cognito_stack, mint.signed(claims))
    await ann.join(private)
    await gus.join(private)
    await gus.say("last words")
    assert [message["message"] for message in await gus.messages(1)] == ["last words"]
    pool.delete_user(user)
    with pytest.raises(ClientError):
        pool.token(user)
    await rights_end(claims)
    for frame in (
        {"action": "sendMessage", "message": "still here?"},
        {"action": "history"},
        {"action": "joinGroup", "groupId": private, "since": 0},
        {"action": "joinGroup", "groupId": group},
        {"action": "renew", "token": mint.signed(claims)},
    ):
        assert await code_of(gus, frame) == "Forbidden", frame
    await ann.say("gus is gone")
    assert [message["message"] for message in await ann.messages(2)] == ["last words", "gus is gone"]
    assert await gus.closed_with() == NORMAL_CLOSURE
    assert [frame async for frame in gus.socket] == []


async def test_a_renewal_without_the_pools_group_leaves_the_private_group(
    cognito_stack: Stack, mint: Mint, pool: Pool, connect: Connect
) -> None:
    """The new token keeps the connection but removes it from the group that the token no longer allows."""
    private = pool.new_group()
    user = pool.new_user(private)
    ann = await connect(cognito_stack, mint.token("ann", **{"cognito:groups": [private]}))
    gus = await connect(cognito_stack, pool.token(user))
    await ann.join(private)
    await gus.join(private)
    pool.take_out(user, private)
    renewed = await gus.ask({"action": "renew", "token": pool.token(user)}, "renewed")
    assert renewed["groupId"] is None
    await ann.say("without gus")
    await ann.messages(1)
    assert await code_of(gus, {"action": "history"}) == "NotInGroup"
    assert await code_of(gus, {"action": "joinGroup", "groupId": private}) == "Forbidden"
    assert await gus.is_quiet()


async def test_a_renewal_in_time_keeps_the_connection(
    cognito_stack: Stack, mint: Mint, connect: Connect, group: str
) -> None:
    """After the first token's end it still sends, reads and receives."""
    token = cognito_stack.token("bob")
    ann = await connect(cognito_stack, cognito_stack.token("ann"))
    claims = mint.payload(token) | {"exp": ending_in(SOON_S)}
    bob = await connect(cognito_stack, mint.signed(claims))
    await ann.join(group)
    await bob.join(group)
    renewed = await bob.ask({"action": "renew", "token": token}, "renewed")
    assert renewed["groupId"] == group
    await rights_end(claims)
    await ann.say("bob?")
    await bob.say("here")
    assert {message["message"] for message in await bob.messages(2)} == {"bob?", "here"}
    assert len((await bob.ask({"action": "history"}, "history"))["messages"]) == 2


async def test_only_a_valid_token_of_the_same_user_renews(
    cognito_stack: Stack, mint: Mint, connect: Connect, group: str
) -> None:
    """Another user's or client's token, an expired and a forged one get Forbidden and change nothing."""
    eve = await connect(cognito_stack, cognito_stack.token("eve"))
    await eve.join(group)
    insider = {"cognito:groups": [PRIVATE]}
    for token in (
        cognito_stack.token("ann"),
        mint.token("eve", client_id="other", **insider),
        mint.token("eve", exp=int(time.time()) - CLOCK_SKEW_S - 1, **insider),
        mint.token("eve", nbf=int(time.time()) + 60, **insider),
        mint.unsigned(mint.claims("eve", **insider)),
        mint.signed_with_public_key(mint.claims("eve", **insider)),
        "garbage",
    ):
        assert await code_of(eve, {"action": "renew", "token": token}) == "Forbidden"
    for frame in ({}, {"token": ""}, {"token": None}, {"token": [cognito_stack.token("eve")]}):
        assert await code_of(eve, {"action": "renew", **frame}) == "BadRequest"
    assert await code_of(eve, {"action": "joinGroup", "groupId": PRIVATE}) == "Forbidden"
    await eve.say("still eve")
    assert [message["sender"] for message in await eve.messages(1)] == ["eve"]


async def test_a_sender_over_the_limit_is_told_to_wait(
    cognito_stack: Stack, connect: Connect, group: str
) -> None:
    """Messages over the limit are refused and not stored; after the named time the next one is accepted."""
    ann = await connect(cognito_stack, cognito_stack.token("ann"))
    await ann.join(group)
    started = time.monotonic()
    for number in range(SENT):
        await ann.send({"action": "sendMessage", "message": str(number), "id": str(number)})
    pushed, answers = await until_answered(ann, SENT)
    # The bucket refilled a little meanwhile.
    most = BURST + (time.monotonic() - started) * PER_SECOND + 1
    taken = {answer["id"] for answer in answers if answer["type"] == "ack"}
    refused = [answer for answer in answers if answer["type"] == "error"]
    assert BURST <= len(taken) <= most
    assert len(taken) + len(refused) == SENT
    assert {answer["code"] for answer in refused} == {"RateLimited"}
    waits_ms = [answer["retryAfterMs"] for answer in refused]
    assert all(isinstance(wait, int) and 1 <= wait <= BURST * 1000 / PER_SECOND for wait in waits_ms)
    await asyncio.sleep(max(waits_ms) / 1000)
    await ann.say("patient")
    history = await ann.ask({"action": "history", "limit": 200}, "history")
    texts = [message["message"] for message in history["messages"]]
    assert (set(texts[:-1]), texts[-1]) == (taken, "patient")
    assert len(texts) == len(taken) + 1
    pushed += await ann.messages(len(texts) - len(pushed))
    assert {message["message"] for message in pushed} == set(texts)


async def until_answered(peer: Peer, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Receive until `count` answers have arrived; return the messages pushed meanwhile."""
    pushed: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    while len(answers) < count:
        frame = json.loads(await peer.socket.recv())
        if frame["type"] == "messages":
            pushed += frame["messages"]
        else:
            answers.append(frame)
    return pushed, answers
