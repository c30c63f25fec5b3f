"""From stream records to frames: grouped, ordered, packed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.model import epoch_ms_of
from groupcast.protocol import MAX_FRAME_BYTES, message_value
from groupcast.tables.items import message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from groupcast.model import Message


@dataclass(frozen=True, slots=True)
class Frame:
    """A push of one or more messages; `oldest_ms` is when its oldest was created (ms since 1970)."""

    data: bytes
    message_ids: tuple[str, ...]
    oldest_ms: int

    @property
    def messages(self) -> int:
        return len(self.message_ids)


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """One group's messages of a batch, in order of `seq`.

    `item_identifier` is what Lambda would be told to have them again: in the stream the lowest sequence
    number among them, in a queue the message's id. `connection_ids` None stands for everyone in the group.
    """

    group_id: str
    frames: tuple[Frame, ...]
    messages: int
    item_identifier: str
    connection_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that is no message, and why."""

    record: Mapping[str, Any]
    reason: str

    @property
    def sequence_number(self) -> str:
        return sequence_number(self.record)


def read_batch(
    records: Iterable[Mapping[str, Any]], frame_bytes: int
) -> tuple[list[GroupBatch], list[Malformed]]:
    """Group a batch of a DynamoDB stream. Only inserts count; a record that came twice is taken once.

    `frame_bytes` is what a frame of several messages stays within; 0 gives each message its own.
    """
    groups: dict[str, dict[int, tuple[Message, str]]] = {}
    malformed = []
    for record in records:
        if record.get("eventName") != "INSERT":
            continue
        try:
            message = _readable(record["dynamodb"]["NewImage"])
        except (ValueError, KeyError, TypeError) as error:
            malformed.append(Malformed(record, f"{type(error).__name__}: {error}"))
            continue
        groups.setdefault(message.group_id, {})[message.seq] = (message, sequence_number(record))
    return [_group_batch(group_id, by_seq, frame_bytes) for group_id, by_seq in groups.items()], malformed


def sequence_number(record: Mapping[str, Any]) -> str:
    """The stream's number of a record; DynamoDB gives every record one."""
    return str(record["dynamodb"]["SequenceNumber"])


def lowest(sequence_numbers: Iterable[str]) -> str | None:
    """The earliest in the stream: they are decimal numbers of any length."""
    return min(sequence_numbers, key=int, default=None)


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
        frames.append(Frame(data, tuple(message.message_id for message in packed), oldest_ms))

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


def _readable(image: Mapping[str, Any]) -> Message:
    message = message_of(image)
    # Here, so that a date nobody can read is found with the rest.
    epoch_ms_of(message.created_at)
    if len(_head(message.group_id)) + len(_encoded(message)) + len(_TAIL) > MAX_FRAME_BYTES:
        raise ValueError("longer than a frame may be")
    return message


def _group_batch(group_id: str, by_seq: Mapping[int, tuple[Message, str]], frame_bytes: int) -> GroupBatch:
    messages = [by_seq[seq][0] for seq in sorted(by_seq)]
    first = lowest(number for _, number in by_seq.values())
    assert first is not None
    return GroupBatch(group_id, tuple(pack(group_id, messages, frame_bytes)), len(messages), first)
