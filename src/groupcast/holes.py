"""Holes in a group's log: numbers whose senders died before they stored anything under them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast.model import epoch_ms_of, void_message

if TYPE_CHECKING:
    from groupcast.model import Head, Message
    from groupcast.tables.messages import Page

# sendMessage's timeout in serverless.yml (tests/template compares them): no sender lives longer.
SEND_TIMEOUT_MS = 5_000
# Allowance for clock differences, for the index's lag, which AWS does not bound, and for a sender's last
# request, which may outlive it. A stored message that the index shows later than this is lost to readers.
MARGIN_MS = 5_000
# A number without a message is final so long after it was taken.
HOLE_FINAL_MS = SEND_TIMEOUT_MS + MARGIN_MS
# Voids in a reply, beside its messages. Wide gaps are no crashes: their messages have expired.
HOLES_MAX = 100


def replay(page: Page, since: int, head: Head, now_ms: int) -> tuple[list[Message], bool]:
    """A page of the log after `since` with its final holes as void messages, and whether it is complete.

    `head` and `now_ms` (since 1970) are from before the page was read. The index behind it lags a little, so
    a page that ends below the group's head is complete only when nothing can be under way any more.
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
        # It was created after its number had been taken, and so after all lower ones had been.
        if now_ms - epoch_ms_of(message.created_at) > HOLE_FINAL_MS:
            add_holes(message.seq)
        found.append(message)
        reached = message.seq
    if page.more:
        return found, False
    # The head moved a little later than it says: by less than its sender lived.
    is_settled = now_ms - head.moved_at_ms > HOLE_FINAL_MS + SEND_TIMEOUT_MS
    if is_settled:
        add_holes(head.last_seq + 1)
    return found, is_settled or reached >= head.last_seq
