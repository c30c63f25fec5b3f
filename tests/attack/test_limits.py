"""Users who flood the service are limited; users in a hurry never notice a limit."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from groupcast.ratelimit import (
    GROUP_BURST_S,
    JOIN_TOKENS,
    LEAVE_TOKENS,
    PING_TOKENS,
    READ_TOKENS,
    RENEW_TOKENS,
)
from tests.attack.mint import Mint
from tests.conftest import Stack
from tests.contract.peer import REPLY_TIMEOUT_S, Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
Connect = Callable[..., Any]

# serverless.yml.
PER_SECOND, BURST = 10, 20
GROUP_BYTES_PER_SECOND = 32_768
CONNECTIONS = 20
LARGE = "x" * 16_000
LARGE_TOKENS = 16_000 / 1024
# Clients send a message of more than 32 KB in fragments.
PIECE_BYTES = 30_000


@pytest.fixture
def new_user(mint: Mint) -> Callable[[], str]:
    """Tokens of users without earlier requests."""
    return lambda: mint.token("eve", sub=str(uuid.uuid4()))


async def answers(peer: Peer, frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send all frames at once; return their answers without pushes."""

    async def send() -> None:
        for number, frame in enumerate(frames):
            text = json.dumps({**frame, "id": str(number)})
            await peer.socket.send(text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES))

    sending = asyncio.create_task(send())
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(REPLY_TIMEOUT_S + len(frames) / 20):
        while len(found) < len(frames):
            frame = json.loads(await peer.socket.recv())
            if "id" in frame:
                found.append(frame)
    await sending
    return found


