"""Connected members who record every push, and the fan-out's log lines meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Stack

PATIENCE_S = 45.0
# Concurrent handshakes: each function has four environments.
CONNECTING = 16


@dataclass(frozen=True)
class Pushed:
    """A message as pushed, without text for a void number; `at_s` is its time.perf_counter."""

    seq: int
    text: str
    at_s: float


class Person:
    """A connection that is read all the time. Unlike the client, it drops and requests nothing."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count()
        self._asked: dict[str, asyncio.Future[dict[str, Any]]] = {}
        # The group's last number when this person joined.
        self.joined_at = 0
        self.got: list[Pushed] = []
        # Frames that are neither a push nor a reply to this person's frame.
        self.others: list[dict[str, Any]] = []

    @property
    def seqs(self) -> list[int]:
        """Received numbers, in order of arrival."""
        return [pushed.seq for pushed in self.got]

    async def ask(self, action: str, **fields: Any) -> dict[str, Any]:
        """Send a frame and return its reply."""
        frame_id = str(next(self._ids))
        self._asked[frame_id] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"action": action, "id": frame_id, **fields}))
        async with asyncio.timeout(PATIENCE_S):
            return await self._asked[frame_id]

    async def say(self, message: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return its ack."""
        reply = await self.ask("sendMessage", message=message, **fields)
        assert reply["type"] == "ack", reply
        return reply

    async def read(self) -> None:
        """Record incoming frames until the connection ends."""
        try:
            async for text in self._socket:
                self._take(json.loads(text))
        except ConnectionClosed:
            pass

    def _take(self, frame: dict[str, Any]) -> None:
        if frame.get("type") == "messages":
            now_s = time.perf_counter()
            self.got += [Pushed(one["seq"], one.get("message", ""), now_s) for one in frame["messages"]]
        elif (asked := self._asked.pop(frame.get("id", ""), None)) is not None and not asked.done():
            asked.set_result(frame)
        else:
            self.others.append(frame)


@asynccontextmanager
async def people(stack: Stack, count: int, group_id: str) -> AsyncIterator[list[Person]]:
    """Connect `count` members of a group."""
    connecting = asyncio.Semaphore(CONNECTING)

    async def come(opened: AsyncExitStack) -> Person:
        async with connecting:
            # While a test stops the gateway, pings go unanswered.
            connection = ws_connect(stack.gateway_url, proxy=None, ping_interval=None)
            person = Person(await opened.enter_async_context(connection))
            reading.append(asyncio.create_task(person.read()))
            reply = await person.ask("joinGroup", groupId=group_id)
            assert reply["type"] == "joined", reply
            person.joined_at = reply["lastSeq"]
            return person

    reading: list[asyncio.Task[None]] = []
    async with AsyncExitStack() as opened:
        yield await asyncio.gather(*(come(opened) for _ in range(count)))
    await asyncio.gather(*reading)


async def eventually(is_true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until it is true; AssertionError if it never is."""
    until_s = time.perf_counter() + patience_s
    while not is_true():
        assert time.perf_counter() < until_s, "in vain"
        await asyncio.sleep(0.02)


async def all_have(members: Iterable[Person], seqs: Iterable[int]) -> None:
    """Wait until every member has all of these numbers."""
    wanted, waiting = set(seqs), list(members)

    def have() -> bool:
        waiting[:] = [person for person in waiting if not wanted <= set(person.seqs)]
        return not waiting

    await eventually(have)


def surplus(members: Iterable[Person]) -> int:
    """The number of duplicate pushes."""
    return sum(count - 1 for person in members for count in Counter(person.seqs).values())


def logged(stack: Stack, message: str) -> list[dict[str, Any]]:
    """The functions' log lines with this message: "fan-out" of passes, "offers" of the stream."""
    start = f'"message":"{message}"'
    # The last line may be half-written.
    whole, _, _ = stack.log.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines() if start in line]


def logged_since(stack: Stack, message: str, before: int) -> list[dict[str, Any]]:
    """The same without the first `before` lines."""
    return logged(stack, message)[before:]
