"""The messages of a FIFO queue: order, locks and deduplication as in the SQS Developer Guide. Pure.

The rules are those of "FIFO queue delivery logic in Amazon SQS", "FIFO queue key terms" and "Amazon SQS
visibility timeout". A lane is a message group. All times are seconds of one monotonic clock, which the caller
gives; nothing here waits or locks.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

DEDUPLICATION_S = 300.0


class HandleExpiredError(Exception):
    """The message became visible again after it was received: its receipt no longer counts."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message in the queue. `receives` counts how often it was handed out."""

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

    Every operation costs O(log n) of the messages that it touches, whatever waits in other lanes.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._entries: dict[int, Entry] = {}
        # Per group a heap of sequence numbers: a message that comes back takes its old place.
        self._waiting: dict[str, list[int]] = {}
        # Groups with messages and without a receiver, in the order in which they became so.
        self._ready: dict[str, None] = {}
        self._in_flight: dict[str, int] = {}
        # (until, sequence); an entry whose own `hidden_until_s` differs has moved on.
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
        """Accept a message; return the id and the sequence number that it has now.

        If one with the same `key` was accepted within DEDUPLICATION_S, be it deleted since or not, these are
        its own, and the new message is dropped.
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
        """Up to `count` messages to work on, and those that were received `max_receives` times already.

        The first lane gives as many as it has, then the next one. A lane gives no more until all of its
        received messages are deleted or visible again. The second list has left the queue.
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
        """Remove the message that was received as number `receives`; one that is gone is no error.

        HandleExpiredError where it has become visible again since.
        """
        entry = self._received(sequence, receives, now_s)
        if entry is not None:
            del self._entries[sequence]
            self._land(entry)

    def hide(self, sequence: int, receives: int, visibility_s: float, now_s: float) -> None:
        """Let a received message become visible after `visibility_s` from now instead.

        HandleExpiredError where it is visible already, or gone.
        """
        entry = self._received(sequence, receives, now_s)
        if entry is None:
            raise HandleExpiredError
        self._hide(entry, now_s + visibility_s)
        self._wake(now_s)

    def next_wake_s(self) -> float | None:
        """When a hidden message may become visible next; None without one."""
        return self._hidden[0][0] if self._hidden else None

    def counts(self, now_s: float) -> tuple[int, int, int]:
        """How many messages are visible, in flight and delayed."""
        self._wake(now_s)
        in_flight = sum(self._in_flight.values())
        visible = sum(map(len, self._waiting.values()))
        return visible, in_flight, len(self._entries) - in_flight - visible

    def clear(self) -> None:
        """Drop all messages. Their deduplication ids still count."""
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
