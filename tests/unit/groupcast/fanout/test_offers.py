from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.offers import BODY_BYTES_MAX, OFFER_BYTES_MAX, OFFER_MESSAGES_MAX, from_body, outgoing
from groupcast.model import Audience, Message, iso_ms, void_message
from groupcast.protocol import MAX_MESSAGE_BYTES
from groupcast.slots import SLOTS, SlotRange

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


def message(seq: int, text: str = "hi", group_id: str = "방 1") -> Message:
    return Message(f"m{seq}", group_id, seq, "ann", text, iso_ms(1_795_368_000_000 + seq))


def body(**changes: Any) -> str:
    (one,) = outgoing([message(1)], Audience())
    return json.dumps({**json.loads(one.body), **changes})


@given(st.lists(TEXTS, min_size=1, max_size=250), st.integers(1, 5), st.integers(0, 100_000))
def test_each_lane_is_offered_every_message_in_order(texts: list[str], lanes: int, members: int) -> None:
    """Once, within the limits, in ASCII, and parsed unchanged."""
    messages = [message(seq, text) for seq, text in enumerate(texts, 1)]
    made = outgoing(messages, Audience(members, lanes))
    by_lane: dict[str, list[Message]] = {}
    slots: dict[str, SlotRange] = {}
    for one in made:
        offer = from_body(one.body)
        assert one.body.isascii()
        assert len(offer.messages) <= OFFER_MESSAGES_MAX
        assert len(one.body) <= OFFER_BYTES_MAX + 1_000
        assert (offer.group_id, offer.members) == ("방 1", members)
        assert one.group_id is not None
        by_lane.setdefault(one.group_id, []).extend(offer.messages)
        slots[one.group_id] = offer.slots
    assert len(by_lane) == lanes
    assert all(offered == messages for offered in by_lane.values())
    assert sum(one.width for one in slots.values()) == SLOTS
    ids = [one.deduplication_id for one in made]
    assert len(set(ids)) == len(ids)
    assert all(one is not None and len(one) <= 128 and one.isascii() for one in ids)


def test_the_longest_messages_fit_an_offer_each() -> None:
    """Whatever JSON's escapes."""
    made = outgoing([message(seq, "\x01" * MAX_MESSAGE_BYTES) for seq in (1, 2, 3)], Audience())
    assert [len(from_body(one.body).messages) for one in made] == [2, 1]
    assert all(len(one.body) <= BODY_BYTES_MAX for one in made)


def test_the_same_messages_have_the_same_deduplication_ids() -> None:
    """Other messages, orders or slots have other ids."""

    def ids(*seqs: int, lanes: int = 1) -> list[str | None]:
        return [one.deduplication_id for one in outgoing([message(seq) for seq in seqs], Audience(0, lanes))]

    assert ids(1) == ids(1)
    assert ids(1, 2) == ids(1, 2)
    assert len({*ids(1), *ids(2), *ids(1, 2), *ids(2, 1), *ids(1, lanes=2), *ids(1, lanes=3)}) == 9


def test_users_with_the_same_message_id_have_other_deduplication_ids() -> None:
    """For any user id."""
    senders: list[str | None] = [None, "u1", "u2", "ü" * 500]
    ids = [outgoing([replace(message(1), user_id=one)], Audience())[0].deduplication_id for one in senders]
    assert len(set(ids)) == len(ids)
    assert all(one is not None and len(one) <= 128 and one.isascii() for one in ids)


def test_void_numbers_and_users_messages_survive() -> None:
    """With the keys by which a retry finds them."""
    messages = [void_message("v1", "방 1", 1, message(1).created_at), replace(message(2), user_id="u1")]
    (made,) = outgoing(messages, Audience())
    assert from_body(made.body).messages == tuple(messages)
    assert [one.key for one in from_body(made.body).messages] == ["v1", "u1:m2"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"groupId": 5}, "not an offer"),
        ({"groupId": ""}, "not an offer"),
        ({"groupId": "x" * 129}, "not an offer"),
        ({"slots": [0]}, "not an offer"),
        ({"slots": [0, SLOTS]}, "slots 0 to 65536"),
        ({"slots": [-1, 5]}, "slots -1 to 5"),
        ({"slots": [7, 5]}, "slots 7 to 5"),
        ({"slots": [False, True]}, "not an offer"),
        ({"messages": []}, "0 messages"),
        ({"messages": ["hi"]}, "not a message"),
        ({"messages": [{"messageId": "m1"}]}, "not a message"),
        ({"members": -1}, "members"),
        ({"members": True}, "members"),
        ({"members": "many"}, "members"),
    ],
)
def test_a_malformed_offer_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_body(body(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        *({"seq": 0}, {"seq": True}, {"seq": "1"}, {"createdAt": "soon"}, {"message": None}, {"userId": 5}),
        *({"void": False}, {"void": 1}, {"void": "true"}, {"void": True, "seq": 0}),
        *({"void": True, "messageId": None}, {"void": True, "createdAt": "soon"}),
    ],
)
def test_a_malformed_message_invalidates_its_offer(changes: dict[str, Any]) -> None:
    """It was made by hand, and half an offer is not delivered."""
    value = {**json.loads(body())["messages"][0], **changes}
    with pytest.raises(ValueError, match=r"message|isoformat|date"):
        from_body(body(messages=[value]))


def test_a_body_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="300,000 bytes"):
        from_body("x" * 300_000)


@given(st.text())
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever orjson says
        from_body(text)
