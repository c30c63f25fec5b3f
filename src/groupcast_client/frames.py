"""Encodes requests and decodes the service's frames. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from groupcast_client.errors import ServerError, TooLarge
from groupcast_client.model import Ack, HistoryPage, Message, Void

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# API Gateway closes with 1009 after a WebSocket frame over 32 KB or a message over 128 KB. A larger message
# must be sent in several frames ("Quotas for configuring and running a WebSocket API in API Gateway").
FRAGMENT_BYTES = 32 * 1024
MESSAGE_BYTES = 128 * 1024
# The two highest bits of a UTF-8 continuation byte.
_CONTINUES = 0b10
# API Gateway's own errors have no code. These are its default texts: forbidden, throttled, quota exhausted.
_GATEWAY_CODES = {
    "Forbidden": "Forbidden",
    "Too Many Requests": "RateLimited",
    "Limit Exceeded": "RateLimited",
}


@dataclass(frozen=True, slots=True)
class Joined:
    """The reply to joinGroup; `entries` follow the request's `since`, oldest first."""

    group_id: str
    last_seq: int
    entries: tuple[Message | Void, ...]
    complete: bool
    read_seq: int | None = None


@dataclass(frozen=True, slots=True)
class NotJoined:
    """The result of a group that the service refused, among others."""

    group_id: str
    error: ServerError


@dataclass(frozen=True, slots=True)
class JoinedMany:
    """The reply to joinGroup with `groups`, in their order."""

    results: tuple[Joined | NotJoined, ...]


@dataclass(frozen=True, slots=True)
class Left:
    group_id: str | None


@dataclass(frozen=True, slots=True)
class Marked:
    """The reply to markRead: how far the user has read on any device."""

    group_id: str
    read_seq: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The connection's groups according to the service, with their last numbers and the user's read marks."""

    last_seqs: Mapping[str, int]
    read_seqs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Renewed:
    """The reply to renew: the new token's expiry, and the groups that it permits of the connection's."""

    group_ids: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Push:
    group_id: str
    entries: tuple[Message | Void, ...]


Body = Joined | JoinedMany | Left | Ack | HistoryPage | Marked | Pong | Renewed | Push | ServerError


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame from the service; `id` is that of the request, None for a push."""

    body: Body
    id: str | None


def encode(action: str, request_id: str, **fields: Any) -> bytes:
    """Encode a request as UTF-8 JSON; skip fields without a value.

    Raises TooLarge if the gateway would refuse it.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    raw = orjson.dumps({"action": action, "id": request_id, **present})
    if len(raw) > MESSAGE_BYTES:
        raise TooLarge(
            f"{action} takes {len(raw):,} bytes as JSON, and the gateway accepts {MESSAGE_BYTES:,}."
            " Shorten it or send it in parts."
        )
    return raw


def fragments(raw: bytes) -> list[bytes]:
    """Split an encoded frame into WebSocket fragments of at most FRAGMENT_BYTES, between characters."""
    parts = []
    start = 0
    while len(raw) - start > FRAGMENT_BYTES:
        end = start + FRAGMENT_BYTES
        while raw[end] >> 6 == _CONTINUES:
            end -= 1
        parts.append(raw[start:end])
        start = end
    return [*parts, raw[start:]]


def decode(raw: str | bytes) -> Frame | None:
    """Decode a frame; None for an unknown type. Raises ValueError if the frame is malformed."""
    try:
        frame = orjson.loads(raw)
        kind = frame.get("type")
        if kind is None:
            return Frame(_gateway_error(frame), None)
        reader = _READERS.get(kind)
        return None if reader is None else Frame(reader(frame), frame.get("id"))
    except (AttributeError, KeyError, TypeError) as error:
        msg = f"malformed frame: {type(error).__name__}: {error}"
        raise ValueError(msg) from error


def _gateway_error(frame: Mapping[str, Any]) -> ServerError:
    # API Gateway's own errors have no type and no id: {"message", "connectionId", "requestId"}.
    code = _GATEWAY_CODES.get(frame["message"], "InternalError")
    return ServerError(code, frame["message"], frame.get("requestId"))


def _error(frame: Mapping[str, Any]) -> ServerError:
    code, message, request_id = frame["code"], frame["message"], frame.get("requestId")
    if code == "TooLarge":
        return TooLarge(message, request_id)
    return ServerError(code, message, request_id, retry_after_ms=frame.get("retryAfterMs"))


def _entries(frame: Mapping[str, Any]) -> tuple[Message | Void, ...]:
    group_id = frame["groupId"]
    return tuple(_entry(group_id, item) for item in frame["messages"])


def _entry(group_id: str, item: Mapping[str, Any]) -> Message | Void:
    if item.get("void"):
        return Void(item["seq"])
    return Message(
        message_id=item["messageId"],
        group_id=group_id,
        seq=item["seq"],
        sender=item["sender"],
        text=item["message"],
        created_at=datetime.fromisoformat(item["createdAt"]),
        user_id=item.get("userId"),
    )


def _joined(frame: Mapping[str, Any]) -> Joined | JoinedMany:
    return JoinedMany(tuple(map(_result, frame["groups"]))) if "groups" in frame else _joined_one(frame)


def _result(item: Mapping[str, Any]) -> Joined | NotJoined:
    return NotJoined(item["groupId"], _error(item["error"])) if "error" in item else _joined_one(item)


def _joined_one(item: Mapping[str, Any]) -> Joined:
    return Joined(item["groupId"], item["lastSeq"], _entries(item), item["complete"], item.get("readSeq"))


def _pong(frame: Mapping[str, Any]) -> Pong:
    group_id = frame["groupId"]
    # A service that knows one group per connection sends no `groups`.
    last_seqs = frame.get("groups", {} if group_id is None else {group_id: frame["lastSeq"]})
    return Pong(last_seqs, frame.get("readSeqs", {}))


def _renewed(frame: Mapping[str, Any]) -> Renewed:
    group_id = frame["groupId"]
    group_ids = frame.get("groups", () if group_id is None else (group_id,))
    return Renewed(tuple(group_ids), datetime.fromisoformat(frame["expiresAt"]))


def _ack(frame: Mapping[str, Any]) -> Ack:
    created_at = datetime.fromisoformat(frame["createdAt"])
    return Ack(frame["messageId"], frame["groupId"], frame["seq"], created_at)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Body]] = {
    "joined": _joined,
    "left": lambda f: Left(f["groupId"]),
    "ack": _ack,
    "history": lambda f: HistoryPage(f["groupId"], _entries(f), f["complete"]),
    "marked": lambda f: Marked(f["groupId"], f["readSeq"]),
    "pong": _pong,
    "renewed": _renewed,
    "messages": lambda f: Push(f["groupId"], _entries(f)),
    "error": _error,
}
