"""A group that is being served: what it is sent, who still waits, and who is owed what in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from groupcast.fanout.leftover import split
from groupcast.fanout.report import GroupReport

if TYPE_CHECKING:
    from groupcast.fanout.batch import Frame, GroupBatch
    from groupcast.fanout.leftover import Leftover
    from groupcast.fanout.ports import Post


class Target:
    """A group being served."""

    __slots__ = ("batch", "drained", "frames", "open", "owing", "posts", "report")

    def __init__(self, batch: GroupBatch, posts: list[Post]) -> None:
        self.batch = batch
        self.frames: tuple[Frame, ...] = batch.frames
        self.posts = posts
        self.report = GroupReport(batch.group_id, batch.messages, batch.item_identifier)
        self.open = 0
        self.drained = asyncio.Event()
        # Connections handed off, by the first frame that they did not get.
        self.owing: dict[int, list[str]] = {}

    def left(self, index: int) -> int:
        """Messages from a frame on."""
        return sum(frame.messages for frame in self.frames[index:])

    def leftovers(self) -> tuple[Leftover, ...]:
        found: list[Leftover] = []
        for index, connection_ids in sorted(self.owing.items()):
            message_ids = [one for frame in self.frames[index:] for one in frame.message_ids]
            found += split(self.batch.group_id, message_ids, connection_ids)
        return tuple(found)
