"""The connection of a client, replaced whenever it is lost, and what goes on while it lasts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from groupcast_client import frames
from groupcast_client.connection import Connection
from groupcast_client.errors import ConnectionLost, GroupcastError, Refused, ServerError
from groupcast_client.inbox import Inbox
from groupcast_client.membership import Membership
from groupcast_client.pings import keep_pinging
from groupcast_client.ratelimit import retry_after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from groupcast_client.backoff import Backoff
    from groupcast_client.credential import Credential
    from groupcast_client.model import Endpoint, Limits

# A token that is not good (any more): another one may be.
_UNAUTHORIZED = 401
# A user who may not, whatever the token.
_FORBIDDEN = 403


class Session:
    """Keeps a connection from `open` to `close`, on it the membership, and tells who waits for either."""

    def __init__(
        self,
        endpoint: Endpoint,
        credential: Credential,
        *,
        limits: Limits,
        backoff: Backoff,
        rng: random.Random,
    ) -> None:
        self.inbox = Inbox(limits.incoming)
        self.membership = Membership(self.inbox, credential, limits, self.delays, self._notify)
        self._endpoint = endpoint
        self._credential = credential
        self._limits = limits
        self._backoff = backoff
        self._rng = rng
        self._changed = asyncio.Condition()
        self._connection: Connection | None = None
        self._failure: GroupcastError | None = None
        self._running: asyncio.Task[None] | None = None

    def delays(self) -> Iterator[float]:
        """Return waits between attempts of something that failed, from the shortest on, without end."""
        return self._backoff.delays(self._rng)

    async def open(self) -> None:
        """Connect. Raises Refused, ConnectionLost."""
        connection = await self._connect(await self._credential.fetch())
        self._running = asyncio.create_task(self._run(connection))

    async def close(self) -> None:
        """Close for good; whoever waits is let go."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._connection is not None:
            await self._connection.close()
        if self._running is not None and not self._running.cancelled():
            # Reports what can only be a mistake in this package.
            self._running.result()

    async def linked(self) -> Connection:
        """Wait for an open connection. Raises what made the session give up."""
        return await self._wait_for(self._linked)

    async def joined(self) -> Connection:
        """Wait for an open connection on which the group is joined. Raises as `linked` does."""
        return await self._wait_for(self._joined)

    async def _wait_for(self, state: Callable[[], Connection | None]) -> Connection:
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure is not None or state() is not None)
        connection = state()
        if self._failure is not None or connection is None:
            raise self._failure or ConnectionLost("the connection is closed")
        return connection

    def _linked(self) -> Connection | None:
        return None if self._connection is None or self._connection.lost else self._connection

    def _joined(self) -> Connection | None:
        connection = self._linked()
        return connection if self.membership.is_on(connection) else None

    async def _run(self, connection: Connection) -> None:
        delays = self.delays()
        try:
            while True:
                await self._attend(connection)
                if connection.proven:
                    delays = self.delays()
                connection = await self._reconnect(delays)
        except GroupcastError as error:
            await self._fail(error, shown=error)
        finally:
            await self._fail(GroupcastError("the client is closed"), shown=None)

    async def _attend(self, connection: Connection) -> None:
        membership = self.membership
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.read(membership.pushed, self.inbox.room))
                tasks.create_task(membership.tend(connection))
                tasks.create_task(
                    keep_pinging(
                        lambda: self._ping(connection),
                        lambda: connection.pushed_at,
                        self._limits.ping_interval_s,
                        self._rng,
                    )
                )
                tasks.create_task(
                    self._credential.keep(
                        connection, lambda reply: membership.told(connection, reply.group_id)
                    )
                )
        except* ConnectionLost:
            pass
        except* GroupcastError as errors:
            failure = errors.exceptions[0]
        # Not from within: early versions of Python 3.11 wrap it in a group.
        if failure is not None:
            raise failure

    async def _connect(self, token: str | None) -> Connection:
        self._connection = await Connection.open(replace(self._endpoint, token=token), self._limits)
        return self._connection

    async def _reconnect(self, delays: Iterable[float]) -> Connection:
        refusal: Refused | None = None
        refused_token: str | None = None
        for delay_s in delays:
            await asyncio.sleep(delay_s)
            with suppress(ConnectionLost):
                token = await self._credential.fetch()
                if refusal is not None and token == refused_token:
                    raise refusal
                try:
                    connection = await self._connect(token)
                except Refused as error:
                    if error.status == _FORBIDDEN:
                        raise
                    if error.status == _UNAUTHORIZED:
                        if self._credential.is_fixed:
                            raise
                        refusal, refused_token = error, token
                else:
                    await self._notify()
                    return connection
        raise AssertionError("delays do not end")

    async def _ping(self, connection: Connection) -> float:
        """Ping once; return the seconds after which the service wants to be asked again, 0 for none."""
        try:
            pong = await connection.request(frames.Pong, "ping")
        except ServerError as error:
            # It is no pong, but it does say that the connection is alive.
            return retry_after_s(error, self._limits.ping_interval_s)
        self.membership.told(connection, pong.group_id, pong.last_seq)
        return 0.0

    async def _fail(self, error: GroupcastError, *, shown: GroupcastError | None) -> None:
        if self._failure is None:
            self._failure = error
            self.inbox.finish(shown)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
