"""Puts messages in order when pushes and replies are late, repeated or lost. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from groupcast_client.model import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from groupcast_client.model import Void


@dataclass(frozen=True, slots=True)
class _Request:
    """A request for history (or joinGroup with `since`) and the log's state when it was sent."""

    since: int
    at: float
    last_seq: int
    newest_at: datetime


class GroupLog:
    """One member's view of a group's log: takes entries in any order, returns each message once, by `seq`.

    `now` is in seconds, of any monotonic clock. The methods that take entries return the messages that are
    now deliverable. At `wake_at` the owner calls `ask`. If that returns a number, the owner requests
    `history` with it as `since`, and passes the reply to `replied` or reports an error with `failed`.

    After a gap has lasted `gap_wait_s`, history is requested at most `gap_requests` times with doubling
    waits, and once more `hole_timeout_s` after the number was first missed. If it is still missing then, it
    is a hole, whose sender died before writing, and is skipped. Two kinds of numbers are skipped without
    that wait: those that the service calls void, and those whose successor is older than the newest message
    by `hole_timeout_s` or more.
    """

    def __init__(
        self,
        group_id: str,
        *,
        since: int | None = None,
        backlog: int = 0,
        gap_wait_s: float,
        hole_timeout_s: float,
        gap_requests: int,
        pending_limit: int,
    ) -> None:
        """Start after `since`, or without it `backlog` messages before the end of the log at the join."""
        self.group_id = group_id
        self._backlog = backlog
        self._gap_wait_s = gap_wait_s
        self._hole_timeout_s = hole_timeout_s
        self._gap_requests = gap_requests
        self._pending_limit = pending_limit
        self._next = None if since is None else since + 1
        self._restart()

    def _restart(self) -> None:
        self._last_seq = 0
        self._newest_at = datetime.min.replace(tzinfo=UTC)
        # Entries beyond a gap and their arrival times, in order of arrival.
        self._pending: dict[int, tuple[Message | Void, float]] = {}
        # The lowest number dropped since the last request because `_pending` was full.
        self._dropped_from: int | None = None
        # The first gap: its first number, when it became the first gap, the history requests sent for it, and
        # the current wait.
        self._hole: int | None = None
        self._hole_at = 0.0
        self._asked = 0
        self._wait_s = self._gap_wait_s
        # The times of the next requests: for a gap, and in case a push was missed.
        self._ask_at: float | None = None
        self._settle_at: float | None = None
        # The `since` that continues an incomplete reply.
        self._cursor: int | None = None
        self._request: _Request | None = None

    @property
    def since(self) -> int | None:
        """The last number delivered or skipped, to join with. None before the first join."""
        return None if self._next is None else self._next - 1

    @property
    def last_seq(self) -> int:
        """The group's highest known number."""
        return self._last_seq

    @property
    def wake_at(self) -> float | None:
        """The time of the next call of `ask`, unless new entries change it."""
        if self._next is None or self._request is not None:
            return None
        return min((at for at in (self._ask_at, self._settle_at) if at is not None), default=None)

    def joined(
        self,
        last_seq: int,
        entries: Sequence[Message | Void],
        *,
        complete: bool,
        now: float,
        since: int | None = None,
    ) -> list[Message]:
        """Take the reply to joinGroup. `since` is that of the request, if pushes may have come after it."""
        since = self.since if since is None else since
        if since is not None and last_seq >= since:
            self._last_seq = max(self._last_seq, last_seq)
            self._start_request(since, now)
            delivered = self.replied(entries, complete=complete, now=now)
            if not complete and self._hole is not None:
                # The entries did not fit the reply.
                self._ask_at = now
        else:
            delivered = self._begin(last_seq, entries, now)
        # The fan-out reads an eventually consistent index, so a message sent just after the join can miss the
        # new member.
        self.expect_missed_push(now)
        return delivered

    def expect_missed_push(self, now: float) -> None:
        """Request history soon: a push may have been missed, and the last message leaves no visible gap."""
        self._settle_at = now + self._gap_wait_s

    def catch_up(self, now: float) -> None:
        """Request history immediately: pushes were not taken."""
        self._settle_at = now

    def pushed(self, entries: Iterable[Message | Void], now: float) -> list[Message]:
        """Take a push. Entries that arrive before the reply to joinGroup are kept."""
        self._take(entries, now)
        return self._drain(now)

    def heard(self, last_seq: int, now: float) -> None:
        """Take the group's last number from a pong; all missing numbers up to it form a gap."""
        self._last_seq = max(self._last_seq, last_seq)
        self._drain(now)

    def ask(self, now: float) -> int | None:
        """Return the `since` of a due history request, or None; `replied` or `failed` must follow."""
        wake_at = self.wake_at
        if self._next is None or wake_at is None or wake_at > now:
            return None
        if self._cursor is not None:
            return self._start_request(self._cursor, now)
        self._asked += 1
        return self._start_request(self._next - 1, now)

    def replied(self, entries: Sequence[Message | Void], *, complete: bool, now: float) -> list[Message]:
        """Take the reply to the request from `ask`."""
        request, self._request = self._request, None
        hole = self._hole
        self._take(entries, now)
        delivered = self._drain(now)
        if request is None:
            return delivered
        last = max((entry.seq for entry in entries), default=request.since)
        # Do not continue after an incomplete page without entries: it would be requested endlessly.
        is_partial = not complete and last > request.since
        shown_to = request.last_seq if complete else last
        if self._dropped_from is not None:
            shown_to = min(shown_to, self._dropped_from - 1)
        newest_at = max(_written(entries), default=request.newest_at)
        while self._is_final(request, shown_to, max(newest_at, request.newest_at)):
            delivered += self._skip(shown_to, now)
        if is_partial and self._dropped_from is None:
            self._cursor = last
            self._ask_at = now
        elif hole is not None and self._hole == hole:
            self._ask_later(now)
        return delivered

    def failed(self, now: float, retry_after_s: float = 0.0) -> None:
        """Report that the request from `ask` failed; it is repeated after `retry_after_s` at the earliest."""
        self._request = None
        self._ask_later(now)
        self._ask_at = max(self._ask_at or now, now + retry_after_s)

    def _begin(self, last_seq: int, entries: Sequence[Message | Void], now: float) -> list[Message]:
        if self._next is None:
            self._next = max(1, last_seq - self._backlog + 1)
        else:
            # The log is shorter than the part already read, so it was restarted (a local table was deleted).
            self._next = 1
            self._restart()
        self._last_seq = max(self._last_seq, last_seq)
        self._pending = {seq: entry for seq, entry in self._pending.items() if seq >= self._next}
        delivered = self.pushed(entries, now)
        if self._hole is not None:
            self._ask_at = now
        return delivered

    def _start_request(self, since: int, now: float) -> int:
        self._request = _Request(since, now, self._last_seq, self._newest_at)
        self._ask_at = self._settle_at = self._cursor = self._dropped_from = None
        return since

    def _ask_later(self, now: float) -> None:
        self._wait_s = min(self._wait_s * 2, self._hole_timeout_s)
        self._ask_at = now + self._wait_s
        # Never postpone the last request, which may declare the number a hole.
        old_at = self._missed_at() + self._hole_timeout_s
        if now < old_at and (old_at < self._ask_at or self._asked >= self._gap_requests):
            self._ask_at = old_at

    def _take(self, entries: Iterable[Message | Void], now: float) -> None:
        for entry in entries:
            seq = entry.seq
            self._last_seq = max(self._last_seq, seq)
            if isinstance(entry, Message):
                self._newest_at = max(self._newest_at, entry.created_at)
            if seq in self._pending or (self._next is not None and seq < self._next):
                continue
            if len(self._pending) < self._pending_limit or seq == self._next:
                self._pending[seq] = (entry, now)
            else:
                self._dropped_from = min(seq, self._dropped_from or seq)

    def _drain(self, now: float) -> list[Message]:
        delivered: list[Message] = []
        if self._next is None:
            return delivered
        while (arrival := self._pending.pop(self._next, None)) is not None:
            if isinstance(arrival[0], Message):
                delivered.append(arrival[0])
            self._next += 1
        if self._next <= self._last_seq and self._hole != self._next:
            self._hole, self._hole_at = self._next, now
            self._asked = 0
            self._wait_s = self._gap_wait_s
            self._ask_at = now + self._wait_s
        elif self._next > self._last_seq and self._hole is not None:
            self._hole = self._ask_at = self._cursor = None
        return delivered

    def _missed_at(self) -> float:
        # The first gap is missed since the first arrival beyond it.
        return next((arrived_at for _, arrived_at in self._pending.values()), self._hole_at)

    def _is_final(self, request: _Request, shown_to: int, newest_at: datetime) -> bool:
        if self._hole is None or not request.since < self._hole <= shown_to:
            return False
        if request.at >= self._missed_at() + self._hole_timeout_s:
            return True
        written = [entry for entry, _ in self._pending.values() if isinstance(entry, Message)]
        if not written:
            return False
        successor = min(written, key=lambda message: message.seq)
        return newest_at - successor.created_at >= timedelta(seconds=self._hole_timeout_s)

    def _skip(self, shown_to: int, now: float) -> list[Message]:
        # Only to the end of what history has shown.
        self._next = min(min(self._pending, default=shown_to + 1), shown_to + 1)
        return self._drain(now)


def _written(entries: Iterable[Message | Void]) -> Iterator[datetime]:
    return (entry.created_at for entry in entries if isinstance(entry, Message))
