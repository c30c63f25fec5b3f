from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast import protocol
from groupcast.errors import ChatError, Code
from groupcast.model import Head, Message, Progress, void_message

MESSAGE_ID = "0192f0c1-2345-7abc-8def-0123456789ab"


def refusal(call: Any, *arguments: Any) -> Code:
    with pytest.raises(ChatError) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    "body",
    ["", "hello", "[]", "1", "null", '"text"', '{"a":', '{"a":"\\ud800"}', "{'a':1}", "[" * 5000, "NaN"],
)
def test_only_a_json_object_is_accepted(body: str) -> None:
    """Anything else is BadRequest, not an exception of the parser."""
    assert refusal(protocol.parse_frame, body) is Code.BAD_REQUEST


def test_a_lone_surrogate_in_the_text_itself_is_a_bad_request() -> None:
    """A str that UTF-8 can't encode is refused like broken JSON."""
    assert refusal(protocol.parse_frame, '{"a":"\ud800"}') is Code.BAD_REQUEST


@given(st.text(max_size=300))
def test_any_text_parses_or_is_refused(body: str) -> None:
    """parse_frame raises only ChatError."""
    with suppress(ChatError):
        assert isinstance(protocol.parse_frame(body), dict)


@pytest.mark.parametrize("value", [1, True, [], {}, "x" * 65])
def test_an_id_must_be_a_short_string(value: Any) -> None:
    """Of at most 64 characters."""
    assert refusal(protocol.frame_id, {"id": value}) is Code.BAD_REQUEST


def test_an_id_is_optional_and_may_have_64_characters() -> None:
    assert protocol.frame_id({"id": "x" * 64}) == "x" * 64
    assert protocol.frame_id({}) is None


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"groupId": None},
        {"groupId": ""},
        {"groupId": 7},
        {"groupId": ["group1"]},
        {"groupId": "x" * 129},
        {"groupId": "a\nb"},
        {"groupId": "a\x7fb"},
        {"groupId": "g", "since": "1"},
        {"groupId": "g", "since": -1},
        {"groupId": "g", "since": 1.5},
        {"groupId": "g", "since": True},
        {"groupId": "g", "since": 2**53},
    ],
)
def test_a_wrong_join_is_a_bad_request(frame: dict[str, Any]) -> None:
    """Each missing, too long or wrongly typed field of joinGroup is refused."""
    assert refusal(protocol.parse_join, frame) is Code.BAD_REQUEST


def test_a_join_with_the_longest_group_and_since() -> None:
    """128 characters of any script are a group, and since may be 0."""
    wanted = protocol.parse_join({"groupId": "한" * 128, "since": 0})
    assert wanted == protocol.Join((protocol.JoinEntry("한" * 128, 0),))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, Code.BAD_REQUEST),
        ({"message": ""}, Code.BAD_REQUEST),
        ({"message": " \n\t"}, Code.BAD_REQUEST),
        ({"message": 5}, Code.BAD_REQUEST),
        ({"message": {"a": 1}}, Code.BAD_REQUEST),
        ({"message": "hi", "messageId": "not-a-uuid"}, Code.BAD_REQUEST),
        ({"message": "hi", "messageId": 5}, Code.BAD_REQUEST),
        ({"message": "한" * 5462}, Code.TOO_LARGE),
    ],
)
def test_a_wrong_send_is_refused(frame: dict[str, Any], code: Code) -> None:
    """Empty, wrongly typed and too long messages have different errors."""
    assert refusal(protocol.parse_send, frame) is code


def test_a_message_of_the_maximum_length_is_accepted() -> None:
    """The limit counts bytes of UTF-8."""
    text = "x" * protocol.MAX_MESSAGE_BYTES
    assert protocol.parse_send({"message": text}).text == text


