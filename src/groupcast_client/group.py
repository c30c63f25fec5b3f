"""One group of a client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID, uuid4

from groupcast_client import frames
from groupcast_client.calls import request
from groupcast_client.errors import GroupcastError
from groupcast_client.model import Ack, HistoryPage, Message
from groupcast_client.ratelimit import RateLimitRetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from groupcast_client.calls import Calls
    from groupcast_client.credential import Request
    from groupcast_client.membership import Membership
    from groupcast_client.memberships import Memberships
    from groupcast_client.model import Limits

Result = TypeVar("Result")
_NOT_ENTERED = "open the group first: async with client.group(…)"


class Group:
    """A group of a client, from `Client.group`, beside its other groups.

    Entering it joins, and raises ServerError or ConnectionLost if that fails, and GroupcastError if the
    client is already in the group or in MAX_GROUPS (50). Leaving it leaves the group; that raises nothing.
    Enter it once.

    Iterating gives the group's messages, each once, in order of `seq`, to one reader at a time. The iterator
    ends when the group is left or the client closed.

    If the service refuses a rejoin, for instance because a new token does not permit the group, then this
    group ends: its iterator, after the last message, and its calls raise that ServerError. The client's other
    groups go on. If the client gives up, the iterators and calls of all groups raise the reason.
    """

    def __init__(
        self, membership: Membership, memberships: Memberships, calls: Calls, limits: Limits
    ) -> None:
        # For Client, like `outstanding`, the number of calls without an answer, and `call`.
        self.membership = membership
        self.outstanding = 0
        self._memberships = memberships
        self._calls = calls
        self._limits = limits
        # A group has a limit of its own: a busy one must not delay what is sent to others.
        self._rate_limit = RateLimitRetry()
        self._was_entered = False

    @property
    def group_id(self) -> str:
        return self.membership.group_id

    @property
    def last_seq(self) -> int:
        """The highest number of the group's log that the client has heard of."""
        return self.membership.log.last_seq

    @property
    def read_seq(self) -> int | None:
        """How far the user has read, as of the last join, ping or `mark_read`; None for guests."""
        return self.membership.read_seq

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise GroupcastError("a Group can be entered only once; get another one from client.group()")
        self._memberships.open(self.membership)
        self._was_entered = True
        try:
            await self._calls.enter(self.membership)
        except GroupcastError as error:
            await self._memberships.close(self.membership, error, shown=False)
            raise
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.membership.ended is None:
            await self._end()
            await self._calls.leave(self.group_id)

    def __aiter__(self) -> AsyncIterator[Message]:
        if not self._was_entered:
            raise GroupcastError(_NOT_ENTERED)
        return self.membership.inbox.read()

    async def send(self, text: str, *, message_id: UUID | None = None) -> Ack:
        """Send to the group; return when the service has stored the message, exactly once despite retries.

        Raises TooLarge if the message is over a limit, and another ServerError if the service refuses it.
        RateLimited can also mean that the call timed out while it waited for earlier rate-limited sends.
        After ConnectionLost the message may or may not be stored; repeat it safely with the same
        `message_id`.
        """
        fields = {"groupId": self.group_id, "message": text, "messageId": str(message_id or uuid4())}
        # Raise TooLarge immediately, even without a connection.
        frames.encode("sendMessage", "", **fields)
        async with self._counted():
            send = request(Ack, "sendMessage", **fields)
            return await self._calls.send(send, self.membership, self._rate_limit)

    async def history(
        self, *, since: int | None = None, before: int | None = None, limit: int | None = None
    ) -> HistoryPage:
        """Return the group's messages after `since`, or the last ones before `before`, oldest first.

        `limit` defaults to its maximum, `limits.history_page`. Raises ServerError or ConnectionLost.
        """
        limit = self._limits.history_page if limit is None else limit
        group_id = self.group_id
        return await self.call(
            request(HistoryPage, "history", groupId=group_id, since=since, before=before, limit=limit)
        )

    async def mark_read(self, seq: int) -> int:
        """Store that the user has read the group up to `seq`, and return their mark: it never moves back.

        Raises ServerError (Forbidden for guests, BadRequest beyond the last message) or ConnectionLost.
        """
        marked = await self.call(request(frames.Marked, "markRead", groupId=self.group_id, seq=seq))
        self.membership.mark(marked.read_seq)
        return marked.read_seq

    async def call(self, request: Request[Result]) -> Result:
        """Make a request on a connection that is in the group."""
        async with self._counted():
            return await self._calls.ask(request, self.membership)

    async def _end(self) -> None:
        left = GroupcastError(f"the group {self.group_id} was left")
        await self._memberships.close(self.membership, left, shown=False)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.outstanding += 1
        try:
            async with self._calls.unanswered:
                yield
        finally:
            self.outstanding -= 1
