"""Attackers cannot use message numbers and ids to delay others or to impersonate them."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.attack.conftest import AttackedStack
from tests.contract.peer import Peer
from tests.crowd import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
Connect = Callable[..., Any]

# Until then several environments of each function start concurrently.
WARM_UP = 6
PAIRS = 10
PAIR_EVERY_S = 0.2
# No member's frame may delay another member's message for longer.
DELAY_MAX_S = 1.0


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


class Reader:
    """A member who can show a message once all earlier numbers are known."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.known: set[int] = set()
        # The time.monotonic at which each number could be shown.
        self.shown_at: dict[int, float] = {}

    async def read(self) -> None:
        while True:
            frame = json.loads(await self._peer.socket.recv())
            if frame["type"] == "messages":
                self.known |= {one["seq"] for one in frame["messages"]}
                while (turn := len(self.shown_at) + 1) in self.known:
                    self.shown_at[turn] = time.monotonic()


async def test_a_message_sent_twice_at_once_delays_nobody(
    attacked_stack: AttackedStack, connect: Connect, group: str
) -> None:
    """Pipelined pairs of frames with the same new messageId: every number gets a message or a void."""
    eve, bob, ann = [
        await connect(attacked_stack.stack, attacked_stack.mint.token(name)) for name in ("eve", "bob", "ann")
    ]
    for peer in (eve, bob, ann):
        await peer.join(group)
    reader = Reader(ann)
    reading = asyncio.create_task(reader.read())
    await asyncio.gather(*(eve.send({"action": "sendMessage", "message": "warm up"}) for _ in range(WARM_UP)))
    await eventually(lambda: len(reader.shown_at) == WARM_UP)
    sent_at: dict[int, float] = {}
    for _ in range(PAIRS):
        frame = {"action": "sendMessage", "message": "twice", "messageId": str(uuid.uuid4())}
        await asyncio.gather(eve.send(frame), eve.send(frame))
        said_at = time.monotonic()
        sent_at[(await bob.say("listen"))["seq"]] = said_at
        await asyncio.sleep(PAIR_EVERY_S)
    acks = [await eve.expect("ack") for _ in range(WARM_UP + 2 * PAIRS)]
    assert len({(ack["messageId"], ack["seq"]) for ack in acks}) == WARM_UP + PAIRS
    last = (await bob.ask({"action": "ping"}, "pong"))["lastSeq"]
    await eventually(lambda: last in reader.shown_at, DELAY_MAX_S)
    reading.cancel()
    assert max(reader.shown_at[seq] - at for seq, at in sent_at.items()) < DELAY_MAX_S
    history = (await bob.ask({"action": "history", "since": 0}, "history"))["messages"]
    assert [one["seq"] for one in history] == list(range(1, last + 1))
    voids = [one for one in history if "message" not in one]
    assert all(one == {"seq": one["seq"], "void": True} for one in voids)
    # The frames did race.
    assert len(voids) == last - WARM_UP - 2 * PAIRS > 0


async def test_another_users_message_id_is_useless(
    attacked_stack: AttackedStack, connect: Connect, group: str
) -> None:
    """Others can neither claim it before its owner sends it nor learn whether it has been sent."""
    ann, eve = [
        await connect(attacked_stack.stack, attacked_stack.mint.token(name)) for name in ("ann", "eve")
    ]
    users = {peer: attacked_stack.mint.claims(name)["sub"] for peer, name in ((ann, "ann"), (eve, "eve"))}
    await ann.join(group)
    await eve.join(group)
    claimed, sent = str(uuid.uuid4()), str(uuid.uuid4())
    said = [(eve, claimed, "mine!"), (ann, claimed, "hello"), (ann, sent, "secret"), (eve, sent, "secret")]
    for seq, (peer, message_id, text) in enumerate(said, 1):
        ack = await peer.say(text, messageId=message_id)
        assert (ack["messageId"], ack["seq"]) == (message_id, seq)
    for messages in (
        (await ann.ask({"action": "history"}, "history"))["messages"],
        sorted(await eve.messages(4), key=lambda one: int(one["seq"])),
    ):
        shown = [(one["userId"], one["messageId"], one["message"]) for one in messages]
        assert shown == [(users[peer], message_id, text) for peer, message_id, text in said]
