"""Pairs of concurrent frames that affect a right."""

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

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
Connect = Callable[..., Any]

RACERS, ROUNDS = 15, 10
# Posts of one message reach all members within this time.
SAME_PASS_S = 0.1


async def test_nobody_stays_in_a_group_after_losing_the_right(
    attacked_stack: AttackedStack, connect: Connect
) -> None:
    """Joining races a renewal with fewer groups and the same end."""
    private = f"private-{uuid.uuid4()}"
    rights = {"cognito:groups": [private], "exp": int(time.time()) + 600}
    insider, outsider = (
        attacked_stack.mint.token("eve", **{**rights, "cognito:groups": groups}) for groups in ([private], [])
    )
    ann = await connect(attacked_stack.stack, attacked_stack.mint.token("ann", **rights))
    await ann.join(private)
    racers = [await connect(attacked_stack.stack, insider) for _ in range(RACERS)]
    joined = 0
    for number in range(ROUNDS):
        joined += sum(await asyncio.gather(*(race(peer, private, outsider) for peer in racers)))
        secret = f"secret {number}"
        await ann.say(secret)
        assert [one["message"] for one in await ann.messages(1)] == [secret]
        await asyncio.sleep(SAME_PASS_S)
        heard = await asyncio.gather(*(back_with(peer, insider) for peer in racers))
        assert not [text for texts in heard for text in texts]
    # Some joined in time and were removed.
    assert joined


async def race(peer: Peer, private: str, outsider: str) -> bool:
    """Join and lose the right at once; return whether the join succeeded."""
    await peer.send({"action": "joinGroup", "groupId": private, "id": "join"})
    await peer.send({"action": "renew", "token": outsider, "id": "renew"})
    answers: dict[str, dict[str, Any]] = {}
    while answers.keys() < {"join", "renew"}:
        frame = json.loads(await peer.socket.recv())
        answers[frame["id"]] = frame
    while answers["renew"]["type"] == "error":
        # A conflicting change came between; the token is still valid.
        assert answers["renew"]["code"] == "Conflict"
        await peer.send({"action": "renew", "token": outsider, "id": "renew"})
        answers["renew"] = json.loads(await peer.socket.recv())
    return bool(answers["join"]["type"] == "joined")


async def back_with(peer: Peer, insider: str) -> list[str]:
    """Regain the right, in no group; return the messages received until then."""
    heard: list[str] = []
    for frame in (
        {"action": "leaveGroup", "id": "left"},
        {"action": "renew", "token": insider, "id": "renewed"},
    ):
        await peer.send(frame)
        while (answer := json.loads(await peer.socket.recv())).get("id") != frame["id"]:
            heard += [one["message"] for one in answer["messages"]]
        assert answer["type"] == frame["id"], answer
    return heard