def refused(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The RateLimited answers, each with a retry time; fails on any other error."""
    errors = [one for one in found if one["type"] == "error"]
    assert all(one["code"] == "RateLimited" and one["retryAfterMs"] >= 1 for one in errors), errors
    return errors


@pytest.mark.parametrize(
    ("text", "tokens"), [(LARGE, LARGE_TOKENS), ("\x01" * 16_000, 6 * LARGE_TOKENS)], ids=["plain", "control"]
)
async def test_large_messages_are_limited_by_their_bytes(
    cognito_stack: Stack, connect: Connect, new_user: Callable[[], str], group: str, text: str, tokens: float
) -> None:
    """Of 160 KB/s from one member, 10 KB/s pass; control characters count by their JSON size."""
    eve = await connect(cognito_stack, new_user())
    await eve.join(group)
    began, taken = time.monotonic(), 0
    for _ in range(5):
        found = await answers(eve, [{"action": "sendMessage", "message": text}] * 10)
        taken += len(found) - len(refused(found))
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began) % 1))
    # The last one may leave a debt.
    most = (BURST + PER_SECOND * (time.monotonic() - began)) / tokens + 1
    assert 1 <= taken <= most
    bob = await connect(cognito_stack, new_user())
    assert (await bob.join(group))["lastSeq"] == taken


@pytest.mark.parametrize(
    ("frame", "tokens"),
    [
        ({"action": "history"}, READ_TOKENS),
        ({"action": "joinGroup", "groupId": "flooded", "since": 0}, JOIN_TOKENS),
        ({"action": "leaveGroup"}, LEAVE_TOKENS),
        ({"action": "ping"}, PING_TOKENS),
        ({"action": "renew"}, RENEW_TOKENS),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
async def test_a_users_connections_share_one_limit(
    cognito_stack: Stack,
    connect: Connect,
    new_user: Callable[[], str],
    group: str,
    frame: dict[str, Any],
    tokens: float,
) -> None:
    """Five connections together get no more than one bucket; meanwhile nobody else is refused."""
    token = new_user()
    connections = [await connect(cognito_stack, token) for _ in range(5)]
    for one in connections:
        await one.join(group)
    bob = await connect(cognito_stack, new_user())
    await bob.join(group)
    if frame["action"] == "renew":
        frame = {**frame, "token": token}
    began = time.monotonic()
    floods = asyncio.gather(*(answers(one, [frame] * 60) for one in connections))
    await bob.say("still here")
    found = [answer for flood in await floods for answer in flood]
    most = (BURST + PER_SECOND * (time.monotonic() - began)) / tokens + 1
    served = len(found) - len(refused(found))
    assert BURST / 2 / tokens <= served <= most


async def test_a_groups_users_share_its_limit(
    cognito_stack: Stack, connect: Connect, new_user: Callable[[], str], group: str
) -> None:
    """Each user sends one message of 16 KB: the first ten pass, and refused ones take no number."""
    peers = [await connect(cognito_stack, new_user()) for _ in range(20)]
    for peer in peers:
        await peer.join(group)
    began = time.monotonic()
    found = await asyncio.gather(
        *(answers(peer, [{"action": "sendMessage", "message": LARGE}]) for peer in peers)
    )
    most = GROUP_BYTES_PER_SECOND * (GROUP_BURST_S + time.monotonic() - began) / len(LARGE)
    taken = [each[0]["seq"] for each in found if not refused(each)]
    assert GROUP_BYTES_PER_SECOND * GROUP_BURST_S // len(LARGE) <= len(taken) <= most + 1
    assert sorted(taken) == list(range(1, len(taken) + 1))


async def test_a_users_connections_are_limited(cognito_stack: Stack, new_user: Callable[[], str]) -> None:
    """Of 25 concurrent connects 20 succeed and 5 get 429; when one closes, another succeeds."""
    url, token = f"{cognito_stack.gateway_url}?token=", new_user()
    async with AsyncExitStack() as opened:

        async def come() -> Peer | int:
            try:
                return await opened.enter_async_context(Peer.connect(url + token))
            except InvalidStatus as refusal:
                return refusal.response.status_code

        came = await asyncio.gather(*(come() for _ in range(25)))
        peers = [one for one in came if isinstance(one, Peer)]
        assert Counter(one for one in came if isinstance(one, int)) == {429: 5}
        assert len(peers) == CONNECTIONS
        await peers[0].socket.close()
        # $disconnect runs after the close.
        await asyncio.sleep(1)
        assert isinstance(await come(), Peer)


async def test_a_busy_human_is_never_refused(
    cognito_stack: Stack, connect: Connect, new_user: Callable[[], str]
) -> None:
    """20 messages in two seconds, and joining ten groups at once with their histories."""
    token = new_user()
    names = [f"group-{uuid.uuid4()}" for _ in range(10)]
    ann = await connect(cognito_stack, token)
    await ann.join(names[0])
    for number in range(20):
        await ann.send({"action": "sendMessage", "message": f"m{number} " + "word " * 20, "id": str(number)})
        await asyncio.sleep(0.1)
    acks = [await ann.expect("ack") for _ in range(20)]
    assert sorted(int(ack["id"]) for ack in acks) == list(range(20))
    found = await answers(ann, [{"action": "joinGroup", "groupId": name, "since": 0} for name in names])
    assert refused(found) == []


async def test_ten_tabs_at_once_are_not_refused(
    cognito_stack: Stack, connect: Connect, new_user: Callable[[], str], group: str
) -> None:
    """Each tab connects, joins with a replay of 100 messages, asks for older ones and pings."""
    writers = [await connect(cognito_stack, new_user()) for _ in range(5)]
    for writer in writers:
        await writer.join(group)
        assert not refused(await answers(writer, [{"action": "sendMessage", "message": "hello " * 10}] * 18))
    token = new_user()

    async def tab() -> list[dict[str, Any]]:
        peer = await connect(cognito_stack, token)
        return await answers(
            peer,
            [{"action": "joinGroup", "groupId": group, "since": 0}, {"action": "ping"}],
        ) + await answers(peer, [{"action": "history", "limit": 100}])

    found = [answer for each in await asyncio.gather(*(tab() for _ in range(10))) for answer in each]
    assert len(found) == 30
    assert refused(found) == []
