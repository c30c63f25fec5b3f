"""Holes in a group's log: numbers whose sender died before it stored a message. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.model import epoch_ms_of, void_message

if TYPE_CHECKING:
    from groupcast.model import Head, Message
    from groupcast.tables.messages import Page

# sendMessage's timeout in serverless.yml (tests/template compares them): no sender runs longer.
SEND_TIMEOUT_MS = 5_000
# Allowance for clock differences, for the index's lag, which AWS does not bound, and for a sender's last
# request, which may outlive it. Readers miss a stored message that the index shows even later.
MARGIN_MS = 5_000
# A number that has no message this long after it was taken will never have one.
HOLE_FINAL_MS = SEND_TIMEOUT_MS + MARGIN_MS
# The most void messages in a reply. Wider gaps are messages that have expired, not crashes.
HOLES_MAX = 100


def replay(page: Page, since: int, head: Head, now_ms: int) -> tuple[list[Message], bool]:
    """The messages of a page after `since`, with void messages for final holes, and whether it is complete.

    `head` and `now_ms` (since 1970) must have been read before the page. The index lags a little, so a page
    that ends below the group's head is complete only if no message can still be on its way.
    """
    found: list[Message] = []
    holes_left, reached = HOLES_MAX, since

    def add_holes(before: int) -> None:
        nonlocal holes_left, reached
        holes = range(reached + 1, min(before, reached + 1 + holes_left))
        found.extend(void_message("", "", seq, "") for seq in holes)
        holes_left -= len(holes)
        reached += len(holes)

    for message in page.messages:
        # A message is created after its number was taken, so all lower numbers are even older.
        if now_ms - epoch_ms_of(message.created_at) > HOLE_FINAL_MS:
            add_holes(message.seq)
        found.append(message)
        reached = message.seq
    if page.more:
        return found, False
    # The head moved a little later than `moved_at_ms`, by less than its sender's lifetime.
    is_settled = now_ms - head.moved_at_ms > HOLE_FINAL_MS + SEND_TIMEOUT_MS
    if is_settled:
        add_holes(head.last_seq + 1)
    return found, is_settled or reached >= head.last_seq
