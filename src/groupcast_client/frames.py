"""Frames of the wire contract to values and back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from groupcast_client.errors import ServerError
from groupcast_client.model import Ack, HistoryPage, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Joined:
    """The reply to joinGroup; `messages` came after the request's `since`, oldest first."""

    group_id: str
    last_seq: int
    messages: tuple[Message, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Left:
    group_id: str | None


@dataclass(frozen=True, slots=True)
class Pong:
    """The group the service counts this connection to, and its last number; None where in no group."""

    group_id: str | None
    last_seq: int | None


@dataclass(frozen=True, slots=True)
class Renewed:
    """The reply to renew: when the new token ends, and the group; None where it gives no right to it."""

    group_id: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Push:
    group_id: str
    messages: tuple[Message, ...]


Body = Joined | Left | Ack | HistoryPage | Pong | Renewed | Push | ServerError


@dataclass(frozen=True, slots=True)
class Frame:
    """What the service sent; `id` repeats the request's, and is None for a push."""

    body: Body
    id: str | None


def encode(action: str, request_id: str, **fields: Any) -> str:
    """Return the frame that asks for `action`; fields that are None are left out."""
    present = {name: value for name, value in fields.items() if value is not None}
    return orjson.dumps({"action": action, "id": request_id, **present}).decode()


def decode(raw: str | bytes) -> Frame | None:
    """Return what a frame says, or None for a type this client does not know.

    Raises ValueError where the frame breaks the contract.
    """
    try:
        frame = orjson.loads(raw)
        kind = frame.get("type")
        if kind is None:
            return Frame(_gateway_error(frame), None)
        reader = _READERS.get(kind)
        return None if reader is None else Frame(reader(frame), frame.get("id"))
    except (AttributeError, KeyError, TypeError) as error:
        msg = f"not a frame of the contract: {type(error).__name__}: {error}"
        raise ValueError(msg) from error


def _gateway_error(frame: Mapping[str, Any]) -> ServerError:
    # API Gateway's own errors have no type and no id: {"message", "connectionId", "requestId"}.
    code = "Forbidden" if frame["message"] == "Forbidden" else "InternalError"
    return ServerError(code, frame["message"], frame.get("requestId"))


def _messages(frame: Mapping[str, Any]) -> tuple[Message, ...]:
    group_id = frame["groupId"]
    return tuple(
        Message(
            message_id=item["messageId"],
            group_id=group_id,
            seq=item["seq"],
            sender=item["sender"],
            text=item["message"],
            created_at=datetime.fromisoformat(item["createdAt"]),
        )
        for item in frame["messages"]
    )


def _ack(frame: Mapping[str, Any]) -> Ack:
    created_at = datetime.fromisoformat(frame["createdAt"])
    return Ack(frame["messageId"], frame["groupId"], frame["seq"], created_at)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Body]] = {
    "joined": lambda f: Joined(f["groupId"], f["lastSeq"], _messages(f), f["complete"]),
    "left": lambda f: Left(f["groupId"]),
    "ack": _ack,
    "history": lambda f: HistoryPage(f["groupId"], _messages(f), f["complete"]),
    "pong": lambda f: Pong(f["groupId"], f.get("lastSeq")),
    "renewed": lambda f: Renewed(f["groupId"], datetime.fromisoformat(f["expiresAt"])),
    "messages": lambda f: Push(f["groupId"], _messages(f)),
    "error": lambda f: ServerError(
        f["code"], f["message"], f.get("requestId"), retry_after_ms=f.get("retryAfterMs")
    ),
}
