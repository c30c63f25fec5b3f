"""The client: keeps a connection, resumes after losing it, and delivers each message once, in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Self

from groupcast_client import frames
from groupcast_client.backoff import Backoff
from groupcast_client.calls import Calls, request
from groupcast_client.credential import Credential
from groupcast_client.errors import GroupcastError, ServerError
from groupcast_client.group import Group
from groupcast_client.membership import Membership
from groupcast_client.model import Ack, Endpoint, HistoryPage, Limits, Message
from groupcast_client.ordering import GroupLog
from groupcast_client.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID

    from groupcast_client.connection import Connection
    from groupcast_client.credential import TokenProvider
    from groupcast_client.inbox import Inbox


class Client:
    """A member of the chat, in up to 50 groups at a time.

    `group` opens groups, each with its own calls and messages. `join`, `leave`, `send`, `history` and
    `messages` are for one more, the current group, which `join` moves; they need no Group object, and leave
    the groups of `group` alone.

    Entering the client connects, and raises Refused or ConnectionLost if that fails. Later, the client
    replaces a lost connection (exponential backoff, full jitter), rejoins its groups after their last
    messages, and repeats unanswered requests until the call times out. It also retries RateLimited requests
    after the given delay, and sends that failed with InternalError after a backoff. Sends awaited one after
    another keep their order; concurrent sends may not.

    `token` is a JWT, or an async function that returns one, a token provider. The client calls the provider
    before each connect, and to renew the token on an open connection before it expires or when a call is
    Forbidden. If the provider raises, it is called again later. A GroupcastError from the provider ends the
    client, as does a second 401 for the same token.

    A slow reader delays nothing else: when `limits.incoming` messages of a group wait, the client ignores the
    group's pushes, and requests their messages with `history` once there is room.
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
        self._memberships = self._session.memberships
        self._calls = Calls(self._session, self._credential, self._limits)
        self._current: Group | None = None

    async def __aenter__(self) -> Self:
        await self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    def group(self, group_id: str, *, since: int | None = None, backlog: int = 0) -> Group:
        """Return a group to enter with `async with`, beside the client's other groups.

        Its messages continue after `since`, or start with up to `backlog` messages from before the join.
        """
        return self._new_group(group_id, since, backlog, self._memberships.new_inbox())

    async def join(self, group_id: str, *, since: int | None = None, backlog: int = 0) -> int:
        """Move from the current group to another, and return the number of its last message.

        Groups opened with `group` stay open. `messages()` continues after `since`, or starts with up to
        `backlog` messages from before the join. If a later rejoin is refused, the client ends with that
        ServerError. Raises ServerError (the client then stays in its previous group) or ConnectionLost, and
        GroupcastError while calls to the previous group are unanswered, if `group` has opened this group, or
        if the client would be in more than 50 groups.
        """
        self._raise_if_busy()
        previous = self._current
        group = self._new_group(group_id, since, backlog, self._session.inbox)
        self._memberships.move(group.membership)
        self._current = group
        try:
            last_seq = await self._calls.enter(group.membership)
        except ServerError:
            self._move_back(group, previous)
            raise
        except BaseException:
            self._move_back(group, None)
            raise
        if previous is not None and group.membership.was_added:
            await self._calls.leave(previous.group_id)
        return last_seq

    async def leave(self) -> None:
        """Leave the current group. Raises as `join` does."""
        self._raise_if_busy()
        group = self._in_group()
        await group.call(request(frames.Left, "leaveGroup", groupId=group.group_id))
        await self._memberships.close(group.membership, _not_joined(), shown=False)
        self._current = None

    async def send(self, text: str, *, message_id: UUID | None = None) -> Ack:
        """Send to the current group; see `Group.send`."""
        return await self._in_group().send(text, message_id=message_id)

    async def history(
        self, *, since: int | None = None, before: int | None = None, limit: int | None = None
    ) -> HistoryPage:
        """Return messages of the current group; see `Group.history`."""
        return await self._in_group().history(since=since, before=before, limit=limit)

    async def renew(self, token: str) -> datetime:
        """Use a new token for this and later connections; return its expiry (UTC).

        Groups that it no longer permits end with ServerError `Forbidden`; with the current group, the client
        ends, as after any refused rejoin. Raises ServerError if the service refuses the token (the previous
        one stays in use), ConnectionLost, or GroupcastError if the client has a token provider.
        """
        previous = self._credential.replace(token)

        async def request(connection: Connection) -> frames.Renewed:
            renewed = await connection.request(frames.Renewed, "renew", token=token)
            self._memberships.listed(connection, renewed.group_ids)
            return renewed

        try:
            return (await self._calls.ask(request)).expires_at
        except ServerError:
            self._credential.restore(previous)
            raise

    def messages(self) -> AsyncIterator[Message]:
        """Iterate over the messages of joined groups, each once, in order of `seq`. For one reader at a time.

        Messages of groups opened with `group` are not among them. Ends when the client is closed. If the
        client has given up, raises the reason (Refused, ServerError) after the last message.
        """
        return self._session.inbox.read()

    def _new_group(self, group_id: str, since: int | None, backlog: int, inbox: Inbox) -> Group:
        limits = self._limits
        log = GroupLog(
            group_id,
            since=since,
            backlog=backlog,
            gap_wait_s=limits.gap_wait_s * self._rng.uniform(1, 2),
            hole_timeout_s=limits.hole_timeout_s * self._rng.uniform(1, 1.25),
            gap_requests=limits.gap_requests,
            pending_limit=limits.pending,
        )
        return Group(Membership(log, inbox), self._memberships, self._calls, limits)

    def _move_back(self, group: Group, previous: Group | None) -> None:
        if self._current is group:
            self._current = previous
        self._memberships.move_back(group.membership, None if previous is None else previous.membership)

    def _in_group(self) -> Group:
        if self._current is None:
            raise _not_joined()
        return self._current

    def _raise_if_busy(self) -> None:
        # Once the connection has moved, the service refuses what is repeated for the previous group.
        outstanding = 0 if self._current is None else self._current.outstanding
        if outstanding:
            raise GroupcastError(f"{outstanding} calls are still unanswered: await or cancel them first")


def _not_joined() -> GroupcastError:
    return GroupcastError("join a group first")
