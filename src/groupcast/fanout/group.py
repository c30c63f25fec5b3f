"""A group that is being served: its frames, its connections on their way, and its leftovers in the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from groupcast.fanout.budget import SMALL_MEMBERS, STRAGGLERS_MAX
from groupcast.fanout.leftover import split, split_range
from groupcast.fanout.report import GroupReport
from groupcast.slots import SlotRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from groupcast.aws.management import PostResult
    from groupcast.fanout.batch import Frame, GroupBatch
    from groupcast.fanout.leftover import Leftover, Refusals
    from groupcast.fanout.ports import Post
    from groupcast.tables.members import Page


class GroupFanout:
    """A group, or a part of it, on its way through one invocation."""

    __slots__ = (
        "_drained",
        "batch",
        "fed",
        "frames",
        "gone",
        "open",
        "owing",
        "posts",
        "progress_at",
        "report",
        "waiting",
    )

    def __init__(self, batch: GroupBatch, posts: list[Post]) -> None:
        self.batch = batch
        self.frames: tuple[Frame, ...] = batch.frames
        self.posts = posts
        self.report = GroupReport(
            batch.group_id,
            batch.messages,
            batch.item_identifiers,
            slots=batch.slots if batch.connection_ids is None else None,
        )
        # No more members will come.
        self.fed = False
        # Deliveries that have no outcome yet; those among them that wait for their next try.
        self.open = 0
        self.waiting: set[Delivery] = set()
        # Loop time at which a frame was last done with, or members came.
        self.progress_at = 0.0
        self._drained = asyncio.Event()
        # Connections handed off, by the first frame that they did not get, the queue's delay, and whether
        # they were called gone.
        self.owing: dict[tuple[int, int, bool], list[str]] = {}
        # Connections that were called gone, each with the frame that it did not get.
        self.gone: list[tuple[str, int]] = []

    def is_small(self, page: Page) -> bool:
        """Whether the group is small enough to start without a booking, judged by a page of its members."""
        if self.batch.connection_ids is not None:
            return len(self.batch.connection_ids) <= STRAGGLERS_MAX
        return self.report.pages == 1 and page.is_last and len(page.connection_ids) <= SMALL_MEMBERS

    def later(self, page: Page) -> int | None:
        """How many members come after a page; None if unknown."""
        if page.is_last:
            return 0
        if self.batch.connection_ids is not None:
            return len(self.batch.connection_ids) - page.next
        return None

    def left(self, index: int) -> int:
        """Messages from a frame on."""
        return sum(frame.messages for frame in self.frames[index:])

    def close_one(self) -> None:
        """A delivery has its outcome."""
        self.open -= 1
        if not self.open:
            self._drained.set()

    async def drained(self) -> None:
        """Return when no delivery is open; no members may come any more."""
        while self.open:
            self._drained.clear()
            await self._drained.wait()

    def hand_off(
        self, index: int, connection_ids: Sequence[str], delay_s: int = 0, *, told_gone: bool = False
    ) -> None:
        """Leave these connections, and all frames from `index` on, to the queue; not before `delay_s`."""
        self.report.handed_off += self.left(index) * len(connection_ids)
        # From the second frame on it has taken a post since it was called gone.
        key = (index, delay_s, told_gone or (self.batch.told_gone and index == 0))
        self.owing.setdefault(key, []).extend(connection_ids)

    def note_unread(self, position: int, refusals_of: Refusals) -> None:
        """Leave the members from `position` on to the queue: a slot, or an index of the connections."""
        group_id, ids = self.batch.group_id, self._message_ids(0)
        if self.batch.connection_ids is not None:
            left = self.batch.connection_ids[position:]
            parts = split(group_id, ids, left, refusals_of)
            self.report.unread = tuple(replace(part, told_gone=self.batch.told_gone) for part in parts)
        elif position <= self.batch.slots.last:
            self.report.unread = tuple(split_range(group_id, ids, SlotRange(position, self.batch.slots.last)))

    def leftovers(self, refusals_of: Refusals) -> tuple[Leftover, ...]:
        """The connections that were handed off, as messages for the queue."""
        found: list[Leftover] = []
        for (index, delay_s, told_gone), connection_ids in sorted(self.owing.items()):
            parts = split(self.batch.group_id, self._message_ids(index), connection_ids, refusals_of)
            found += [replace(part, delay_s=delay_s, told_gone=told_gone) for part in parts]
        return tuple(found)

    def _message_ids(self, index: int) -> list[str]:
        return [one for frame in self.frames[index:] for one in frame.message_ids]


class Delivery:
    """One connection and the frames it is still to get, in order.

    `on_result` gets the delivery and the result of each post. It must not raise.
    """

    __slots__ = ("_on_result", "attempts", "connection_id", "due", "group", "index", "is_full")

    def __init__(
        self, on_result: Callable[[Delivery, PostResult], None], group: GroupFanout, connection_id: str
    ) -> None:
        self._on_result = on_result
        self.group = group
        self.connection_id = connection_id
        self.index = 0
        self.attempts = 0
        # Whether it was last turned away because the client's buffer is full.
        self.is_full = False

    def send(self) -> None:
        """Post the next frame."""
        self.group.posts[self.index].send(self.connection_id, self._answered)

    def wait(self, due: float, *, is_full: bool) -> None:
        """Note the loop time of the next try, and whether it waits for a full buffer."""
        self.due = due
        self.is_full = is_full
        self.group.waiting.add(self)

    def _answered(self, _connection_id: str, result: PostResult) -> None:
        self._on_result(self, result)
