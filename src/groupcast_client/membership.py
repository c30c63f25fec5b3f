"""The client's group: joins it, rejoins it if the service lost it, and fills gaps in its log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from groupcast_client import frames
from groupcast_client.errors import ConnectionLost, ServerError
from groupcast_client.model import HistoryPage
from groupcast_client.ratelimit import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from groupcast_client.connection import Connection
    from groupcast_client.credential import Credential
    from groupcast_client.inbox import Inbox
    from groupcast_client.model import Limits
    from groupcast_client.ordering import GroupLog

# Error codes after which a rejoin is tried again, on a new connection.
_RETRYABLE = frozenset({"Conflict", "InternalError"})


class Membership:
    """Membership of one group across successive connections; messages go to `inbox`.

    `log` is the group to be in. The owner sets it and calls `enter` once; `maintain` rejoins when needed.
    """

    def __init__(
        self,
        inbox: Inbox,
        credential: Credential,
        limits: Limits,
        new_delays: Callable[[], Iterator[float]],
        on_entered: Callable[[], Awaitable[None]],
    ) -> None:
        self.log: GroupLog | None = None
        self._inbox = inbox
        self._credential = credential
        self._limits = limits
        self._new_delays = new_delays
        self._on_entered = on_entered
        # The log of the last successful joinGroup; a new connection joins it again.
        self._entered_log: GroupLog | None = None
        self._entered_on: Connection | None = None
        self._entering = asyncio.Lock()
        self._changed = asyncio.Event()

    def is_on(self, connection: Connection | None) -> bool:
        """Whether `log` has been joined on this connection."""
        return self.log is not None and self._entered_log is self.log and self._entered_on is connection

    async def enter(self, connection: Connection, log: GroupLog) -> int:
        """Join and return the group's last number. Raises ServerError, ConnectionLost."""
        async with self._entering:
            if self._entered_on is connection and self._entered_log is log:
                return log.last_seq
            since = log.since
            joined = await connection.request(frames.Joined, "joinGroup", groupId=log.group_id, since=since)
            self._entered_on, self._entered_log = connection, log
            self._inbox.put(log.joined(joined.last_seq, joined.entries, complete=joined.complete, now=_now()))
        self._changed.set()
        await self._on_entered()
        return joined.last_seq

    def resume(self, log: GroupLog | None) -> None:
        """Return to the previous log after a refused `enter`: the service has not moved the connection."""
        self.log = log
        if log is not None:
            log.expect_missed_push(_now())
        self._changed.set()

    def left(self) -> None:
        """Forget the group after a successful leaveGroup."""
        self.log = self._entered_log = self._entered_on = None

    def mark_not_joined(self, connection: Connection) -> None:
        """Note that the service has lost this connection's group, so that `maintain` rejoins."""
        if self._entered_on is connection:
            self._entered_on = None
            self._changed.set()

    def group_reported(
        self, connection: Connection, group_id: str | None, last_seq: int | None = None
    ) -> None:
        """Process the connection's group as the service reports it, and its last number if known."""
        log = self.log
        if log is None or not self.is_on(connection):
            return
        if group_id != log.group_id:
            self.mark_not_joined(connection)
        elif last_seq is not None:
            log.heard(last_seq, _now())
            self._changed.set()

    def pushed(self, push: frames.Push) -> None:
        """Process a push."""
        log = self.log
        if log is None or push.group_id != log.group_id:
            return
        self._inbox.put(log.pushed(push.entries, _now()))
        if log.wake_at is not None:
            self._changed.set()

    async def maintain(self, connection: Connection) -> NoReturn:
        """Rejoin when needed and fill gaps, endlessly. Raises ServerError if a rejoin is refused."""
        delays = self._new_delays()
        rejoin_at = 0.0
        while True:
            self._changed.clear()
            log = self.log
            wake_at = None
            if log is not None and log is self._entered_log:
                if self.is_on(connection):
                    since = log.ask(_now())
                    if since is not None:
                        await self._fill(connection, log, since)
                        continue
                    wake_at = log.wake_at
                elif _now() >= rejoin_at:
                    rejoin_at = _now() + await self._rejoin(connection, log, delays)
                    continue
                else:
                    wake_at = rejoin_at
            try:
                async with asyncio.timeout_at(wake_at):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _rejoin(self, connection: Connection, log: GroupLog, delays: Iterator[float]) -> float:
        """Rejoin; return the seconds until the next attempt, 0 if none is needed."""
        try:
            await self._credential.ask(connection, lambda connection: self.enter(connection, log))
        except ServerError as error:
            if error.code == "RateLimited":
                return retry_after_s(error, self._limits.call_timeout_s) or next(delays)
            if error.code not in _RETRYABLE:
                raise
            await connection.close()
            raise ConnectionLost(str(error)) from error
        return 0.0

    async def _fill(self, connection: Connection, log: GroupLog, since: int) -> None:
        try:
            page = await connection.request(
                HistoryPage, "history", since=since, limit=self._limits.history_page
            )
        except ServerError as error:
            log.failed(_now(), retry_after_s(error, self._limits.call_timeout_s))
        else:
            self._inbox.put(log.replied(page.entries, complete=page.complete, now=_now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
