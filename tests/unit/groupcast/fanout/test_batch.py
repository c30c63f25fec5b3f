from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.fanout.batch import pack, readable
from groupcast.fanout.stream import lowest, read_stream, stream_batch
from groupcast.model import Audience, Message, iso_ms
from groupcast.protocol import MAX_FRAME_BYTES

NOW_MS = 1_795_368_000_000
FRAME_BYTES = 32 * 1024


def record(group: str, seq: int, number: int, /, text: str = "hi", **changes: Any) -> dict[str, Any]:
    image = {
        "messageId": {"S": f"{group}-{seq}"},
        "groupId": {"S": group},
        "seq": {"N": str(seq)},
        "sender": {"S": "ann"},
        "message": {"S": text},
        "createdAt": {"S": iso_ms(NOW_MS + seq)},
        **changes,
    }
    return {"eventName": "INSERT", "dynamodb": {"NewImage": image, "SequenceNumber": str(number)}}


def message(seq: int, text: str) -> Message:
    return Message(f"m{seq}", "group1", seq, "ann", text, iso_ms(NOW_MS + seq))


def test_records_are_grouped_and_ordered_by_seq() -> None:
    """The stream has no order within a group. Each group knows its first record."""
    by_group, malformed = read_stream(
        [record("a", 2, 102), record("b", 1, 101), record("a", 1, 103), record("a", 3, 99)]
    )
    assert malformed == []
    groups = [stream_batch(group_id, records, FRAME_BYTES) for group_id, records in by_group.items()]
    assert [(group.group_id, group.messages, group.item_identifiers) for group in groups] == [
        ("a", 3, ("99",)),
        ("b", 1, ("101",)),
    ]
    frame = orjson.loads(groups[0].frames[0].data)
    assert (frame["type"], frame["groupId"]) == ("messages", "a")
    assert [value["seq"] for value in frame["messages"]] == [1, 2, 3]
    assert groups[0].frames[0].oldest_ms == NOW_MS + 1


def test_a_void_number_is_pushed_among_messages() -> None:
    """The frame knows it by its key."""
    void = record("a", 2, 2, void={"N": "1"})
    for name in ("sender", "message"):
        del void["dynamodb"]["NewImage"][name]
    by_group, malformed = read_stream([record("a", 1, 1), void, record("a", 3, 3)])
    assert malformed == []
    (frame,) = stream_batch("a", by_group["a"], FRAME_BYTES).frames
    values = orjson.loads(frame.data)["messages"]
    assert values[1] == {"seq": 2, "void": True}
    assert [value["seq"] for value in values] == [1, 2, 3]
    assert frame.message_ids == ("a-1", "a-2", "a-3")


def test_a_users_message_has_its_own_key() -> None:
    """Frames show the id that its sender chose."""
    by_group, _ = read_stream([record("a", 1, 1, messageId={"S": "u:1:m1"}, userId={"S": "u:1"})])
    (frame,) = stream_batch("a", by_group["a"], FRAME_BYTES).frames
    (value,) = orjson.loads(frame.data)["messages"]
    assert (value["messageId"], value["userId"]) == ("m1", "u:1")
    assert frame.message_ids == ("u:1:m1",)


def test_a_duplicate_record_counts_once() -> None:
    """The stream delivers at least once."""
    groups, _ = read_stream([record("a", 1, 1), record("a", 1, 1), record("a", 2, 2)])
    assert [one.message.seq for one in groups["a"]] == [1, 2]


def test_only_inserts_are_messages() -> None:
    """Expiries and manual corrections are not delivered."""
    removed = {**record("a", 1, 1), "eventName": "REMOVE"}
    assert read_stream([removed]) == ({}, [])


def test_malformed_records_are_separated() -> None:
    """The others are delivered, and each malformed one has its reason."""
    bad = [
        record("a", 1, 1, seq={"N": "one"}),
        record("a", 2, 2, message={"N": "5"}),
        record("a", 3, 3, createdAt={"S": "yesterday"}),
        record("a", 4, 4, text="x" * 200_000),
        record("a", 0, 5),
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "6"}},
        record("a", 8, 7, lanes={"N": "0"}),
        record("a", 9, 8, lanes={"N": "65"}),
        record("a", 10, 9, members={"N": "many"}),
    ]
    groups, malformed = read_stream([*bad, record("a", 7, 10)])
    assert [item.sequence_number for item in malformed] == [str(number) for number in range(1, 10)]
    assert all(item.reason for item in malformed)
    assert [one.message.seq for one in groups["a"]] == [7]


def test_a_record_has_the_senders_knowledge() -> None:
    """Whether it offered the message, and the group's size; both may be absent."""
    told = record("a", 1, 1, express={"N": "1"}, lanes={"N": "3"}, members={"N": "50000"})
    groups, _ = read_stream([told, record("a", 2, 2)])
    assert [(one.stored.express, one.stored.audience) for one in groups["a"]] == [
        (True, Audience(50_000, 3)),
        (False, Audience(0, 1)),
    ]


def test_sequence_numbers_compare_as_numbers() -> None:
    """They exceed a machine word and have no padding."""
    assert lowest(["1000000000000000000000", "999"]) == "999"
    assert lowest([]) is None


@given(
    st.lists(st.text(max_size=300), min_size=1, max_size=60),
    st.integers(min_value=0, max_value=4000),
)
def test_packing_keeps_order_content_and_limit(texts: list[str], frame_bytes: int) -> None:
    """All messages are in order, in frames within the limit unless a single one exceeds it."""
    messages = [message(seq, text) for seq, text in enumerate(texts, 1)]
    frames = pack("group1", messages, frame_bytes)
    values = [value for frame in frames for value in orjson.loads(frame.data)["messages"]]
    assert [(value["seq"], value["message"]) for value in values] == list(enumerate(texts, 1))
    assert [value["messageId"] for value in values] == [one for frame in frames for one in frame.message_ids]
    assert all(len(frame.data) <= frame_bytes or frame.messages == 1 for frame in frames)
    assert sum(frame.messages for frame in frames) == len(texts)


def test_packing_fills_frames() -> None:
    """No frame ends while the next message would fit."""
    frames = pack("group1", [message(seq, "x" * 100) for seq in range(1, 400)], 32_768)
    assert all(len(frame.data) > 32_768 - 400 for frame in frames[:-1])


def test_a_frame_may_be_full_to_the_last_byte() -> None:
    """One byte less, and the second message goes into a frame of its own."""
    messages = [message(seq, "x" * 100) for seq in (1, 2)]
    (frame,) = pack("group1", messages, FRAME_BYTES)
    full_bytes = len(frame.data)
    assert [one.messages for one in pack("group1", messages, full_bytes)] == [2]
    assert [one.messages for one in pack("group1", messages, full_bytes - 1)] == [1, 1]


def test_the_longest_message_fills_a_frame_to_the_last_byte() -> None:
    """API Gateway takes it; a byte more, and nobody could get it."""
    (frame,) = pack("group1", [message(1, "")], FRAME_BYTES)
    longest = "x" * (MAX_FRAME_BYTES - len(frame.data))
    assert readable(message(1, longest)).text == longest
    with pytest.raises(ValueError, match="longer than a frame"):
        readable(message(1, longest + "x"))
