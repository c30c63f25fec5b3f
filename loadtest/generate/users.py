"""The virtual users of one process: they connect, join their group and leave on schedule."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import orjson

from loadtest.clock import NS_PER_S, NS_PER_US, until
from loadtest.errors import ConnectError
from loadtest.generate.inbox import Inbox
from loadtest.results.histogram import Histogram
from loadtest.results.tally import Arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.generate.wire import Connection, Dialer
    from loadtest.plan.schedule import PlannedConnection
    from loadtest.results.ledger import Ledger

CONNECT_ATTEMPTS = 3
RETRY_AFTER_S = 0.5
JOIN_TIMEOUT_S = 30.0
# Handshakes and joins under way at once; others wait, and the wait counts in their connect_ms.
MAX_CONNECTING = 256
# The index that the fan-out reads is eventually consistent, so a join counts from shortly after its reply.
JOIN_SETTLE_S = 1.0
# API Gateway closes a connection after ten idle minutes.
PING_EVERY_S = 300.0
_PING = orjson.dumps({"action": "ping"})


class VirtualUsers:
    """`groups` are the names of the groups; `on_reply` gets all replies but those to joinGroup.

    `online` holds the connections of joined users, by user. `failures` counts users who could not join, by
    reason, and `dropped` connections that the server closed.
    """

    def __init__(
        self,
        groups: Sequence[str],
        dialer: Dialer,
        prefix: str,
        ledger: Ledger,
        on_reply: Callable[[dict[str, Any], int], None],
    ) -> None:
        self.online: dict[int, Connection] = {}
        self.failures: Counter[str] = Counter()
        self.dropped = 0
        self.connect = Histogram()
        self.received = ledger.receive
        self._ledger = ledger
        self._groups = groups
        self._dialer = dialer
        self._inbox = Inbox(self, prefix)
        self._on_reply = on_reply
        self._joining: dict[Connection, asyncio.Future[int]] = {}
        self._connecting = asyncio.Semaphore(MAX_CONNECTING)

    async def connect_all(self, planned: Iterable[PlannedConnection], origin_ns: int) -> None:
        """Connect and join each at its time after `origin_ns`; return when all have joined or failed."""
        async with asyncio.TaskGroup() as connecting:
            for connection in planned:
                due_ns = origin_ns + connection.connect_ns
                await until(due_ns)
                connecting.create_task(self._join(connection.user, due_ns))

    async def leave_all(self, planned: Iterable[PlannedConnection], origin_ns: int, grace_s: float) -> None:
        """Let each leave at its time; it stays connected for `grace_s`, for messages that were due before."""
        leaving = sorted((origin_ns + one.leave_ns, one.user) for one in planned if one.leave_ns is not None)
        loop = asyncio.get_running_loop()
        for at_ns, user in leaving:
            await until(at_ns)
            connection = self.online.pop(user, None)
            if connection is not None and connection.member is not None:
                # Not at `at_ns`: a message due since then may have arrived and been counted.
                self._ledger.leave(connection.member, monotonic_ns())
                loop.call_later(grace_s, connection.close)

    async def keep_alive(self) -> None:
        """Ping every connection once in PING_EVERY_S, at even intervals."""
        while True:
            connections = list(self.online.values())
            pause_s = PING_EVERY_S / max(len(connections), 1)
            await asyncio.sleep(pause_s)
            for connection in connections:
                connection.send(_PING)
                await asyncio.sleep(pause_s)

    def arrivals(self) -> Arrivals:
        return Arrivals(self.connect.count, dict(self.failures))

    def close(self) -> None:
        for connection in self.online.values():
            connection.close()

    def replied(self, connection: Connection, frame: dict[str, Any], stamp_ns: int) -> None:
        joining = self._joining.get(connection)
        if joining is None:
            self._on_reply(frame, stamp_ns)
        elif joining.done():
            return
        elif frame.get("type") == "joined":
            joining.set_result(stamp_ns)
        else:
            reply = frame.get("code", frame.get("message", "something else"))
            joining.set_exception(ConnectError(f"joinGroup was answered with {reply}"))

    def closed(self, connection: Connection) -> None:
        joining = self._joining.get(connection)
        if joining is not None and not joining.done():
            joining.set_exception(ConnectError("the server closed the connection before it joined"))
        # A disconnected member still expects its messages: those that it misses are lost.
        elif self.online.get(connection.user) is connection:
            self.dropped += 1
            del self.online[connection.user]

    async def _join(self, user: int, due_ns: int) -> None:
        for attempt in range(CONNECT_ATTEMPTS):
            try:
                async with self._connecting:
                    self.online[user] = await self._try_to_join(user, due_ns)
            except ConnectError as error:
                if attempt + 1 == CONNECT_ATTEMPTS:
                    self.failures[str(error)] += 1
                    return
                await asyncio.sleep(RETRY_AFTER_S)
            else:
                return

    async def _try_to_join(self, user: int, due_ns: int) -> Connection:
        connection = await self._dialer.open(user, self._inbox)
        joined: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._joining[connection] = joined
        group = user % len(self._groups)
        connection.send(orjson.dumps({"action": "joinGroup", "groupId": self._groups[group]}))
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                joined_ns = await joined
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise ConnectError(f"joinGroup was not answered within {JOIN_TIMEOUT_S:.0f} s") from None
            raise
        finally:
            del self._joining[connection]
        self.connect.record((connection.opened_ns - due_ns) // NS_PER_US)
        connection.member = self._ledger.join(group, joined_ns + round(JOIN_SETTLE_S * NS_PER_S))
        return connection
