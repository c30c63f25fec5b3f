"""The messages of a FIFO queue, with SQS's order, locks and deduplication. Pure.

The rules are in the SQS Developer Guide: "FIFO queue delivery logic in Amazon SQS", "FIFO queue key terms"
and "Amazon SQS visibility timeout". A lane is a message group. The caller passes the time in seconds of one
monotonic clock; nothing here waits or locks.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

DEDUPLICATION_S = 300.0


class HandleExpiredError(Exception):
    """The message became visible again after it was received, so its receipt handle is invalid."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message in the queue. `receives` is the number of times it was received."""

    sequence: int
    group: str
    message_id: str
    message: Any
    expires_s: float
    receives: int = 0
    in_flight: bool = False
    hidden_until_s: float | None = None


class Lanes:
    """Message groups, each served to one receiver at a time.

    Every operation costs O(log n) per message it touches, independent of the other lanes.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._entries: dict[int, Entry] = {}
        # A heap of sequence numbers per group, so that a returned message takes its old place.
        self._waiting: dict[str, list[int]] = {}
        # Groups with visible messages and no receiver, longest waiting first.
        self._ready: dict[str, None] = {}
        self._in_flight: dict[str, int] = {}
        # (until, sequence); stale if the entry's own `hidden_until_s` differs.
        self._hidden: list[tuple[float, int]] = []
        self._seen: dict[Hashable, tuple[float, str, int]] = {}

    def add(
        self,
        group: str,
        message_id: str,
        message: Any,
        now_s: float,
        *,
        retention_s: float,
        key: Hashable | None = None,
        delay_s: float = 0.0,
    ) -> tuple[str, int]:
        """Accept a message and return its id and sequence number.

        If a message with the same `key` was accepted within DEDUPLICATION_S, the new one is dropped and the
        earlier one's id and number are returned, even if that one has been deleted since.
        """
        self._forget_keys(now_s)
        if key is not None and key in self._seen:
            return self._seen[key][1:]
        self._sequence += 1
        entry = Entry(self._sequence, group, message_id, message, now_s + retention_s)
        self._entries[entry.sequence] = entry
        if key is not None:
            self._seen[key] = (now_s + DEDUPLICATION_S, message_id, entry.sequence)
        if delay_s > 0:
            self._hide(entry, now_s + delay_s)
        else:
            self._queue(entry)
        return message_id, entry.sequence

    def receive(
        self, count: int, visibility_s: float, now_s: float, *, max_receives: int | None = None
    ) -> tuple[list[Entry], list[Entry]]:
        """Return up to `count` messages, and those already received `max_receives` times.

        The first lane gives all it has, then the next one. A lane gives no more until all of its received
        messages are deleted or visible again. Messages of the second list have left the queue.
        """
        self._wake(now_s)
        taken: list[Entry] = []
        dead: list[Entry] = []
        while self._ready and len(taken) < count:
            group = next(iter(self._ready))
            del self._ready[group]
            waiting = self._waiting[group]
            while waiting and len(taken) < count:
                entry = self._entries[heapq.heappop(waiting)]
                if entry.expires_s <= now_s:
                    del self._entries[entry.sequence]
                elif max_receives is not None and entry.receives >= max_receives:
                    del self._entries[entry.sequence]
                    dead.append(entry)
                else:
                    entry.receives += 1
                    entry.in_flight = True
                    self._in_flight[group] = self._in_flight.get(group, 0) + 1
                    self._hide(entry, now_s + visibility_s)
                    taken.append(entry)
            self._settle(group)
        return taken, dead

    def delete(self, sequence: int, receives: int, now_s: float) -> None:
        """Delete a message by its receipt (sequence and receive count). Deleting it again is not an error.

        HandleExpiredError if it has become visible again.
        """
        entry = self._received(sequence, receives, now_s)
        if entry is not None:
            del self._entries[sequence]
            self._land(entry)

    def hide(self, sequence: int, receives: int, visibility_s: float, now_s: float) -> None:
        """Make a received message visible again in `visibility_s`.

        HandleExpiredError if it is already visible or deleted.
        """
        entry = self._received(sequence, receives, now_s)
        if entry is None:
            raise HandleExpiredError
        self._hide(entry, now_s + visibility_s)
        self._wake(now_s)

    def next_wake_s(self) -> float | None:
        """The earliest time at which a hidden message may become visible; None if none is hidden."""
        return self._hidden[0][0] if self._hidden else None

    def counts(self, now_s: float) -> tuple[int, int, int]:
        """The numbers of visible, in-flight and delayed messages."""
        self._wake(now_s)
        in_flight = sum(self._in_flight.values())
        visible = sum(map(len, self._waiting.values()))
        return visible, in_flight, len(self._entries) - in_flight - visible

    def clear(self) -> None:
        """Drop all messages but remember their deduplication ids."""
        for index in (self._entries, self._waiting, self._ready, self._in_flight):
            index.clear()
        self._hidden.clear()

    def _received(self, sequence: int, receives: int, now_s: float) -> Entry | None:
        self._wake(now_s)
        entry = self._entries.get(sequence)
        if entry is not None and not (entry.in_flight and entry.receives == receives):
            raise HandleExpiredError
        return entry

    def _hide(self, entry: Entry, until_s: float) -> None:
        entry.hidden_until_s = until_s
        heapq.heappush(self._hidden, (until_s, entry.sequence))

    def _wake(self, now_s: float) -> None:
        while self._hidden and self._hidden[0][0] <= now_s:
            until_s, sequence = heapq.heappop(self._hidden)
            entry = self._entries.get(sequence)
            if entry is not None and entry.hidden_until_s == until_s:
                entry.hidden_until_s = None
                self._queue(entry)
                if entry.in_flight:
                    self._land(entry)

    def _queue(self, entry: Entry) -> None:
        heapq.heappush(self._waiting.setdefault(entry.group, []), entry.sequence)
        self._settle(entry.group)

    def _land(self, entry: Entry) -> None:
        entry.in_flight = False
        self._in_flight[entry.group] -= 1
        if not self._in_flight[entry.group]:
            del self._in_flight[entry.group]
        self._settle(entry.group)

    def _settle(self, group: str) -> None:
        if group in self._in_flight:
            return
        if self._waiting.get(group):
            self._ready[group] = None
        else:
            self._waiting.pop(group, None)

    def _forget_keys(self, now_s: float) -> None:
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key][0] > now_s:
                return
            del self._seen[key]
