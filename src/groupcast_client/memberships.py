"""The client's groups: joins them, rejoins those that the service lost, and fills gaps in their logs."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, NoReturn

from groupcast_client import frames
from groupcast_client.errors import ConnectionLost, GroupcastError, ServerError
from groupcast_client.inbox import Inbox
from groupcast_client.model import MAX_GROUPS, HistoryPage
from groupcast_client.ratelimit import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from groupcast_client.connection import Connection
    from groupcast_client.credential import Credential
    from groupcast_client.membership import Membership
    from groupcast_client.model import Limits

# Error codes after which a rejoin is tried again, on a new connection.
_RETRYABLE = frozenset({"Conflict", "InternalError"})


class Memberships:
    """The open groups. One of them may be `current`, the group that `Client.join` moves.

    The owner opens a group and calls `enter` once; `maintain` rejoins it when needed. A refused rejoin ends
    the client if the group is `current`, otherwise that group alone.
    """

    def __init__(
        self,
        credential: Credential,
        limits: Limits,
        new_delays: Callable[[], Iterator[float]],
        on_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.current: Membership | None = None
        self._open: dict[str, Membership] = {}
        self._credential = credential
        self._limits = limits
        self._new_delays = new_delays
        self._on_changed = on_changed
        # Frames that change the connection's groups go out one at a time: the service carries them out in
        # any order.
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    def new_inbox(self) -> Inbox:
        return Inbox(self._limits.incoming, self._changed.set)

    def open(self, membership: Membership) -> None:
        """Add a group beside the others. GroupcastError if it is open already, or MAX_GROUPS are."""
        self._require_room(membership, None)
        self._open[membership.group_id] = membership
        membership.ended = None

    def move(self, membership: Membership) -> None:
        """Replace `current`. Raises as `open` does."""
        previous = self.current
        self._require_room(membership, previous)
        if previous is not None:
            del self._open[previous.group_id]
        self.open(membership)
        self.current = membership

    def move_back(self, membership: Membership, previous: Membership | None) -> None:
        """Undo `move`; pass no `previous` if the connection may have moved."""
        if self.current is not membership:
            return
        del self._open[membership.group_id]
        self.current = previous
        if previous is not None:
            self._open[previous.group_id] = previous
            previous.log.expect_missed_push(_now())
        self._changed.set()

    async def close(self, membership: Membership, error: GroupcastError, *, shown: bool) -> None:
        """Forget a group. Its calls raise `error`; its iterator ends, if `shown` with the error."""
        if self._open.get(membership.group_id) is membership:
            del self._open[membership.group_id]
        membership.ended = error
        if self.current is membership:
            # Its inbox is the client's, for the next current group.
            self.current = None
        else:
            membership.inbox.finish(error if shown else None)
        await self._on_changed()

    def finish(self, error: GroupcastError | None) -> None:
        """End all iterators after their last messages, with `error` if there is one."""
        for membership in self._open.values():
            membership.inbox.finish(error)

    async def enter(self, connection: Connection, membership: Membership) -> int:
        """Join and return the group's last number. Raises ServerError, ConnectionLost."""
        async with self._changing:
            # Without `add` the service leaves all other groups.
            membership.was_added = membership is not self.current or len(self._open) > 1
            since, add = membership.log.since, membership.was_added or None
            with _settling(connection):
                joined = await connection.request(
                    frames.Joined, "joinGroup", groupId=membership.group_id, since=since, add=add
                )
            membership.joined(connection, joined, since, _now())
        self._changed.set()
        await self._on_changed()
        return joined.last_seq

    async def leave(self, connection: Connection, group_id: str) -> None:
        """Tell the service that a group is no longer open. Raises ServerError, ConnectionLost."""
        async with self._changing:
            if group_id not in self._open:
                with _settling(connection):
                    await connection.request(frames.Left, "leaveGroup", groupId=group_id)

    def mark_not_joined(self, connection: Connection, membership: Membership) -> None:
        """Note that the service has lost a group of this connection, so that `maintain` rejoins."""
        membership.lost(connection)
        self._changed.set()

    def ponged(self, connection: Connection, pong: frames.Pong) -> None:
        """Process the last numbers and read marks of a pong, and rejoin the groups that it lacks."""
        for membership in self._joined(connection):
            last_seq = pong.last_seqs.get(membership.group_id)
            if last_seq is not None:
                membership.log.heard(last_seq, _now())
            read_seq = pong.read_seqs.get(membership.group_id)
            if read_seq is not None:
                membership.mark(read_seq)
        self.listed(connection, pong.last_seqs)

    def listed(self, connection: Connection, group_ids: Mapping[str, int] | tuple[str, ...]) -> None:
        """Process the connection's groups as the service lists them: the others are rejoined."""
        for membership in self._joined(connection):
            if membership.group_id not in group_ids:
                membership.lost(connection)
        self._changed.set()

    def pushed_at(self, connection: Connection) -> float:
        """The time of the last push to the group whose last push is the oldest; -inf if a group had none.

        A ping is necessary unless this is recent: pushes to one group do not show what another missed.
        """
        return min((one.pushed_at for one in self._joined(connection)), default=-inf)

    def pushed(self, push: frames.Push) -> None:
        """Process a push."""
        membership = self._open.get(push.group_id)
        if membership is None:
            return
        membership.pushed(push.entries, _now())
        if membership.wake_at is not None:
            self._changed.set()

    async def maintain(self, connection: Connection) -> NoReturn:
        """Rejoin when needed and fill gaps, endlessly. Raises ServerError if the client must end."""
        delays = self._new_delays()
        rejoin_at = 0.0
        while True:
            self._changed.clear()
            is_missing = bool(self._missing(connection))
            if is_missing and _now() >= rejoin_at:
                rejoin_at = _now() + await self._rejoin(connection, delays)
                continue
            # One request at a time: many groups that catch up must not empty the user's tokens at once.
            due = [(at, one) for one in self._joined(connection) if (at := one.wake_at) is not None]
            wake_at, membership = min(due, key=lambda pair: pair[0], default=(None, None))
            if membership is not None and (since := membership.ask(_now())) is not None:
                await self._fill(connection, membership, since)
                continue
            if is_missing:
                wake_at = rejoin_at if wake_at is None else min(wake_at, rejoin_at)
            try:
                async with asyncio.timeout_at(wake_at):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _require_room(self, membership: Membership, replaced: Membership | None) -> None:
        group_id = membership.group_id
        if self._open.get(group_id) not in (None, replaced):
            raise GroupcastError(f"the client is already in {group_id}")
        # While the current group moves, the connection is in both if there are others.
        if len({*self._open, group_id}) > MAX_GROUPS:
            raise GroupcastError(f"a client can be in at most {MAX_GROUPS} groups at a time; leave one first")

    def _joined(self, connection: Connection) -> list[Membership]:
        return [one for one in self._open.values() if one.is_on(connection)]

    def _missing(self, connection: Connection) -> list[Membership]:
        return [one for one in self._open.values() if one.was_joined and not one.is_on(connection)]

    async def _rejoin(self, connection: Connection, delays: Iterator[float]) -> float:
        """Rejoin all missing groups; return the seconds until the next attempt, 0 if none is needed."""
        refused: list[tuple[Membership, ServerError]] = []

        async def attempt(connection: Connection) -> None:
            refused.clear()
            refused.extend(await self._enter_missing(connection))
            for _, error in refused:
                # A fresher token may permit the group.
                if error.code == "Forbidden":
                    raise error

        try:
            await self._credential.ask(connection, attempt)
        except ServerError as error:
            if error.code == "RateLimited":
                return retry_after_s(error, self._limits.call_timeout_s) or next(delays)
            if error.code in _RETRYABLE:
                await connection.close()
                raise ConnectionLost(str(error)) from error
            if not refused:
                raise
        for membership, refusal in refused:
            if membership is self.current:
                raise refusal
            await self.close(membership, refusal, shown=True)
        return 0.0

    async def _enter_missing(self, connection: Connection) -> list[tuple[Membership, ServerError]]:
        """Join all missing groups in one frame; return those that the service refused, with its errors."""
        async with self._changing:
            missing = self._missing(connection)
            sinces = {one.group_id: one.log.since for one in missing}
            entries = [_entry(group_id, since) for group_id, since in sinces.items()]
            if not entries:
                return []
            if list(self._open.values()) == [self.current]:
                # As long as `join` is all that is used, frames stay as in the service's first description.
                joined = await connection.request(frames.Joined, "joinGroup", **entries[0])
                results: tuple[frames.Joined | frames.NotJoined, ...] = (joined,)
            else:
                reply = await connection.request(frames.JoinedMany, "joinGroup", groups=entries)
                results = reply.results
                if [one.group_id for one in results] != list(sinces):
                    raise ServerError("InternalError", "joinGroup was answered with other groups")
            refused = []
            for membership, result in zip(missing, results, strict=True):
                if isinstance(result, frames.NotJoined):
                    refused.append((membership, result.error))
                else:
                    membership.joined(connection, result, sinces[membership.group_id], _now())
        self._changed.set()
        await self._on_changed()
        return refused

    async def _fill(self, connection: Connection, membership: Membership, since: int) -> None:
        limit = self._limits.history_page
        try:
            page = await connection.request(
                HistoryPage, "history", groupId=membership.group_id, since=since, limit=limit
            )
        except ServerError as error:
            membership.log.failed(_now(), retry_after_s(error, self._limits.call_timeout_s))
            if error.code == "NotInGroup":
                membership.lost(connection)
        else:
            membership.replied(page.entries, complete=page.complete, now=_now())


def _entry(group_id: str, since: int | None) -> dict[str, str | int]:
    return {"groupId": group_id} if since is None else {"groupId": group_id, "since": since}


@contextmanager
def _settling(connection: Connection) -> Iterator[None]:
    """Replace the connection if a change of its groups is abandoned: it may still be carried out, late."""
    try:
        yield
    except asyncio.CancelledError:
        connection.abort()
        raise


def _now() -> float:
    return asyncio.get_running_loop().time()
