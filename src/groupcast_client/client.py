"""The client: keeps a connection, resumes after losing it, and delivers each message once, in order."""

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

    Entering it connects, and raises Refused or ConnectionLost if that fails. Later, the client replaces a
    lost connection (exponential backoff, full jitter), rejoins its group after the last message, and repeats
    unanswered requests until the call times out. It also retries RateLimited requests after the given delay,
    and sends that failed with InternalError after a backoff. Sends awaited one after another keep their
    order; concurrent sends may not.

    `token` is a JWT, or an async function that returns one, a token provider. The client calls the provider
    before each connect, and to renew the token on an open connection before it expires or when a call is
    Forbidden. If the provider raises, it is called again later. A GroupcastError from the provider ends the
    client, as does a second 401 for the same token.

    Always read `messages()`: when `limits.incoming` messages wait, the client stops reading from the socket,
    and replies are delayed, too.
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
        """Move to a group and return the number of its last message.

        `messages()` continues after `since`, or starts with up to `backlog` messages from before the join.
        Raises ServerError (the client then stays in its previous group) or ConnectionLost, and GroupcastError
        while calls to the previous group are unanswered.
        """
        self._raise_if_busy()
        previous = self._membership.log
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
                self._session.connected, lambda connection: self._membership.enter(connection, log)
            )
        except ServerError:
            self._membership.resume(previous)
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
        """Send to the group; return when the service has stored the message, exactly once despite retries.

        Raises TooLarge if the message is over a limit, and another ServerError if the service refuses it.
        RateLimited can also mean that the call timed out while it waited for earlier rate-limited sends.
        After ConnectionLost the message may or may not be stored; repeat it safely with the same
        `message_id`.
        """
        fields = {"message": text, "messageId": str(message_id or uuid4())}
        # Raise TooLarge immediately, even without a connection.
        frames.encode("sendMessage", "", **fields)
        request = _request(Ack, "sendMessage", **fields)
        async with self._in_group():
            delays, deadline = self._session.delays(), self._deadline()
            return await self._rate_limit.call(
                lambda: self._ask_once(self._session.joined, request, delays, deadline, retry_internal=True),
                delays,
                deadline,
            )

    async def history(
        self, *, since: int | None = None, before: int | None = None, limit: int | None = None
    ) -> HistoryPage:
        """Return the group's messages after `since`, or the last ones before `before`, oldest first.

        `limit` defaults to its maximum, `limits.history_page`. Raises ServerError or ConnectionLost.
        """
        limit = self._limits.history_page if limit is None else limit
        return await self._call(_request(HistoryPage, "history", since=since, before=before, limit=limit))

    async def renew(self, token: str) -> datetime:
        """Use a new token for this and later connections; return its expiry (UTC).

        If it no longer permits the group, the client ends with ServerError `Forbidden`, as after any refused
        rejoin. Raises ServerError if the service refuses the token (the previous one stays in use),
        ConnectionLost, or GroupcastError if the client has a token provider.
        """
        previous = self._credential.replace(token)

        async def request(connection: Connection) -> frames.Renewed:
            renewed = await connection.request(frames.Renewed, "renew", token=token)
            self._membership.group_reported(connection, renewed.group_id)
            return renewed

        try:
            return (await self._ask(self._session.connected, request)).expires_at
        except ServerError:
            self._credential.restore(previous)
            raise

    def messages(self) -> AsyncIterator[Message]:
        """Iterate over the messages of joined groups, each once, in order of `seq`. For one reader at a time.

        Ends when the client is closed. If the client has given up, raises the reason (Refused, ServerError)
        after the last message.
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
        retry_internal: bool = False,
    ) -> Result:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask_until_answered(usable, request, delays, deadline, retry_internal)
        except TimeoutError:
            raise ConnectionLost(f"no answer in {self._limits.call_timeout_s:g} s") from None

    async def _ask_until_answered(
        self,
        usable: Usable,
        request: Request[Result],
        delays: Iterator[float],
        deadline: float,
        retry_internal: bool,
    ) -> Result:
        was_lost = rejoined = False
        while True:
            connection = await usable()
            try:
                return await self._credential.ask(connection, request)
            except ConnectionLost:
                # Repeat immediately once, then with backoff: this request may be what breaks the connections.
                if was_lost:
                    await asyncio.sleep(next(delays))
                was_lost = True
            except ServerError as error:
                if error.code == "InternalError" and retry_internal:
                    await pause(error, delays, deadline)
                elif error.code == "NotInGroup" and not rejoined:
                    # The service lost this connection's group: rejoin once and repeat the request.
                    rejoined = True
                    self._membership.mark_not_joined(connection)
                else:
                    raise

    def _raise_if_busy(self) -> None:
        # Frames do not name their group: after a move, a repeated message would go to the wrong one.
        if self._outstanding:
            raise GroupcastError(
                f"{self._outstanding} calls are still unanswered: await or cancel them first"
            )


def _request(expected: type[Reply], action: str, **fields: Any) -> Request[Reply]:
    return lambda connection: connection.request(expected, action, **fields)
