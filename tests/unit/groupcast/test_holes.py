"""Numbers without a message that a reply calls void."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groupcast.holes import HOLE_FINAL_MS, HOLES_MAX, SEND_TIMEOUT_MS, replay
from groupcast.model import Head, Message, iso_ms
from groupcast.protocol import MAX_FRAME_BYTES, MAX_GROUP_ID_CHARS, MAX_SEQ, encode, history
from groupcast.tables.messages import MAX_PAGE_BYTES, Page
from groupcast_client.model import Limits

NOW_MS = 1_795_368_000_000
LONG_AGO_MS = NOW_MS - 60_000


def message(seq: int, created_ms: int = LONG_AGO_MS) -> Message:
    return Message(f"m{seq}", "a", seq, "ann", "hi", iso_ms(created_ms))


def page_of(*messages: Message, more: bool) -> Page:
    return Page(messages, more, size_bytes=0)


def shown(found: list[Message]) -> list[int]:
    """The numbers, negative for voids."""
    return [-one.seq if one.void else one.seq for one in found]


def test_a_hole_below_an_old_message_is_final() -> None:
    """Its number was taken before the next message's, which was created after taking its own."""
    final_ms = NOW_MS - HOLE_FINAL_MS - 1
    page = page_of(message(3, final_ms), message(5, final_ms + 1), message(6), more=True)
    found, complete = replay(page, 1, Head(9, NOW_MS), NOW_MS)
    assert shown(found) == [-2, 3, 5, 6]
    assert not complete


def test_a_hole_at_the_end_is_final_when_its_sender_must_have_ended() -> None:
    """The head has its last sender's start; that sender may have taken its number much later."""
    page = page_of(message(3, NOW_MS), more=False)
    moved_at_ms = NOW_MS - HOLE_FINAL_MS - SEND_TIMEOUT_MS
    for head, seqs, is_complete in (
        (Head(5, moved_at_ms), [3], False),
        (Head(5, moved_at_ms - 1), [3, -4, -5], True),
    ):
        found, complete = replay(page, 2, head, NOW_MS)
        assert (shown(found), complete) == (seqs, is_complete)


def test_a_hole_is_final_before_clients_stop_waiting() -> None:
    """The service then tells them, after several times the index's usual lag."""
    assert SEND_TIMEOUT_MS + 5_000 <= HOLE_FINAL_MS < Limits().hole_timeout_s * 1000


def test_an_empty_group_has_no_holes() -> None:
    assert replay(page_of(more=False), 0, Head(0, 0), NOW_MS) == ([], True)
    # A client that has read past the end: the log began anew.
    assert replay(page_of(more=False), 7, Head(3, 0), NOW_MS) == ([], True)


@given(
    st.sets(st.integers(1, 400), max_size=200),
    st.integers(0, 400),
    st.booleans(),
)
def test_messages_and_holes_are_listed_once_in_order_and_bounded(
    stored: set[int], since: int, more: bool
) -> None:
    """All messages, and the first of the old holes."""
    messages = tuple(message(seq) for seq in sorted(stored) if seq > since)
    found, _ = replay(page_of(*messages, more=more), since, Head(401, LONG_AGO_MS), NOW_MS)
    numbers = [one.seq for one in found]
    assert numbers == sorted(set(numbers))
    assert tuple(one for one in found if not one.void) == messages
    voids = {one.seq for one in found if one.void}
    end = messages[-1].seq if more and messages else since if more else 401
    holes = [seq for seq in range(since + 1, end + 1) if seq not in stored]
    assert voids == set(holes[:HOLES_MAX])


def test_a_full_page_with_all_voids_fits_a_frame() -> None:
    """With the longest group name and id."""
    page = page_of(message(MAX_SEQ), more=False)
    found, _ = replay(page, MAX_SEQ - HOLES_MAX - 1, Head(MAX_SEQ, LONG_AGO_MS), NOW_MS)
    voids = history("\U0001f600" * MAX_GROUP_ID_CHARS, found[:-1], complete=True) | {"id": "\x01" * 64}
    assert len(voids["messages"]) == HOLES_MAX
    assert MAX_PAGE_BYTES + len(encode(voids).encode()) < MAX_FRAME_BYTES
