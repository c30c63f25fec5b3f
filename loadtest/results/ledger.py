"""Who got what, counted exactly: one process's part. Pure; all times are monotonic nanoseconds.

A delivery is expected from a member that had joined, and had not left, when the message was due. What counts
are raw pushes: nothing is fetched from the history to fill a gap. A second copy of a message on the same
connection is a duplicate; a message that comes after one with a higher seq is out of order, but received.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from loadtest.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from loadtest.plan.schedule import Due

FOREVER_NS = 2**63
_US = 1000
_SECOND_NS = 1_000_000_000


class Row(NamedTuple):
    """One message in one process. `eligible` deliveries are expected if the message exists at all;
    `last_ns` is the last receipt, 0 for none.
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
    """How many have joined and left by when."""

    size: int = 0
    joined_ns: list[int] = field(default_factory=list)
    left_ns: list[int] = field(default_factory=list)

    def eligible(self, due_ns: int) -> int:
        return bisect_right(self.joined_ns, due_ns) - bisect_right(self.left_ns, due_ns)


class _Track:
    """What is known of one message. `seen` has a byte for each member."""

    __slots__ = ("due_ns", "duplicate", "last_ns", "out_of_order", "received", "record", "seen")

    def __init__(self, due_ns: int, members: int, record: Callable[[int], None]) -> None:
        self.due_ns = due_ns
        self.record = record
        self.seen = bytearray(members)
        self.received = self.duplicate = self.out_of_order = self.last_ns = 0


class Ledger:
    """`received`, `duplicate` and `out_of_order` count what came so far. `seconds` holds the delivery
    latencies by the second of the stages in which the message was due.
    """

    def __init__(self, groups: int) -> None:
        self.seconds: dict[int, Histogram] = {}
        self.received = self.duplicate = self.out_of_order = 0
        self._groups = [_Group() for _ in range(groups)]
        self._tracks: dict[int, _Track] = {}
        self._due: Sequence[Due] = ()
        self._start_ns = FOREVER_NS
        self._measured_ns = FOREVER_NS
        self._settled = Histogram()
        self._settled_to = 0
        self._looked_at = 0
        self._missing = 0

    def begin(self, due: Sequence[Due], start_ns: int, warmup_ns: int) -> None:
        """Offsets in `due` count from `start_ns`; what is due in the first `warmup_ns` has no latency."""
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
        """Nothing due from `until_ns` on is expected any more."""
        membership = self._groups[member.group]
        member.until_ns = until_ns
        if until_ns > member.from_ns:
            insort(membership.left_ns, until_ns)
        else:
            membership.joined_ns.remove(member.from_ns)

    def receive(self, member: Member, number: int, seq: int, stamp_ns: int) -> None:
        """Message `number` arrived on a member's connection."""
        track = self._tracks.get(number) or self._open(number)
        due_ns = track.due_ns
        if not member.from_ns <= due_ns < member.until_ns:
            return
        track.last_ns = stamp_ns
        slot = member.slot
        if track.seen[slot]:
            track.duplicate += 1
            self.duplicate += 1
            return
        track.seen[slot] = 1
        track.received += 1
        self.received += 1
        if seq > member.highest_seq:
            member.highest_seq = seq
        else:
            track.out_of_order += 1
            self.out_of_order += 1
        track.record((stamp_ns - due_ns) // _US)

    def rows(self, until_ns: int) -> list[Row]:
        """One for each message due before `until_ns`, by number."""
        rows = []
        for due in self._due:
            due_ns = self._start_ns + due.offset_ns
            if due_ns >= until_ns:
                break
            eligible = self._groups[due.group].eligible(due_ns)
            track = self._tracks.get(due.number)
            if track is None:
                rows.append(Row(eligible, 0, 0, 0, 0))
            else:
                counts = (track.received, track.duplicate, track.out_of_order, track.last_ns)
                rows.append(Row(eligible, *counts))
        return rows

    def is_whole(self, numbers: Iterable[int]) -> bool:
        """Whether every member has these messages, and all others that anyone here has."""
        for number in {*numbers, *self._tracks}:
            due = self._due[number]
            track = self._tracks.get(number)
            eligible = self._groups[due.group].eligible(self._start_ns + due.offset_ns)
            if (0 if track is None else track.received) < eligible:
                return False
        return True

    def missing(self, before_ns: int) -> int:
        """Deliveries that were not there when last looked at, of messages due before `before_ns`.

        Looks at each message once, so `before_ns` has to be as late as a delivery can be and still arrive.
        Messages that nobody here got do not count: they may not exist.
        """
        while self._looked_at < len(self._due):
            due = self._due[self._looked_at]
            due_ns = self._start_ns + due.offset_ns
            if due_ns >= before_ns:
                break
            track = self._tracks.get(due.number)
            if track is not None:
                self._missing += self._groups[due.group].eligible(due_ns) - track.received
            self._looked_at += 1
        return self._missing

    def latencies(self, settled: int) -> Histogram:
        """All so far; seconds before `settled` are added up only once, without what came later."""
        for second in range(self._settled_to, settled):
            self._settled.merge(self.seconds.get(second, Histogram()))
        self._settled_to = max(self._settled_to, settled)
        found = Histogram()
        found.merge(self._settled)
        for second, histogram in self.seconds.items():
            if second >= self._settled_to:
                found.merge(histogram)
        return found

    def _open(self, number: int) -> _Track:
        due = self._due[number]
        due_ns = self._start_ns + due.offset_ns
        # What is due in the warm-up is counted, but its latencies are kept by nobody.
        histogram = Histogram()
        if due_ns >= self._measured_ns:
            second = (due_ns - self._measured_ns) // _SECOND_NS
            histogram = self.seconds.setdefault(second, histogram)
        track = _Track(due_ns, self._groups[due.group].size, histogram.record)
        self._tracks[number] = track
        return track
