"""Replays missed messages for joinGroup and history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.holes import HOLES_MAX, replay
from groupcast.protocol import (
    MAX_HISTORY,
    JoinEntry,
    RefusedEntry,
    group_joined,
    group_refused,
    message_value,
)
from groupcast.tables.messages import MAX_PAGE_BYTES, Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from groupcast.access import Access
    from groupcast.model import Caller, Head, Message, Progress
    from groupcast.tables.messages import Messages

# Logs that are read side by side for one frame.
READS_AT_ONCE = 8
# A log is read beyond the messages that fit: each one read costs at least this.
READ_BYTES_MIN = 4 * 1024
# A reply with several groups keeps this free for the void numbers of the last one.
VOIDS_BYTES = 40 * HOLES_MAX


class Replays:
    """Reads logs from a `seq` on, within the room of a frame."""

    def __init__(self, messages: Messages, access: Access) -> None:
        self._messages = messages
        self._access = access

    async def page(
        self, group_id: str, since: int, head: Head, limit: int, max_bytes: int = MAX_PAGE_BYTES
    ) -> Page:
        """Up to `limit` messages above `since`; a log that ends there is not read."""
        if since >= head.last_seq:
            return Page((), more=False, size_bytes=0)
        all_small = head.large_seq <= since
        return await self._messages.after(group_id, since, limit, all_small=all_small, max_bytes=max_bytes)

    async def results(
        self,
        caller: Caller,
        entries: Sequence[JoinEntry | RefusedEntry],
        groups: Mapping[str, Progress],
        now_ms: int,
    ) -> list[dict[str, Any]]:
        """The result of each entry of a joinGroup frame; `now_ms` is from before `groups` were read.

        The logs fill the reply in the order of the frame; one that does not fit is not `complete`. The caller
        pays for what was read.
        """
        results = [_result(entry, groups) for entry in entries]
        missed = [
            (place, entry.group_id, entry.since)
            for place, entry in enumerate(entries)
            if isinstance(entry, JoinEntry) and not results[place]["complete"] and entry.since is not None
        ]
        # A single group's reply has its fixed fields accounted for in MAX_PAGE_BYTES.
        room_bytes = MAX_PAGE_BYTES - (_size_bytes(results) + VOIDS_BYTES if len(results) > 1 else 0)
        read_bytes = 0
        for start in range(0, len(missed), READS_AT_ONCE):
            if room_bytes <= 0:
                break
            some = missed[start : start + READS_AT_ONCE]
            pages = await asyncio.gather(
                *(
                    self.page(group_id, since, groups[group_id].head, MAX_HISTORY, room_bytes)
                    for _, group_id, since in some
                )
            )
            for (place, group_id, since), page in zip(some, pages, strict=True):
                read_bytes += max(page.size_bytes, READ_BYTES_MIN)
                progress = groups[group_id]
                messages, complete = replay(_fitting(page, room_bytes), since, progress.head, now_ms)
                result = group_joined(group_id, progress, messages, complete=complete)
                room_bytes -= _size_bytes(result["messages"])
                results[place] = result
        await self._access.debit_page(caller, read_bytes)
        return results


def _result(entry: JoinEntry | RefusedEntry, groups: Mapping[str, Progress]) -> dict[str, Any]:
    if isinstance(entry, RefusedEntry):
        return group_refused(entry)
    progress = groups[entry.group_id]
    is_current = entry.since is None or entry.since >= progress.head.last_seq
    return group_joined(entry.group_id, progress, (), complete=is_current)


def _fitting(page: Page, room_bytes: int) -> Page:
    """As much of a page as fits."""
    if page.size_bytes <= room_bytes:
        return page
    kept: list[Message] = []
    size_bytes = 0
    for message in page.messages:
        size_bytes += _size_bytes(message_value(message)) + 1
        if size_bytes > room_bytes:
            break
        kept.append(message)
    return Page(tuple(kept), more=True, size_bytes=size_bytes)


def _size_bytes(value: object) -> int:
    return len(orjson.dumps(value))
