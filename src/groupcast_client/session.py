"""A client's connection: replaces it when it is lost, and runs the tasks that belong to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from groupcast_client import frames
from groupcast_client.connection import Connection
from groupcast_client.errors import ConnectionLost, GroupcastError, Refused, ServerError
from groupcast_client.memberships import Memberships
from groupcast_client.pings import keep_pinging
from groupcast_client.ratelimit import retry_after_s

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator

    from groupcast_client.backoff import Backoff
    from groupcast_client.credential import Credential
    from groupcast_client.membership import Membership
    from groupcast_client.model import Endpoint, Limits

# This token is invalid or has expired; another may work.
_UNAUTHORIZED = 401
# The user is refused, whatever the token.
_FORBIDDEN = 403


class Session:
    """Keeps a connection and its memberships from `open` to `close`; callers can wait for them."""

    def __init__(
        self,
        endpoint: Endpoint,
        credential: Credential,
        *,
        limits: Limits,
        backoff: Backoff,
        rng: random.Random,
    ) -> None:
        self.memberships = Memberships(credential, limits, self.delays, self._notify)
        # For the messages of the current group, which `Client.join` moves.
        self.inbox = self.memberships.new_inbox()
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
        """Return new retry delays, starting with the shortest, endlessly."""
        return self._backoff.delays(self._rng)

    async def open(self) -> None:
        """Connect. Raises Refused or ConnectionLost."""
        connection = await self._connect(await self._credential.fetch())
        self._running = asyncio.create_task(self._run(connection))

    async def close(self) -> None:
        """Close for good and end all waits."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._connection is not None:
            await self._connection.close()
        if self._running is not None and not self._running.cancelled():
            # Raises only bugs of this package.
            self._running.result()

    @property
    def connection(self) -> Connection | None:
        """The open connection, if there is one."""
        return None if self._connection is None or self._connection.lost else self._connection

    async def connected(self) -> Connection:
        """Wait for an open connection. Raises the reason if the session has given up."""
        return await self._wait_for(lambda: self.connection, lambda: self._failure)

    async def joined(self, membership: Membership) -> Connection:
        """Wait for an open connection on which the group is joined.

        Raises as `connected` does, and the group's error if that has ended.
        """

        def joined_connection() -> Connection | None:
            return self.connection if membership.is_on(self.connection) else None

        return await self._wait_for(joined_connection, lambda: self._failure or membership.ended)

    async def _wait_for(
        self, state: Callable[[], Connection | None], failure: Callable[[], GroupcastError | None]
    ) -> Connection:
        async with self._changed:
            await self._changed.wait_for(lambda: failure() is not None or state() is not None)
        connection, error = state(), failure()
        if error is not None or connection is None:
            raise error or ConnectionLost("the connection is closed")
        return connection

    async def _run(self, connection: Connection) -> None:
        delays = self.delays()
        try:
            while True:
                await self._serve(connection)
                if connection.proven:
                    delays = self.delays()
                connection = await self._reconnect(delays)
        except GroupcastError as error:
            await self._fail(error, shown=error)
        finally:
            await self._fail(GroupcastError("the client is closed"), shown=None)

    async def _serve(self, connection: Connection) -> None:
        memberships = self.memberships
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.read(memberships.pushed))
                tasks.create_task(memberships.maintain(connection))
                tasks.create_task(
                    keep_pinging(
                        lambda: self._ping(connection),
                        lambda: memberships.pushed_at(connection),
                        self._limits.ping_interval_s,
                        self._rng,
                    )
                )
                tasks.create_task(
                    self._credential.keep(
                        connection, lambda renewed: memberships.listed(connection, renewed.group_ids)
                    )
                )
        except* ConnectionLost:
            pass
        except* GroupcastError as errors:
            failure = errors.exceptions[0]
        # Raise it here: early versions of Python 3.11 would wrap it in a group inside `except*`.
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
        raise AssertionError("delays are endless")

    async def _ping(self, connection: Connection) -> float:
        """Ping once; return the seconds until an extra ping that the service asks for, 0 for none."""
        try:
            pong = await connection.request(frames.Pong, "ping")
        except ServerError as error:
            # Even an error shows that the connection is alive.
            return retry_after_s(error, self._limits.ping_interval_s)
        self.memberships.ponged(connection, pong)
        return 0.0

    async def _fail(self, error: GroupcastError, *, shown: GroupcastError | None) -> None:
        if self._failure is None:
            self._failure = error
            self.inbox.finish(shown)
            self.memberships.finish(shown)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