@pytest.mark.parametrize(
    "message_id",
    [
        *(MESSAGE_ID.upper(), MESSAGE_ID.replace("-", ""), f"{{{MESSAGE_ID}}}", f"urn:uuid:{MESSAGE_ID}"),
        *(
            f"{MESSAGE_ID}\n",
            f" {MESSAGE_ID}",
            f"{MESSAGE_ID[:-1]}\N{FULLWIDTH DIGIT ONE}",
            f"u:{MESSAGE_ID}",
        ),
    ],
)
def test_a_message_id_has_one_spelling(message_id: str) -> None:
    """Only the canonical one, so that no two spellings denote the same id."""
    assert protocol.parse_send({"message": "hi", "messageId": MESSAGE_ID}).message_id == MESSAGE_ID
    assert refusal(protocol.parse_send, {"message": "hi", "messageId": message_id}) is Code.BAD_REQUEST


@pytest.mark.parametrize(
    "frame", [{"since": 1, "before": 2}, {"limit": 0}, {"limit": 201}, {"limit": True}, {"before": "9"}]
)
def test_a_wrong_history_is_a_bad_request(frame: dict[str, Any]) -> None:
    """since and before exclude each other, and limit is bounded."""
    assert refusal(protocol.parse_history, frame) is Code.BAD_REQUEST


@given(text=st.text(alphabet=st.characters(max_codepoint=0x1F), min_size=1, max_size=200))
def test_the_worst_message_fits_a_frame(text: str) -> None:
    """JSON may need six bytes per character; the longest message still fits API Gateway's 128 KB."""
    per_character = (len(orjson.dumps(text)) - len(b'""')) / len(text.encode())
    assert per_character * protocol.MAX_MESSAGE_BYTES < protocol.MAX_FRAME_BYTES * 0.9


def test_frames_have_the_shapes_of_the_contract() -> None:
    """Every reply has exactly its documented fields."""
    message = Message(MESSAGE_ID, "group1", 7, "ann", "안녕하세요!", "2026-11-22T17:20:00.123Z")
    value = {
        "messageId": MESSAGE_ID,
        "seq": 7,
        "sender": "ann",
        "message": "안녕하세요!",
        "createdAt": "2026-11-22T17:20:00.123Z",
    }
    assert protocol.message_value(replace(message, user_id="u1")) == {**value, "userId": "u1"}
    void = void_message(MESSAGE_ID, "group1", 7, message.created_at)
    assert protocol.message_value(void) == {"seq": 7, "void": True}
    head = Head(7, 0)
    assert protocol.group_joined("group1", Progress(head), [message], complete=True) == {
        "groupId": "group1",
        "lastSeq": 7,
        "messages": [value],
        "complete": True,
    }
    assert protocol.group_joined("group1", Progress(head, 0), (), complete=True)["readSeq"] == 0
    assert protocol.history("group1", [message], complete=False) == {
        "type": "history",
        "groupId": "group1",
        "messages": [value],
        "complete": False,
    }
    assert protocol.ack(message) == {
        "type": "ack",
        "messageId": MESSAGE_ID,
        "groupId": "group1",
        "seq": 7,
        "createdAt": "2026-11-22T17:20:00.123Z",
    }
    assert protocol.left("group1") == {"type": "left", "groupId": "group1"}
    assert protocol.pong("L0SM9cOFvHcCIhw=", {"group2": Progress(Head(3, 0)), "group1": Progress(head)}) == {
        "type": "pong",
        "groupId": "group1",
        "lastSeq": 7,
        "groups": {"group2": 3, "group1": 7},
        "connectionId": "L0SM9cOFvHcCIhw=",
    }
    assert protocol.pong("L0SM9cOFvHcCIhw=", {}) == {
        "type": "pong",
        "groupId": None,
        "lastSeq": None,
        "groups": {},
        "connectionId": "L0SM9cOFvHcCIhw=",
    }
    refused = protocol.error(ChatError(Code.BAD_REQUEST, "No."), ["x"], "request-1")
    assert protocol.with_id(refused, "a1") == {
        "type": "error",
        "code": "BadRequest",
        "message": "No.",
        "action": None,
        "requestId": "request-1",
        "id": "a1",
    }
