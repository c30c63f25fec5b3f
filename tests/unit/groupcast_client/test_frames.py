"""Frames: valid ones of the wire contract, and refused ones."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from groupcast_client import Ack, Message, ServerError, TooLarge, Void, frames
from groupcast_client.model import Endpoint, HistoryPage


def test_a_push_becomes_messages_of_its_group() -> None:
    """Each message has the frame's group; dates keep their zone and milliseconds."""
    item = {
        "messageId": "m1",
        "seq": 3,
        "sender": "앤",
        "message": "안녕하세요",
        "createdAt": "2025-03-01T10:00:00.123Z",
    }
    frame = frames.decode(orjson.dumps({"type": "messages", "groupId": "g", "messages": [item]}))
    created_at = datetime(2025, 3, 1, 10, 0, 0, 123_000, UTC)
    assert frame == frames.Frame(
        frames.Push("g", (Message("m1", "g", 3, "앤", "안녕하세요", created_at),)), None
    )


@pytest.mark.parametrize(("kind", "read"), [("messages", frames.Push), ("history", HistoryPage)])
def test_a_void_has_only_a_number(kind: str, read: type) -> None:
    """It keeps its place among the entries and is omitted from the messages."""
    item = {
        "messageId": "m1",
        "seq": 2,
        "sender": "ann",
        "message": "hello",
        "createdAt": "2025-03-01T10:00:00.000Z",
        "userId": "u1",
    }
    raw = {"type": kind, "groupId": "g", "complete": True, "messages": [{"seq": 1, "void": True}, item]}
    frame = frames.decode(orjson.dumps(raw))
    assert frame is not None
    message = Message("m1", "g", 2, "ann", "hello", datetime(2025, 3, 1, 10, tzinfo=UTC), "u1")
    assert isinstance(frame.body, read)
    assert isinstance(frame.body, frames.Push | HistoryPage)
    assert frame.body.entries == (Void(1), message)
    if isinstance(frame.body, HistoryPage):
        assert frame.body.messages == (message,)


def test_too_large_has_its_own_error() -> None:
    """The service's refusal can be caught like the client's."""
    frame = frames.decode(b'{"type":"error","code":"TooLarge","message":"over 16 KB","requestId":"r"}')
    assert frame is not None
    assert isinstance(frame.body, TooLarge)
    assert (frame.body.message, frame.body.request_id) == ("over 16 KB", "r")


def test_a_reply_keeps_its_id() -> None:
    """The id identifies the request."""
    raw = (
        b'{"type":"ack","messageId":"m","groupId":"g","seq":1,"createdAt":"2025-01-01T00:00:00.0Z","id":"7"}'
    )
    assert frames.decode(raw) == frames.Frame(Ack("m", "g", 1, datetime(2025, 1, 1, tzinfo=UTC)), "7")


def test_a_rate_limit_has_a_delay() -> None:
    """In milliseconds."""
    raw = b'{"type":"error","code":"RateLimited","message":"slower","retryAfterMs":120,"id":"1"}'
    frame = frames.decode(raw)
    assert frame is not None
    assert isinstance(frame.body, ServerError)
    assert frame.body.retry_after_ms == 120


@pytest.mark.parametrize(
    ("fields", "group_ids"),
    [
        ({"groupId": "b", "groups": ["a", "b"]}, ("a", "b")),
        ({"groupId": None, "groups": []}, ()),
        ({"groupId": "g"}, ("g",)),
        ({"groupId": None}, ()),
    ],
)
def test_a_renewal_has_groups_and_an_expiry(fields: dict[str, object], group_ids: tuple[str, ...]) -> None:
    """A service that knows one group per connection sends `groupId` alone, null without a group."""
    raw = orjson.dumps({"type": "renewed", "expiresAt": "2025-03-01T10:00:00.123Z", **fields})
    expires_at = datetime(2025, 3, 1, 10, 0, 0, 123_000, UTC)
    assert frames.decode(raw) == frames.Frame(frames.Renewed(group_ids, expires_at), None)


@pytest.mark.parametrize(
    ("fields", "pong"),
    [
        (
            {"groupId": "b", "lastSeq": 2, "groups": {"a": 1, "b": 2}, "readSeqs": {"a": 0}},
            frames.Pong({"a": 1, "b": 2}, {"a": 0}),
        ),
        ({"groupId": "g", "lastSeq": 3}, frames.Pong({"g": 3}, {})),
        ({"groupId": None, "lastSeq": None}, frames.Pong({}, {})),
    ],
)
def test_a_pong_has_the_last_numbers_of_all_groups(fields: dict[str, object], pong: frames.Pong) -> None:
    """As for a renewal, `groups` may be missing."""
    assert frames.decode(orjson.dumps({"type": "pong", **fields})) == frames.Frame(pong, None)


