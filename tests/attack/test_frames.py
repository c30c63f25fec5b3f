"""Thousands of frames and connect requests that nobody in their right mind would send."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from groupcast.errors import Code
from groupcast.tokens import CLOCK_SKEW_S
from tests.attack.conftest import Besieged
from tests.attack.handshake import shake_hands
from tests.attack.odd_frames import odd_frames
from tests.attack.odd_requests import ConnectRequest, odd_requests
from tests.conftest import Stack
from tests.contract.peer import REPLY_TIMEOUT_S, Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
T = TypeVar("T")
Connect = Callable[..., Any]

# Random, so that each run sends other ones.
FRAMES, FRAMES_AT_ONCE = 3_000, 30
REQUESTS, REQUESTS_AT_ONCE = 500, 20
BATCHES_BETWEEN_SECRETS = 25
PRIVATE = "private-team"
# What API Gateway takes in one message, and how to stay below what it takes in a frame of it.
MAX_MESSAGE_BYTES, PIECE_BYTES = 128 * 1024, 30_000
ANSWERS = {"joined", "left", "ack", "history", "pong", "renewed"}
CODES = {code.value for code in Code} - {Code.INTERNAL_ERROR.value}
COMMON_CODES = {"BadRequest", "UnknownAction", "NotInGroup", "Forbidden"}
STATUSES = {101, 400, 401, 403}


class Attacker:
    """One of Eve's connections."""

    def __init__(self, peer: Peer, secret: str) -> None:
        self._socket = peer.socket
        self._secret = secret
        self.kinds: Counter[str] = Counter()

    async def attack(self, text: str) -> None:
        """Send a frame: it has to be answered, as the contract has it and with nothing that is secret."""
        await self._socket.send(text)
        answer = await self._answer(text)
        is_error = answer["type"] == "error"
        kind = answer["code"] if is_error else answer["type"]
        assert kind in (CODES if is_error else ANSWERS), (text, answer)
        self.kinds[kind] += 1

    async def assert_no_answer_is_left(self) -> None:
        """Every frame had one answer and no more: the next one is this ping's."""
        question = {"action": "ping", "id": str(uuid.uuid4())}
        await self._socket.send(json.dumps(question))
        answer = await self._answer("ping")
        assert (answer["type"], answer.get("id")) == ("pong", question["id"])

    async def _answer(self, asked: str) -> dict[str, Any]:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            while True:
                received = await self._socket.recv()
                assert self._secret not in str(received), asked
                frame = json.loads(received)
                assert isinstance(frame, dict), (asked, frame)
                assert "type" in frame, (asked, frame)
                if frame["type"] != "messages":
                    return frame


class Siege:
    """Eve's connections, and those who talk elsewhere meanwhile."""

    def __init__(self, attackers: list[Attacker], canaries: list[Peer], secret: str) -> None:
        self._attackers = attackers
        self._canaries = canaries
        self._secret = secret
        self._batches = 0
        self._said = 0

    @classmethod
    @asynccontextmanager
    async def laid(cls, stack: Stack) -> AsyncIterator[Siege]:
        """Ann talks in the private group, Bob in one whose name nobody knows."""
        secret = f"secret-{uuid.uuid4()}"
        async with AsyncExitStack() as open_peers:

            async def connect(token: str) -> Peer:
                return await open_peers.enter_async_context(
                    Peer.connect(f"{stack.gateway_url}?token={token}", ping_interval=None)
                )

            ann, bob = await connect(stack.token("ann")), await connect(stack.token("bob"))
            await ann.join(PRIVATE)
            await bob.join(f"canary-{uuid.uuid4()}")
            token = stack.token("eve")
            attackers = [Attacker(await connect(token), secret) for _ in range(FRAMES_AT_ONCE)]
            yield cls(attackers, [ann, bob], secret)

    @property
    def kinds(self) -> Counter[str]:
        """How often which answer came: an error's code, another's type."""
        return sum((attacker.kinds for attacker in self._attackers), Counter())

    async def attack(self, batch: list[str]) -> None:
        """Send each frame on a connection of its own, so that an answer tells which it is to."""
        if self._batches % BATCHES_BETWEEN_SECRETS == 0:
            for canary in self._canaries:
                await canary.say(self._secret)
            self._said += 1
        self._batches += 1
        pairs = zip(self._attackers, batch, strict=True)
        await asyncio.gather(*(attacker.attack(text) for attacker, text in pairs))

    async def assert_held(self) -> None:
        """No answer too many, and nobody heard what was not for them."""
        await asyncio.gather(*(attacker.assert_no_answer_is_left() for attacker in self._attackers))
        for canary in self._canaries:
            heard = await canary.messages(self._said)
            assert {message["message"] for message in heard} == {self._secret}
            assert await canary.is_quiet()


