"""The client: keeps a connection, resumes after losing it, and gives each message once, in order."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from groupcast_client import frames
from groupcast_client.backoff import Backoff
from groupcast_client.connection import Connection, Reply
from groupcast_client.errors import ConnectionLost, GroupcastError, Refused, ServerError
from groupcast_client.inbox import Inbox
from groupcast_client.model import Ack, Endpoint, HistoryPage, Limits, Message
from groupcast_client.ordering import GroupLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

# Error codes after which a rejoin is tried again, on a new connection.
_PASSING = frozenset({"Conflict", "InternalError", "RateLimited"})
# Statuses that a new attempt with the same token cannot change.
_FINAL_STATUSES = frozenset({401, 403})


class Client:
    """A member of the chat, in one group at a time.

    Entering it connects: Refused or ConnectionLost where that fails. After that a lost connection is
    replaced (exponential backoff, full jitter), the group joined again from the last message on, and
    what had no answer is asked again, until a call's time is up. Sends awaited one after another keep
    their order; sends awaited together may not.

    The owner must read `messages()`: when `limits.incoming` of them wait, reading from the socket pauses,
    and replies wait with it.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        token: str | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._endpoint = Endpoint(url, name, token)
        self._limits = limits or Limits()
        self._backoff = backoff or Backoff()
        # Jitter needs no secrecy.
        self._rng = rng or random.Random()  # noqa: S311
        self._inbox = Inbox(self._limits.incoming)
        self._unanswered = asyncio.Semaphore(self._limits.unanswered)
        self._outstanding = 0
        self._changed = asyncio.Condition()
        self._log_changed = asyncio.Event()
        self._connection: Connection | None = None
        self._log: GroupLog | None = None
        # What joinGroup was answered for last: on a new connection, the same log is joined again.
        self._entered_log: GroupLog | None = None
        self._entered_on: Connection | None = None
        self._entering = asyncio.Lock()
        self._failure: GroupcastError | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._connection = await Connection.open(self._endpoint, self._limits)
        self._running = asyncio.create_task(self._run(self._connection))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._connection is not None:
            await self._connection.close()
        if self._running is not None and not self._running.cancelled():
            # Reports what can only be a mistake in this package.
            self._running.result()

    async def join(self, group_id: str, *, since: int | None = None, backlog: int = 0) -> int:
        """Join, leaving the group before, and return the number of the group's last message.

        `messages()` goes on after `since`; without it, with up to `backlog` messages from before joining.
        Raises ServerError, ConnectionLost; GroupcastError while sends to the group before have no answer.
        """
        self._raise_if_busy()
        limits = self._limits
        log = self._log = GroupLog(
            group_id,
            since=since,
            backlog=backlog,
            gap_wait_s=limits.gap_wait_s * self._rng.uniform(1, 2),
            hole_timeout_s=limits.hole_timeout_s,
            pending_limit=limits.pending,
        )
        try:
            async with self._call_time():
                while True:
                    connection = await self._usable(self._linked)
                    try:
                        return await self._enter(connection, log)
                    except ConnectionLost:
                        continue
        except BaseException:
            self._log = None
            raise

    async def leave(self) -> None:
        """Leave the group. Raises as `join` does."""
        self._raise_if_busy()
        await self._call(frames.Left, "leaveGroup")
        self._log = self._entered_log = self._entered_on = None

    async def send(self, text: str, *, message_id: UUID | None = None) -> Ack:
        """Send to the group and return when the service has stored the message, once whatever it took.

        Raises ServerError where the service says no, ConnectionLost where no ack came: then the message
        may or may not be stored, and sending again with the same `message_id` is safe.
        """
        return await self._call(Ack, "sendMessage", message=text, messageId=str(message_id or uuid4()))

    async def history(
        self, *, since: int | None = None, before: int | None = None, limit: int | None = None
    ) -> HistoryPage:
        """Return messages after `since`, or the last ones before `before`, of the group, oldest first.

        `limit` is at most, and by default, `limits.history_page`. Raises ServerError, ConnectionLost.
        """
        limit = self._limits.history_page if limit is None else limit
        return await self._call(HistoryPage, "history", since=since, before=before, limit=limit)

    def messages(self) -> AsyncIterator[Message]:
        """Iterate over the messages of the groups joined, each once, by `seq`. One reader at a time.

        Ends when the client is closed; raises what made it give up (Refused, ServerError) after the last.
        """
        return self._inbox.read()

    # -- calls -----------------------------------------------------------------------------------------

    async def _call(self, expected: type[Reply], action: str, **fields: Any) -> Reply:
        if self._log is None:
            raise GroupcastError("join a group first")
        self._outstanding += 1
        try:
            async with self._unanswered, self._call_time():
                return await self._request_until_answered(expected, action, fields)
        finally:
            self._outstanding -= 1

    async def _request_until_answered(
        self, expected: type[Reply], action: str, fields: dict[str, Any]
    ) -> Reply:
        rejoined = False
        while True:
            connection = await self._usable(self._joined)
            try:
                return await connection.request(expected, action, **fields)
            except ConnectionLost:
                continue
            except ServerError as error:
                if error.code != "NotInGroup" or rejoined:
                    raise
                # The service forgot this connection's group; asking anew after a second join is enough.
                rejoined = True
                self._entered_on = None
                await self._reenter(connection)

    @asynccontextmanager
    async def _call_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.call_timeout_s):
                yield
        except TimeoutError:
            raise ConnectionLost(f"no answer in {self._limits.call_timeout_s:g} s") from None

    async def _usable(self, state: Callable[[], Connection | None]) -> Connection:
        async with self._changed:
            await self._changed.wait_for(lambda: self._failure is not None or state() is not None)
        connection = state()
        if self._failure is not None or connection is None:
            raise self._failure or ConnectionLost("the connection is closed")
        return connection

    def _linked(self) -> Connection | None:
        return None if self._connection is None or self._connection.lost else self._connection

    def _joined(self) -> Connection | None:
        connection = self._entered_on
        return None if connection is not self._linked() or self._entered_log is not self._log else connection

    def _raise_if_busy(self) -> None:
        # A frame does not name its group: sent again after a move, a message would go to the wrong one.
        if self._outstanding:
            raise GroupcastError(f"{self._outstanding} calls have no answer yet: await or cancel them first")

    # -- keeping the connection ------------------------------------------------------------------------

    async def _run(self, connection: Connection) -> None:
        delays = self._backoff.delays(self._rng)
        try:
            while True:
                await self._attend(connection)
                if connection.proven:
                    delays = self._backoff.delays(self._rng)
                connection = await self._reconnect(delays)
        except GroupcastError as error:
            await self._fail(error)
        finally:
            await self._fail(GroupcastError("the client is closed"))

    async def _attend(self, connection: Connection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.read(self._on_push, self._inbox.room))
                tasks.create_task(self._tend(connection))
                tasks.create_task(self._ping(connection))
        except* ConnectionLost:
            pass
        except* GroupcastError as errors:
            raise errors.exceptions[0] from None

    async def _reconnect(self, delays: Iterable[float]) -> Connection:
        for delay_s in delays:
            await asyncio.sleep(delay_s)
            try:
                self._connection = await Connection.open(self._endpoint, self._limits)
            except Refused as error:
                if error.status in _FINAL_STATUSES:
                    raise
            except ConnectionLost:
                pass
            else:
                await self._notify()
                return self._connection
        raise AssertionError("delays do not end")

    async def _tend(self, connection: Connection) -> None:
        if self._log is not None and self._log is self._entered_log:
            await self._reenter(connection)
        loop = asyncio.get_running_loop()
        while True:
            self._log_changed.clear()
            log = self._log
            wake_at = None
            if log is not None and self._joined() is connection:
                since = log.ask(loop.time())
                if since is not None:
                    await self._fill(connection, log, since)
                    continue
                wake_at = log.wake_at
            try:
                async with asyncio.timeout_at(wake_at):
                    await self._log_changed.wait()
            except TimeoutError:
                pass

    async def _fill(self, connection: Connection, log: GroupLog, since: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            page = await connection.request(
                HistoryPage, "history", since=since, limit=self._limits.history_page
            )
        except ServerError:
            log.failed(loop.time())
        else:
            self._inbox.put(log.replied(page.messages, complete=page.complete, now=loop.time()))

    async def _ping(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(self._limits.ping_interval_s)
            pong = await connection.request(frames.Pong, "ping")
            if self._log is None or self._joined() is not connection:
                continue
            if pong.group_id != self._log.group_id:
                self._entered_on = None
                await self._reenter(connection)
            elif pong.last_seq is not None:
                self._log.heard(pong.last_seq, asyncio.get_running_loop().time())
                self._log_changed.set()

    async def _reenter(self, connection: Connection) -> None:
        try:
            if self._log is not None:
                await self._enter(connection, self._log)
        except ServerError as error:
            if error.code not in _PASSING:
                raise
            await connection.close()
            raise ConnectionLost(str(error)) from error

    async def _enter(self, connection: Connection, log: GroupLog) -> int:
        async with self._entering:
            if self._entered_on is connection and self._entered_log is log:
                return log.last_seq
            since = log.since
            joined = await connection.request(frames.Joined, "joinGroup", groupId=log.group_id, since=since)
            now = asyncio.get_running_loop().time()
            self._entered_on, self._entered_log = connection, log
            self._inbox.put(log.joined(joined.last_seq, joined.messages, complete=joined.complete, now=now))
        self._log_changed.set()
        await self._notify()
        return joined.last_seq

    # -- what comes in ---------------------------------------------------------------------------------

    def _on_push(self, push: frames.Push) -> None:
        log = self._log
        if log is None or push.group_id != log.group_id:
            return
        self._inbox.put(log.pushed(push.messages, asyncio.get_running_loop().time()))
        if log.wake_at is not None:
            self._log_changed.set()

    async def _fail(self, error: GroupcastError) -> None:
        if self._failure is None:
            self._failure = error
            self._inbox.finish(error if isinstance(error, (Refused, ServerError)) else None)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
