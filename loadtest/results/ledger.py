"""Exact counts of deliveries in one process. Pure; all times are monotonic nanoseconds.

A delivery is expected for each member that had joined, and not left, when the message was due. Only pushes
count: no gap is filled from the history. A second copy of a message on the same connection is a duplicate. A
message that follows one with a higher seq is out of order, but received.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from loadtest.clock import NS_PER_S, NS_PER_US
from loadtest.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.plan.schedule import PlannedMessage

FOREVER_NS = 2**63


class Row(NamedTuple):
    """One message in one process. `eligible` deliveries are expected if the message exists; `last_ns` is the
    last receipt, 0 without any.
    """

    eligible: int
    received: int
    duplicate: int
    out_of_order: int
    last_ns: int


@dataclass(slots=True)
class Member:
    """A connection in a group; messages due in [`from_ns`, `until_ns`) are expected on it."""

    group: int
    slot: int
    from_ns: int
    until_ns: int = FOREVER_NS
    highest_seq: int = 0


@dataclass(slots=True)
class _Group:
    """The instants at which members joined and left, ascending."""

    size: int = 0
    joined_ns: list[int] = field(default_factory=list)
    left_ns: list[int] = field(default_factory=list)

    def eligible(self, due_ns: int) -> int:
        return bisect_right(self.joined_ns, due_ns) - bisect_right(self.left_ns, due_ns)


class _Deliveries:
    """The deliveries of one message. `seen` has a byte for each member."""

    __slots__ = ("due_ns", "duplicate", "last_ns", "out_of_order", "received", "record", "seen")

    def __init__(self, due_ns: int, members: int, record: Callable[[int], None]) -> None:
        self.due_ns = due_ns
        self.record = record
        self.seen = bytearray(members)
        self.received = self.duplicate = self.out_of_order = self.last_ns = 0


class Ledger:
    """`received`, `duplicate` and `out_of_order` count deliveries so far. `seconds` holds their latencies by
    the second in which the message was due, counted from the end of the warm-up.
    """

    def __init__(self, groups: int) -> None:
        self.seconds: dict[int, Histogram] = {}
        self.received = self.duplicate = self.out_of_order = 0
        self._groups = [_Group() for _ in range(groups)]
        self._messages: dict[int, _Deliveries] = {}
        self._due: Sequence[PlannedMessage] = ()
        self._start_ns = FOREVER_NS
        self._measured_ns = FOREVER_NS
        self._settled = Histogram()
        self._settled_to = 0
        self._looked_at = 0
        self._missing = 0

    def begin(self, due: Sequence[PlannedMessage], start_ns: int, warmup_ns: int) -> None:
        """Offsets in `due` count from `start_ns`; messages due in the first `warmup_ns` have no latency."""
        self._due = due
        self._start_ns = start_ns
        self._measured_ns = start_ns + warmup_ns

    def join(self, group: int, from_ns: int) -> Member:
        membership = self._groups[group]
        member = Member(group, membership.size, from_ns)
        membership.size += 1
        insort(membership.joined_ns, from_ns)
        return member

    def leave(self, member: Member, until_ns: int) -> None:
        """Expect no messages that are due from `until_ns` on."""
        membership = self._groups[member.group]
        member.until_ns = until_ns
        if until_ns > member.from_ns:
            insort(membership.left_ns, until_ns)
        else:
            membership.joined_ns.remove(member.from_ns)

    def receive(self, member: Member, number: int, seq: int, stamp_ns: int) -> None:
        """Record that message `number` arrived on a member's connection."""
        deliveries = self._messages.get(number) or self._open(number)
        due_ns = deliveries.due_ns
        if not member.from_ns <= due_ns < member.until_ns:
            return
        deliveries.last_ns = stamp_ns
        slot = member.slot
        if deliveries.seen[slot]:
            deliveries.duplicate += 1
            self.duplicate += 1
            return
        deliveries.seen[slot] = 1
        deliveries.received += 1
        self.received += 1
        if seq > member.highest_seq:
            member.highest_seq = seq
        else:
            deliveries.out_of_order += 1
            self.out_of_order += 1
        deliveries.record((stamp_ns - due_ns) // NS_PER_US)

    def rows(self, until_ns: int) -> list[Row]:
        """A row for each message due before `until_ns`, by number."""
        rows = []
        for due in self._due:
            due_ns = self._start_ns + due.offset_ns
            if due_ns >= until_ns:
                break
            eligible = self._groups[due.group].eligible(due_ns)
            deliveries = self._messages.get(due.number)
            if deliveries is None:
                rows.append(Row(eligible, 0, 0, 0, 0))
            else:
                counts = (
                    deliveries.received,
                    deliveries.duplicate,
                    deliveries.out_of_order,
                    deliveries.last_ns,
                )
                rows.append(Row(eligible, *counts))
        return rows

    def is_whole(self, numbers: Iterable[int]) -> bool:
        """Whether every member has these messages, and all others that any member here has."""
        for number in {*numbers, *self._messages}:
            due = self._due[number]
            deliveries = self._messages.get(number)
            eligible = self._groups[due.group].eligible(self._start_ns + due.offset_ns)
            if (0 if deliveries is None else deliveries.received) < eligible:
                return False
        return True

    def missing(self, before_ns: int) -> int:
        """Count the missing deliveries of messages due before `before_ns`.

        Each message is counted once, so `before_ns` must lie a drain in the past. Messages that nobody here
        received do not count: they may not exist.
        """
        while self._looked_at < len(self._due):
            due = self._due[self._looked_at]
            due_ns = self._start_ns + due.offset_ns
            if due_ns >= before_ns:
                break
            deliveries = self._messages.get(due.number)
            if deliveries is not None:
                self._missing += self._groups[due.group].eligible(due_ns) - deliveries.received
            self._looked_at += 1
        return self._missing

    def latencies(self, settled: int) -> Histogram:
        """All latencies so far; seconds before `settled` are added up once, without later arrivals."""
        for second in range(self._settled_to, settled):
            self._settled.merge(self.seconds.get(second, Histogram()))
        self._settled_to = max(self._settled_to, settled)
        found = Histogram()
        found.merge(self._settled)
        for second, histogram in self.seconds.items():
            if second >= self._settled_to:
                found.merge(histogram)
        return found

    def _open(self, number: int) -> _Deliveries:
        due = self._due[number]
        due_ns = self._start_ns + due.offset_ns
        # Latencies of the warm-up go into a histogram that is thrown away.
        histogram = Histogram()
        if due_ns >= self._measured_ns:
            second = (due_ns - self._measured_ns) // NS_PER_S
            histogram = self.seconds.setdefault(second, histogram)
        deliveries = _Deliveries(due_ns, self._groups[due.group].size, histogram.record)
        self._messages[number] = deliveries
        return deliveries
