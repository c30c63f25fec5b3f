"""The client: keeps a connection, resumes after losing it, and gives each message once, in order."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID, uuid4

from groupcast_client import frames
from groupcast_client.backoff import Backoff
from groupcast_client.credential import Credential
from groupcast_client.errors import ConnectionLost, GroupcastError, ServerError
from groupcast_client.model import Ack, Endpoint, HistoryPage, Limits, Message
from groupcast_client.ordering import GroupLog
from groupcast_client.ratelimit import RateLimitRetry, pause, retried
from groupcast_client.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import datetime
    from types import TracebackType

    from groupcast_client.connection import Connection, Reply
    from groupcast_client.credential import Request, TokenProvider

    Usable = Callable[[], Awaitable[Connection]]

Result = TypeVar("Result")


class Client:
    """A member of the chat, in one group at a time.

    Entering it connects: Refused or ConnectionLost where that fails. After that a lost connection is
    replaced (exponential backoff, full jitter), the group joined again from the last message on, and
    requests without an answer are sent again, until a call's time is up. So are requests that were
    RateLimited, after the time that the service gives, and sends that failed with InternalError, after a
    backoff. Sends awaited one after another keep their order; sends awaited together may not.

    `token` is a JWT, or an async function that returns one: it is asked at each connect, and again before
    the token ends, or where a call is Forbidden, to renew it on the open connection. Raising, it is asked
    again later; a GroupcastError that it raises ends the client, as does a token that was refused with 401
    before.

    The owner must read `messages()`: when `limits.incoming` of them wait, reading from the socket pauses,
    and replies wait with it.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        token: str | TokenProvider | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._limits = limits or Limits()
        # Jitter needs no secrecy.
        self._rng = rng or random.Random()  # noqa: S311
        self._credential = Credential(token, self._limits, self._rng)
        self._session = Session(
            Endpoint(url, name),
            self._credential,
            limits=self._limits,
            backoff=backoff or Backoff(),
            rng=self._rng,
        )
        self._membership = self._session.membership
        self._rate_limit = RateLimitRetry()
        self._unanswered = asyncio.Semaphore(self._limits.unanswered)
        self._outstanding = 0

    async def __aenter__(self) -> Self:
        await self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def join(self, group_id: str, *, since: int | None = None, backlog: int = 0) -> int:
        """Join, leaving the group before, and return the number of the group's last message.

        `messages()` goes on after `since`; without it, with up to `backlog` messages from before joining.
        Raises ServerError (the client is still in the group before), ConnectionLost; GroupcastError while
        sends to the group before have no answer.
        """
        self._raise_if_busy()
        former = self._membership.log
        limits = self._limits
        log = self._membership.log = GroupLog(
            group_id,
            since=since,
            backlog=backlog,
            gap_wait_s=limits.gap_wait_s * self._rng.uniform(1, 2),
            hole_timeout_s=limits.hole_timeout_s * self._rng.uniform(1, 1.25),
            gap_requests=limits.gap_requests,
            pending_limit=limits.pending,
        )
        try:
            return await self._ask(
                self._session.linked, lambda connection: self._membership.enter(connection, log)
            )
        except ServerError:
            self._membership.resume(former)
            raise
        except BaseException:
            self._membership.log = None
            raise

    async def leave(self) -> None:
        """Leave the group. Raises as `join` does."""
        self._raise_if_busy()
        await self._call(_request(frames.Left, "leaveGroup"))
        self._membership.left()

    async def send(self, text: str, *, message_id: UUID | None = None) -> Ack:
        """Send to the group and return when the service has stored the message, once whatever it took.

        Raises TooLarge where the message is over a limit, any other ServerError where the service says no
        (RateLimited also where the time was up before it was this message's turn), ConnectionLost where no
        ack came: then the message may or may not be stored, and sending again with the same `message_id` is
        safe.
        """
        fields = {"message": text, "messageId": str(message_id or uuid4())}
        # TooLarge at once, also while there is no connection.
        frames.encode("sendMessage", "", **fields)
        request = _request(Ack, "sendMessage", **fields)
        async with self._in_group():
            delays, deadline = self._session.delays(), self._deadline()
            return await self._rate_limit.call(
                lambda: self._ask_once(self._session.joined, request, delays, deadline, repeats_failed=True),
                delays,
                deadline,
            )

    async def history(
        self, *, since: int | None = None, before: int | None = None, limit: int | None = None
    ) -> HistoryPage:
        """Return messages after `since`, or the last ones before `before`, of the group, oldest first.

        `limit` is at most, and by default, `limits.history_page`. Raises ServerError, ConnectionLost.
        """
        limit = self._limits.history_page if limit is None else limit
        return await self._call(_request(HistoryPage, "history", since=since, before=before, limit=limit))

    async def renew(self, token: str) -> datetime:
        """Give the open connection, and those after it, a fresh token; return when that one ends (UTC).

        Where it gives no right to the group any more, the client ends with ServerError `Forbidden`, as it
        does where joining again is refused. Raises ServerError for a token that the service does not take
        (the one before stays in use), ConnectionLost; GroupcastError where there is a token provider.
        """
        former = self._credential.replace(token)

        async def request(connection: Connection) -> frames.Renewed:
            renewed = await connection.request(frames.Renewed, "renew", token=token)
            self._membership.told(connection, renewed.group_id)
            return renewed

        try:
            return (await self._ask(self._session.linked, request)).expires_at
        except ServerError:
            self._credential.restore(former)
            raise

    def messages(self) -> AsyncIterator[Message]:
        """Iterate over the messages of the groups joined, each once, by `seq`. One reader at a time.

        Ends when the client is closed; raises what made it give up (Refused, ServerError) after the last.
        """
        return self._session.inbox.read()

    async def _call(self, request: Request[Result]) -> Result:
        async with self._in_group():
            return await self._ask(self._session.joined, request)

    @asynccontextmanager
    async def _in_group(self) -> AsyncIterator[None]:
        if self._membership.log is None:
            raise GroupcastError("join a group first")
        self._outstanding += 1
        try:
            async with self._unanswered:
                yield
        finally:
            self._outstanding -= 1

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._limits.call_timeout_s

    async def _ask(self, usable: Usable, request: Request[Result]) -> Result:
        delays, deadline = self._session.delays(), self._deadline()
        return await retried(lambda: self._ask_once(usable, request, delays, deadline), delays, deadline)

    async def _ask_once(
        self,
        usable: Usable,
        request: Request[Result],
        delays: Iterator[float],
        deadline: float,
        *,
        repeats_failed: bool = False,
    ) -> Result:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask_until_answered(usable, request, delays, deadline, repeats_failed)
        except TimeoutError:
            raise ConnectionLost(f"no answer in {self._limits.call_timeout_s:g} s") from None

    async def _ask_until_answered(
        self,
        usable: Usable,
        request: Request[Result],
        delays: Iterator[float],
        deadline: float,
        repeats_failed: bool,
    ) -> Result:
        was_lost = rejoined = False
        while True:
            connection = await usable()
            try:
                return await self._credential.ask(connection, request)
            except ConnectionLost:
                # Once at once, then with backoff: it may be this request that ends each connection.
                if was_lost:
                    await asyncio.sleep(next(delays))
                was_lost = True
            except ServerError as error:
                if error.code == "InternalError" and repeats_failed:
                    await pause(error, delays, deadline)
                elif error.code == "NotInGroup" and not rejoined:
                    # The service forgot this connection's group; asking anew after a second join is enough.
                    rejoined = True
                    self._membership.forgotten(connection)
                else:
                    raise

    def _raise_if_busy(self) -> None:
        # A frame does not name its group: sent again after a move, a message would go to the wrong one.
        if self._outstanding:
            raise GroupcastError(f"{self._outstanding} calls have no answer yet: await or cancel them first")


def _request(expected: type[Reply], action: str, **fields: Any) -> Request[Reply]:
    return lambda connection: connection.request(expected, action, **fields)
