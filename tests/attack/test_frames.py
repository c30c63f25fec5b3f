"""Thousands of malformed frames and connect requests."""

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
from tests.attack.conftest import AttackedStack
from tests.attack.handshake import shake_hands
from tests.attack.odd_frames import odd_frames
from tests.attack.odd_requests import ConnectRequest, odd_requests
from tests.conftest import Stack
from tests.contract.peer import REPLY_TIMEOUT_S, Peer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
T = TypeVar("T")
Connect = Callable[..., Any]

# Random, so that each run sends different ones.
FRAMES, FRAMES_AT_ONCE = 3_000, 30
REQUESTS, REQUESTS_AT_ONCE = 500, 20
BATCHES_BETWEEN_SECRETS = 25
PRIVATE = "private-team"
# API Gateway's limit for a message, and a piece below its limit for a frame.
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
        """Send a frame. It must get an answer that follows the contract and contains no secret."""
        await self._socket.send(text)
        answer = await self._answer(text)
        is_error = answer["type"] == "error"
        kind = answer["code"] if is_error else answer["type"]
        assert kind in (CODES if is_error else ANSWERS), (text, answer)
        self.kinds[kind] += 1

    async def assert_no_answer_is_left(self) -> None:
        """Every frame had exactly one answer: the next one belongs to this ping."""
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


class AttackSession:
    """Eve's connections, and users who talk in other groups meanwhile."""

    def __init__(self, attackers: list[Attacker], canaries: list[Peer], secret: str) -> None:
        self._attackers = attackers
        self._canaries = canaries
        self._secret = secret
        self._batches = 0
        self._said = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, stack: Stack) -> AsyncIterator[AttackSession]:
        """Ann talks in the private group, Bob in one with an unknown name."""
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
        """Count the answers by error code or type."""
        return sum((attacker.kinds for attacker in self._attackers), Counter())

    async def attack(self, batch: list[str]) -> None:
        """Send each frame on a connection of its own, so that its answer can be told."""
        if self._batches % BATCHES_BETWEEN_SECRETS == 0:
            for canary in self._canaries:
                await canary.say(self._secret)
            self._said += 1
        self._batches += 1
        pairs = zip(self._attackers, batch, strict=True)
        await asyncio.gather(*(attacker.attack(text) for attacker, text in pairs))

    async def assert_held(self) -> None:
        """No extra answers came, and nobody received another group's messages."""
        await asyncio.gather(*(attacker.assert_no_answer_is_left() for attacker in self._attackers))
        for canary in self._canaries:
            heard = await canary.messages(self._said)
            assert {message["message"] for message in heard} == {self._secret}
            assert await canary.is_quiet()


async def in_batches(
    one: st.SearchStrategy[T], count: int, at_once: int, use: Callable[[list[T]], Coroutine[Any, Any, None]]
) -> None:
    """Generate `count` items and use them in batches, until one fails."""
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
        # Report the first failure: the stack has changed, so repeating a batch cannot shrink it.
        if not failures:
            failure = asyncio.run_coroutine_threadsafe(use(batch), loop).exception()
            failures.extend([failure] if failure else [])

    await asyncio.to_thread(use_each)
    if failures:
        raise failures[0]


async def test_every_frame_gets_one_answer(attacked_stack: AttackedStack) -> None:
    """A reply or an error of the contract. No function fails, and other groups are unaffected."""
    async with AttackSession.open(attacked_stack.stack) as siege:
        frames = odd_frames(attacked_stack.mint.token("eve"))
        await in_batches(frames, FRAMES, FRAMES_AT_ONCE, siege.attack)
        await siege.assert_held()
    assert siege.kinds.total() >= FRAMES
    # Otherwise all frames were noise that the first check refuses.
    assert siege.kinds.keys() >= ANSWERS | COMMON_CODES
    attacked_stack.assert_nothing_broke()


@pytest.mark.parametrize("name", ["action", "id", "groupId", "message", "token", "padding"])
async def test_the_longest_frame_is_answered(
    attacked_stack: AttackedStack, connect: Connect, name: str
) -> None:
    """128 KB in fragments, nearly all of it one field: an error that repeated it would itself be too long."""
    eve = await connect(attacked_stack.stack, attacked_stack.stack.token("eve"))
    frame = {"action": "renew", name: ""}
    frame[name] = "x" * (MAX_MESSAGE_BYTES - len(json.dumps(frame)))
    text = json.dumps(frame)
    await eve.socket.send(text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES))
    answer = json.loads(await eve.socket.recv())
    assert answer.get("code") in {"BadRequest", "UnknownAction", "Forbidden"}, answer


async def test_every_connect_request_is_admitted_or_refused(attacked_stack: AttackedStack) -> None:
    """Refusals are 400, 401 or 403; only a valid token is admitted."""
    mint = attacked_stack.mint
    good = [mint.token("ann"), mint.token("eve")]
    bad = [
        mint.token("ann", exp=int(time.time()) - CLOCK_SKEW_S - 1),
        mint.token("ann", client_id="other"),
        mint.unsigned(mint.claims("ann")),
        mint.signed_with_public_key(mint.claims("ann")),
    ]
    statuses: Counter[int] = Counter()

    async def connect(request: ConnectRequest) -> None:
        answer = await shake_hands(attacked_stack.stack.gateway_url, *request)
        assert answer.status in STATUSES, (request, answer)
        assert answer.status != 101 or any(token in str(request) for token in good), request
        assert answer.headers.get("sec-websocket-protocol", "groupcast.v1") == "groupcast.v1", request
        statuses[answer.status] += 1

    async def connect_all(requests: list[ConnectRequest]) -> None:
        await asyncio.gather(*(connect(request) for request in requests))

    await in_batches(odd_requests(good, bad), REQUESTS, REQUESTS_AT_ONCE, connect_all)
    assert statuses.total() >= REQUESTS
    assert statuses.keys() == STATUSES
    attacked_stack.assert_nothing_broke()
