"""Makes a client's calls, and repeats them until they are answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from groupcast_client.errors import ConnectionLost, ServerError
from groupcast_client.ratelimit import RateLimitRetry, pause, retried

if TYPE_CHECKING:
    from collections.abc import Iterator

    from groupcast_client.connection import Connection, Reply
    from groupcast_client.credential import Credential, Request
    from groupcast_client.membership import Membership
    from groupcast_client.model import Limits
    from groupcast_client.session import Session

Result = TypeVar("Result")


class Calls:
    """Makes requests on the session's connection, or its next ones, for `limits.call_timeout_s`.

    A call with a membership waits until its group is joined, and rejoins it once after NotInGroup. Every
    method raises ServerError and ConnectionLost, and the error with which the session or the group ended.
    """

    def __init__(self, session: Session, credential: Credential, limits: Limits) -> None:
        # Calls that may wait for replies, in all groups together; the others queue.
        self.unanswered = asyncio.Semaphore(limits.unanswered)
        self._session = session
        self._memberships = session.memberships
        self._credential = credential
        self._limits = limits

    async def ask(self, request: Request[Result], membership: Membership | None = None) -> Result:
        """Return the reply; retries after RateLimited."""
        delays, deadline = self._session.delays(), self._deadline()
        return await retried(lambda: self._ask_once(request, membership, delays, deadline), delays, deadline)

    async def send(
        self, request: Request[Result], membership: Membership, rate_limit: RateLimitRetry
    ) -> Result:
        """Return the reply; retries after RateLimited (in `rate_limit`'s queue) and InternalError."""
        delays, deadline = self._session.delays(), self._deadline()
        return await rate_limit.call(
            lambda: self._ask_once(request, membership, delays, deadline, retry_internal=True),
            delays,
            deadline,
        )

    async def enter(self, membership: Membership) -> int:
        """Join an open group and return its last number."""
        return await self.ask(lambda connection: self._memberships.enter(connection, membership))

    async def leave(self, group_id: str) -> None:
        """Tell the service that a group is no longer open; if that fails, replace the connection.

        Raises nothing: the next connection joins only the groups that are still open.
        """
        connection = self._session.connection
        if connection is None:
            return
        delays, deadline = self._session.delays(), self._deadline()
        try:
            await retried(lambda: self._memberships.leave(connection, group_id), delays, deadline)
        except ConnectionLost:
            pass
        except ServerError as error:
            if error.code != "NotInGroup":
                await connection.close()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._limits.call_timeout_s

    async def _ask_once(
        self,
        request: Request[Result],
        membership: Membership | None,
        delays: Iterator[float],
        deadline: float,
        *,
        retry_internal: bool = False,
    ) -> Result:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask_until_answered(request, membership, delays, deadline, retry_internal)
        except TimeoutError:
            raise ConnectionLost(f"no answer in {self._limits.call_timeout_s:g} s") from None

    async def _ask_until_answered(
        self,
        request: Request[Result],
        membership: Membership | None,
        delays: Iterator[float],
        deadline: float,
        retry_internal: bool,
    ) -> Result:
        was_lost = rejoined = False
        while True:
            connection = await self._usable(membership)
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
                elif error.code == "NotInGroup" and membership is not None and not rejoined:
                    # The service lost this connection's group: rejoin once and repeat the request.
                    rejoined = True
                    self._memberships.mark_not_joined(connection, membership)
                else:
                    raise

    async def _usable(self, membership: Membership | None) -> Connection:
        session = self._session
        return await (session.connected() if membership is None else session.joined(membership))


def request(expected: type[Reply], action: str, **fields: Any) -> Request[Reply]:
    """A request to make on a connection; see `Connection.request`."""
    return lambda connection: connection.request(expected, action, **fields)
