"""From stream records to frames: grouped, ordered, packed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.model import epoch_ms_of
from groupcast.protocol import MAX_FRAME_BYTES, message_value
from groupcast.slots import ALL_SLOTS, SlotRange
from groupcast.tables.items import StoredMessage, stored_message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class Malformed:
    """A malformed record and the reason."""

    record: Mapping[str, Any]
    reason: str

    @property
    def sequence_number(self) -> str:
        return sequence_number(self.record)


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A message as the stream has it, with the record's sequence number."""

    stored: StoredMessage
    sequence_number: str

    @property
    def message(self) -> Message:
        return self.stored.message


def read_stream(
    records: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, list[StreamRecord]], list[Malformed]]:
    """A batch of a DynamoDB stream: each group's messages by `seq`, and the malformed records.

    Only inserts count; a record that came twice is taken once.
    """
    groups: dict[str, dict[int, StreamRecord]] = {}
    malformed = []
    for record in records:
        if record.get("eventName") != "INSERT":
            continue
        try:
            stored = stored_message_of(record["dynamodb"]["NewImage"])
            message = readable(stored.message)
        except (ValueError, KeyError, TypeError) as error:
            malformed.append(Malformed(record, f"{type(error).__name__}: {error}"))
            continue
        groups.setdefault(message.group_id, {})[message.seq] = StreamRecord(stored, sequence_number(record))
    in_order = {group_id: [by_seq[seq] for seq in sorted(by_seq)] for group_id, by_seq in groups.items()}
    return in_order, malformed


def stream_batch(group_id: str, records: Sequence[StreamRecord], frame_bytes: int) -> GroupBatch:
    """A group's records of the stream as what the engine delivers; there is at least one."""
    first = lowest(record.sequence_number for record in records)
    assert first is not None
    messages = [record.message for record in records]
    frames = tuple(pack(group_id, messages, frame_bytes))
    return GroupBatch(group_id, frames, len(messages), (first,), members=records[-1].stored.audience.members)


def sequence_number(record: Mapping[str, Any]) -> str:
    """The stream's number of a record; DynamoDB gives every record one."""
    return str(record["dynamodb"]["SequenceNumber"])


def lowest(sequence_numbers: Iterable[str]) -> str | None:
    """The earliest in the stream: they are decimal numbers of any length."""
    return min(sequence_numbers, key=int, default=None)


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