async def in_batches(
    one: st.SearchStrategy[T], count: int, at_once: int, use: Callable[[list[T]], Coroutine[Any, Any, None]]
) -> None:
    """Make `count` of something and use them batch by batch, until one fails."""
    loop = asyncio.get_running_loop()
    failures: list[BaseException] = []

    @settings(
        max_examples=count // at_once,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(one, min_size=at_once, max_size=at_once))
    def use_each(batch: list[T]) -> None:
        # The first failure is the one to see: on a stack that is no longer what it was, a batch can't be made
        # smaller by trying it again.
        if not failures:
            failure = asyncio.run_coroutine_threadsafe(use(batch), loop).exception()
            failures.extend([failure] if failure else [])

    await asyncio.to_thread(use_each)
    if failures:
        raise failures[0]


async def test_whatever_is_sent_gets_one_answer(besieged: Besieged) -> None:
    """What was asked for or an error of the contract; no function fails, no other group hears or is heard."""
    async with Siege.laid(besieged.stack) as siege:
        frames = odd_frames(besieged.mint.token("eve"))
        await in_batches(frames, FRAMES, FRAMES_AT_ONCE, siege.attack)
        await siege.assert_held()
    assert siege.kinds.total() >= FRAMES
    # Or else it was all noise, which the first look at a frame refuses.
    assert siege.kinds.keys() >= ANSWERS | COMMON_CODES
    besieged.assert_nothing_broke()


@pytest.mark.parametrize("name", ["action", "id", "groupId", "message", "token", "padding"])
async def test_the_longest_frame_is_answered(besieged: Besieged, connect: Connect, name: str) -> None:
    """128 KB in pieces, nearly all of it one field: an error that repeated it would be too long itself."""
    eve = await connect(besieged.stack, besieged.stack.token("eve"))
    frame = {"action": "renew", name: ""}
    frame[name] = "x" * (MAX_MESSAGE_BYTES - len(json.dumps(frame)))
    text = json.dumps(frame)
    await eve.socket.send(text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES))
    answer = json.loads(await eve.socket.recv())
    assert answer.get("code") in {"BadRequest", "UnknownAction", "Forbidden"}, answer


async def test_whoever_knocks_is_let_in_or_refused(besieged: Besieged) -> None:
    """With 400, 401 or 403; only who shows a good token gets in."""
    mint = besieged.mint
    good = [mint.token("ann"), mint.token("eve")]
    bad = [
        mint.token("ann", exp=int(time.time()) - CLOCK_SKEW_S - 1),
        mint.token("ann", client_id="other"),
        mint.unsigned(mint.claims("ann")),
        mint.signed_with_public_key(mint.claims("ann")),
    ]
    statuses: Counter[int] = Counter()

    async def knock(request: ConnectRequest) -> None:
        answer = await shake_hands(besieged.stack.gateway_url, *request)
        assert answer.status in STATUSES, (request, answer)
        assert answer.status != 101 or any(token in str(request) for token in good), request
        assert answer.headers.get("sec-websocket-protocol", "groupcast.v1") == "groupcast.v1", request
        statuses[answer.status] += 1

    async def knock_at_once(requests: list[ConnectRequest]) -> None:
        await asyncio.gather(*(knock(request) for request in requests))

    await in_batches(odd_requests(good, bad), REQUESTS, REQUESTS_AT_ONCE, knock_at_once)
    assert statuses.total() >= REQUESTS
    assert statuses.keys() == STATUSES
    besieged.assert_nothing_broke()
