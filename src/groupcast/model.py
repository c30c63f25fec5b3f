"""Values shared by all parts of groupcast."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `created_at` is ISO 8601 in UTC with milliseconds; guests have no `user_id`.

    A `void` message has no sender or text: it marks a number that will never have a message.
    """

    message_id: str
    group_id: str
    seq: int
    sender: str
    text: str
    created_at: str
    user_id: str | None = None
    void: bool = False

    @property
    def key(self) -> str:
        """Its key in the Messages table."""
        return message_key(self.user_id, self.message_id)


@dataclass(frozen=True, slots=True)
class Member:
    """A connection and its user; `group_ids` are in the order of joining.

    `user_id`, `groups` (of the user pool) and `authorized_until_s` come from its token; guests have none.
    `expires_at_s` is when TTL deletes its items. Both times are seconds since 1970.
    """

    connection_id: str
    sender: str
    group_ids: tuple[str, ...] = ()
    user_id: str | None = None
    groups: tuple[str, ...] = ()
    authorized_until_s: int | None = None
    expires_at_s: int = 0

    @property
    def last_joined(self) -> str | None:
        """The group that a frame without `groupId` means; None for a connection in no group."""
        return self.group_ids[-1] if self.group_ids else None


@dataclass(frozen=True, slots=True)
class Caller:
    """The connection and user that sent a frame, as API Gateway reports them; guests have no `user_id`."""

    connection_id: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Audience:
    """A group's members, counted at its last delivery (0 if unknown), and the number of its lanes."""

    members: int = 0
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Head:
    """The last number a group has given out, and when (milliseconds since 1970).

    `large_seq` is the seq of its last large message (`ratelimit.is_large`), 0 if there is none.
    """

    last_seq: int
    moved_at_ms: int
    large_seq: int = 0


EMPTY_HEAD = Head(0, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """A group's head, and the last message that the user has marked as read; None for a guest."""

    head: Head
    read_seq: int | None = None


def void_message(message_id: str, group_id: str, seq: int, created_at: str) -> Message:
    """The placeholder for a number that will never have a message."""
    return Message(message_id, group_id, seq, "", "", created_at, void=True)


def message_key(user_id: str | None, message_id: str) -> str:
    """A message's key in its table. It includes the user, so that users cannot take each other's ids."""
    return message_id if user_id is None else f"{user_id}:{message_id}"


def iso_ms(epoch_ms: int) -> str:
    """`2026-11-22T17:20:00.123Z` from milliseconds since 1970."""
    seconds, ms = divmod(epoch_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def epoch_ms_of(iso: str) -> int:
    """Milliseconds since 1970 from `iso_ms`'s format. ValueError for any other format."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def uuid7(epoch_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) from a time and 10 random bytes; sorts by time."""
    raw = bytearray(epoch_ms.to_bytes(6, "big") + random)
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(UUID(bytes=bytes(raw)))
