"""The client's membership of one group, across successive connections. No I/O."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from groupcast_client.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast_client.connection import Connection
    from groupcast_client.frames import Joined
    from groupcast_client.inbox import Inbox
    from groupcast_client.model import Message, Void
    from groupcast_client.ordering import GroupLog


class Membership:
    """A group's log, the inbox for its messages, and the connection on which it is joined.

    While the inbox is full, its reader is slow: pushes are then ignored, and their messages requested when
    there is room. So a slow reader delays neither other groups nor replies, and memory stays bounded.
    """

    def __init__(self, log: GroupLog, inbox: Inbox) -> None:
        self.log = log
        self.inbox = inbox
        # The user's read mark, once the service has reported it.
        self.read_seq: int | None = None
        # The error of calls to the group; None while it is open.
        self.ended: GroupcastError | None = GroupcastError(f"the group {log.group_id} is not open")
        # A new connection joins the group again.
        self.was_joined = False
        # The last joinGroup frame had `add`: the connection stayed in its other groups.
        self.was_added = False
        # The time of the last push since the group was joined.
        self.pushed_at = -inf
        self._joined_on: Connection | None = None
        self._is_behind = False

    @property
    def group_id(self) -> str:
        return self.log.group_id

    def is_on(self, connection: Connection | None) -> bool:
        """Whether the group has been joined on this connection."""
        return connection is not None and self._joined_on is connection

    def joined(self, connection: Connection, reply: Joined, since: int | None, now: float) -> None:
        """Take the reply to a joinGroup with `since`."""
        self._joined_on, self.was_joined = connection, True
        self.pushed_at = -inf
        if reply.read_seq is not None:
            self.mark(reply.read_seq)
        # A full inbox takes nothing: the log then counts the reply's messages as missing.
        self._is_behind = self.inbox.is_full
        entries, complete = ((), False) if self._is_behind else (reply.entries, reply.complete)
        self.inbox.put(self.log.joined(reply.last_seq, entries, complete=complete, now=now, since=since))

    def lost(self, connection: Connection) -> None:
        """Note that the service has lost the group of this connection."""
        if self._joined_on is connection:
            self._joined_on = None

    def mark(self, read_seq: int) -> None:
        """Take a read mark; a pong's may be older than a known one, and marks only move forward."""
        self.read_seq = max(read_seq, self.read_seq or 0)

    def pushed(self, entries: Sequence[Message | Void], now: float) -> None:
        """Take a push."""
        self.pushed_at = now
        if self.inbox.is_full:
            self._is_behind = True
            self.log.heard(max((entry.seq for entry in entries), default=0), now)
        else:
            self.inbox.put(self.log.pushed(entries, now))

    @property
    def wake_at(self) -> float | None:
        """The time of the next call of `ask`; None while nothing is missing or the inbox is full."""
        if self.inbox.is_full:
            return None
        return 0.0 if self._is_behind else self.log.wake_at

    def ask(self, now: float) -> int | None:
        """Return the `since` of a due history request, or None; see `GroupLog.ask`."""
        if self.inbox.is_full:
            return None
        if self._is_behind:
            self._is_behind = False
            self.log.catch_up(now)
        return self.log.ask(now)

    def replied(self, entries: Sequence[Message | Void], *, complete: bool, now: float) -> None:
        """Take the reply to the request from `ask`."""
        self.inbox.put(self.log.replied(entries, complete=complete, now=now))
