"""Messages packed into frames, and the frames of a group. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from groupcast.model import epoch_ms_of
from groupcast.protocol import MAX_FRAME_BYTES, message_value
from groupcast.slots import ALL_SLOTS, SlotRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast.model import Message


@dataclass(frozen=True, slots=True)
class Frame:
    """A push of one or more messages, which `message_ids` name by their keys in the Messages table.

    `oldest_ms` is when the oldest was created (ms since 1970).
    """

    data: bytes
    message_ids: tuple[str, ...]
    oldest_ms: int

    @property
    def messages(self) -> int:
        return len(self.message_ids)


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """One group's messages of a batch, in order of `seq`.

    `item_identifiers` name them to Lambda if they must come again: the lowest sequence number among them in
    the stream, message ids in a queue. They are for `connection_ids`, or for the group's members in `slots`.
    `members` is how many the group had at its last pass, 0 where that is not known. `told_gone`: API Gateway
    has called these connections gone once; the next time they are removed.
    """

    group_id: str
    frames: tuple[Frame, ...]
    messages: int
    item_identifiers: tuple[str, ...]
    connection_ids: tuple[str, ...] | None = None
    slots: SlotRange = ALL_SLOTS
    members: int = 0
    told_gone: bool = False


def readable(message: Message) -> Message:
    """The message, if its date can be read and a frame can hold it. ValueError otherwise."""
    epoch_ms_of(message.created_at)
    if len(_head(message.group_id)) + len(_encoded(message)) + len(_TAIL) > MAX_FRAME_BYTES:
        raise ValueError("longer than a frame may be")
    return message


def pack(group_id: str, messages: Sequence[Message], frame_bytes: int) -> list[Frame]:
    """Frames of `messages`, in their order, each within `frame_bytes` unless it holds a single message."""
    head = _head(group_id)
    frames: list[Frame] = []
    parts: list[bytes] = []
    packed: list[Message] = []
    size = 0

    def flush() -> None:
        data = head + b",".join(parts) + _TAIL
        oldest_ms = min(epoch_ms_of(message.created_at) for message in packed)
        frames.append(Frame(data, tuple(message.key for message in packed), oldest_ms))

    for message in messages:
        part = _encoded(message)
        if parts and size + 1 + len(part) > frame_bytes:
            flush()
            parts, packed = [], []
        size = size + 1 + len(part) if parts else len(head) + len(part) + len(_TAIL)
        parts.append(part)
        packed.append(message)
    if parts:
        flush()
    return frames


_TAIL = b"]}"


def _head(group_id: str) -> bytes:
    return b'{"type":"messages","groupId":' + orjson.dumps(group_id) + b',"messages":['


def _encoded(message: Message) -> bytes:
    return orjson.dumps(message_value(message))