def test_joining_many_has_a_result_for_each() -> None:
    """Messages, a read mark, or an error without a request id."""
    item = {"messageId": "m", "seq": 4, "sender": "ann", "message": "x", "createdAt": "2025-01-01T00:00:00Z"}
    a = {"groupId": "a", "lastSeq": 4, "messages": [item], "complete": False, "readSeq": 3}
    b = {"groupId": "private", "error": {"code": "Forbidden", "message": "no"}}
    frame = frames.decode(orjson.dumps({"type": "joined", "groups": [a, b], "id": "1"}))
    assert frame is not None
    assert isinstance(frame.body, frames.JoinedMany)
    joined, refused = frame.body.results
    message = Message("m", "a", 4, "ann", "x", datetime(2025, 1, 1, tzinfo=UTC))
    assert joined == frames.Joined("a", 4, (message,), complete=False, read_seq=3)
    assert isinstance(refused, frames.NotJoined)
    assert (refused.group_id, refused.error.code, refused.error.message) == ("private", "Forbidden", "no")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Forbidden", "Forbidden"),
        ("Internal server error", "InternalError"),
        ("Too Many Requests", "RateLimited"),
        ("Limit Exceeded", "RateLimited"),
    ],
)
def test_api_gateways_own_errors_have_no_type(text: str, code: str) -> None:
    """They get the contract's codes."""
    frame = frames.decode(orjson.dumps({"message": text, "connectionId": "c=", "requestId": "r"}))
    assert frame is not None
    assert isinstance(frame.body, ServerError)
    assert (frame.body.code, frame.body.message, frame.body.request_id) == (code, text, "r")


def test_an_unknown_type_is_ignored() -> None:
    """A newer service may send types that this client does not know."""
    assert frames.decode(b'{"type":"typing","groupId":"g"}') is None


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[]", b"1", b"{}", b'{"type":"ack"}', b'{"type":["a"]}'])
def test_a_malformed_frame_is_a_value_error(raw: bytes) -> None:
    """And no other exception."""
    with pytest.raises(ValueError, match=r"malformed|line 1"):
        frames.decode(raw)


def test_absent_fields_are_left_out() -> None:
    """A None is never sent."""
    raw = frames.encode("history", "1", since=0, before=None)
    assert orjson.loads(raw) == {"action": "history", "id": "1", "since": 0}


def test_the_size_of_a_frame_is_that_of_its_json() -> None:
    """Escapes count, and non-ASCII characters are not escaped."""
    plain = len(frames.encode("sendMessage", "1", message=""))
    assert len(frames.encode("sendMessage", "1", message='"\n\x01')) == plain + 2 + 2 + 6
    assert len(frames.encode("sendMessage", "1", message="앤")) == plain + 3


def test_a_frame_over_the_gateways_limit_is_too_large() -> None:
    """The error has the size, the limit and the remedy; one byte less is fine."""
    room = frames.MESSAGE_BYTES - len(frames.encode("sendMessage", "1", message=""))
    assert len(frames.encode("sendMessage", "1", message="x" * room)) == frames.MESSAGE_BYTES
    with pytest.raises(TooLarge, match=r"131,073 bytes .* accepts 131,072\. Shorten it"):
        frames.encode("sendMessage", "1", message="x" * (room + 1))


@pytest.mark.parametrize("text", ["x" * 100_000, "앤" * 33_333, "x" + "🙂" * 25_000, ""])
def test_fragments_make_up_the_frame(text: str) -> None:
    """None exceeds the limit, and each is valid text by itself."""
    raw = text.encode()
    parts = frames.fragments(raw)
    assert b"".join(parts) == raw
    assert "".join(part.decode() for part in parts) == text
    assert all(len(part) <= frames.FRAGMENT_BYTES for part in parts)
    assert len(parts) == max(1, -(-len(raw) // (frames.FRAGMENT_BYTES - 3)))


def test_the_name_is_escaped_and_added_to_the_url() -> None:
    """The URL's stage and query stay."""
    endpoint = Endpoint("ws://h:1/dev?a=b", name="앤 & co")
    assert endpoint.connect_url == "ws://h:1/dev?a=b&name=%EC%95%A4%20%26%20co"


def test_a_token_is_never_shown() -> None:
    """It is sent as a subprotocol and is in no repr."""
    endpoint = Endpoint("ws://h", token="jwt")
    assert endpoint.subprotocols == ["groupcast.v1", "bearer.jwt"]
    assert "jwt" not in repr(endpoint)


def test_errors_show_addresses_without_secrets() -> None:
    """A URL may contain a token or a password."""
    endpoint = Endpoint("wss://ann:secret@h:1/dev?token=secret#secret")
    assert endpoint.shown_url == "wss://h:1/dev"
    assert "secret" not in repr(endpoint)
