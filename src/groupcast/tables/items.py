"""Converts between DynamoDB's attribute values and plain ones: strings and integers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.model import Audience, Message
from groupcast.slots import LANES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

Item = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message, its audience when it was sent, and whether its sender offered it (`express`)."""

    message: Message
    audience: Audience
    express: bool


def encode(values: Mapping[str, str | int] | Mapping[str, str | int | None]) -> Item:
    """Encode plain values as an item; skip None."""
    return {
        name: {"S": value} if isinstance(value, str) else {"N": str(value)}
        for name, value in values.items()
        if value is not None
    }


def decode(item: Mapping[str, Mapping[str, Any]]) -> dict[str, str | int]:
    """Plain values of an item. ValueError for a type that groupcast does not store."""
    return {name: _plain(name, value) for name, value in item.items()}


def message_of(item: Mapping[str, Mapping[str, Any]]) -> Message:
    """The message in an item or a stream record's image. ValueError if it is malformed."""
    names: tuple[str, ...] = ("messageId", "groupId", "createdAt")
    try:
        seq = int(item["seq"]["N"])
        void = _number(item, "void", 0) == 1
        if not void:
            names += ("sender", "message")
        texts = [item[name]["S"] for name in names]
        user_id = item["userId"]["S"] if "userId" in item else None
    except (KeyError, TypeError) as missing:
        raise ValueError(f"not a message: {missing}") from None
    if seq < 1 or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a message: an attribute has the wrong type")
    key, group_id, created_at, sender, text = (*texts, "", "")[:5]
    message_id = key if user_id is None else key.removeprefix(f"{user_id}:")
    message = Message(message_id, group_id, seq, sender, text, created_at, user_id, void)
    if message.key != key:
        raise ValueError("not a message: its key is another user's")
    return message


def stored_message_of(item: Mapping[str, Mapping[str, Any]]) -> StoredMessage:
    """The message with its fan-out attributes. ValueError if it is malformed."""
    audience = Audience(_number(item, "members", 0), _number(item, "lanes", 1))
    if audience.members < 0 or not 1 <= audience.lanes <= LANES_MAX:
        raise ValueError("not a message: members or lanes is out of bounds")
    return StoredMessage(message_of(item), audience, express="express" in item)


def _number(item: Mapping[str, Mapping[str, Any]], name: str, default: int) -> int:
    return int(item[name]["N"]) if name in item else default


def _plain(name: str, value: Mapping[str, Any]) -> str | int:
    match value:
        case {"S": str(text)}:
            return text
        case {"N": str(number)}:
            return int(number)
    raise ValueError(f"attribute {name} is neither a string nor a whole number")
