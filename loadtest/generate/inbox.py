"""Incoming bytes: stamped on arrival, parsed later.

The event loop stamps everything that has arrived, one slice is parsed, then the loop stamps again. So a stamp
is late by one slice at most, however much there is to parse.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from loadtest.errors import ConnectError
from loadtest.generate.framing import CLOSE, PING
from loadtest.plan.schedule import message_number

if TYPE_CHECKING:
    from loadtest.generate.wire import Connection
    from loadtest.results.ledger import Member

# Parsing these takes less than a millisecond.
SLICE_CHUNKS = 256
# With more waiting, all are parsed at once; stamps are late then, which the loop's lag shows.
MAX_WAITING_CHUNKS = 100_000
# Members of a group get the same bytes, and few messages are under way at once.
CACHED_PUSHES = 256

Pushed = tuple[tuple[int, int], ...]


class Events(Protocol):
    """Callbacks in order of arrival; stamps are monotonic."""

    def received(self, member: Member, number: int, seq: int, stamp_ns: int) -> None:
        """A member got a message of this run."""

    def replied(self, connection: Connection, frame: dict[str, Any], stamp_ns: int) -> None:
        """A frame other than a push arrived."""

    def closed(self, connection: Connection) -> None:
        """The server closed the connection."""


class Inbox:
    """Stamped bytes of all connections, until they are parsed; `prefix` begins the run's message ids."""

    def __init__(self, events: Events, prefix: str) -> None:
        self.events = events
        self._prefix = prefix
        self._chunks: deque[tuple[int, Connection, bytes]] = deque()
        self._scheduled = False
        self._pushes: dict[bytes, Pushed] = {}
        self._loop = asyncio.get_running_loop()

    def add(self, stamp_ns: int, connection: Connection, data: bytes) -> None:
        self._chunks.append((stamp_ns, connection, data))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._parse_slice)

    def closed(self, connection: Connection) -> None:
        self.events.closed(connection)

    def _parse_slice(self) -> None:
        chunks, pushes = self._chunks, self._pushes
        waiting = len(chunks)
        for _ in range(waiting if waiting > MAX_WAITING_CHUNKS else min(waiting, SLICE_CHUNKS)):
            stamp_ns, connection, data = chunks.popleft()
            pushed = pushes.get(data) if connection.splitter.idle else None
            if pushed is None:
                self._split(stamp_ns, connection, data)
            else:
                self._deliver(stamp_ns, connection, pushed)
        self._scheduled = bool(chunks)
        if chunks:
            self._loop.call_soon(self._parse_slice)

    def _split(self, stamp_ns: int, connection: Connection, data: bytes) -> None:
        whole = connection.splitter.idle
        try:
            found = connection.splitter.feed(data)
        except ConnectError:
            connection.abort()
            return
        for opcode, payload in found:
            if opcode in (CLOSE, PING):
                connection.answer_control(opcode, payload)
                continue
            pushed = self._pushes.get(payload)
            if pushed is None:
                pushed = self._parse(stamp_ns, connection, payload)
            if pushed is not None:
                self._deliver(stamp_ns, connection, pushed)
                if whole and len(found) == 1 and connection.splitter.idle:
                    self._remember(data, pushed)

    def _parse(self, stamp_ns: int, connection: Connection, payload: bytes) -> Pushed | None:
        try:
            frame = orjson.loads(payload)
        except ValueError:
            return None
        if not isinstance(frame, dict):
            return None
        if frame.get("type") != "messages":
            self.events.replied(connection, frame, stamp_ns)
            return None
        numbered = (
            # A void seq has no messageId.
            (message_number(self._prefix, item.get("messageId", "")), item["seq"])
            for item in frame["messages"]
        )
        pushed = tuple((number, seq) for number, seq in numbered if number is not None)
        self._remember(payload, pushed)
        return pushed

    def _remember(self, data: bytes, pushed: Pushed) -> None:
        if len(self._pushes) >= CACHED_PUSHES:
            self._pushes.clear()
        self._pushes[data] = pushed

    def _deliver(self, stamp_ns: int, connection: Connection, pushed: Pushed) -> None:
        member = connection.member
        if member is not None:
            for number, seq in pushed:
                self.events.received(member, number, seq, stamp_ns)
