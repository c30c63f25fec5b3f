"""The unfinished part of a pass, as messages for RetryQueue. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import orjson

from groupcast.fanout.queue import Outgoing
from groupcast.slots import SLOTS, SlotRange, lane_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
# The 429s in a row of each connection; empty where no connection was refused.
Refusals: TypeAlias = "Callable[[tuple[str, ...]], tuple[int, ...]]"

# A leftover of this size takes about 18 KB, and ten of them fit one SendMessageBatch of 256 KB.
CONNECTIONS_MAX = 500
MESSAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class Leftover:
    """Messages of a group, by their keys, that some members are still to get. `tries` counts hand-offs.

    The members are those of `slots` (a pass did not come to them), or else `connection_ids`; `refusals` are
    429s in a row of each of those, or empty where none was refused. `told_gone` is as in GroupBatch. The
    queue keeps it for `delay_s`, which is not part of its body.
    """

    group_id: str
    message_ids: tuple[str, ...]
    connection_ids: tuple[str, ...] = ()
    tries: int = 0
    slots: SlotRange | None = None
    refusals: tuple[int, ...] = ()
    told_gone: bool = False
    delay_s: int = 0

    @property
    def owed(self) -> int:
        """Messages times connections; 0 for a slot range, whose members are not known."""
        return len(self.message_ids) * len(self.connection_ids)


def split(
    group_id: str, message_ids: Sequence[str], connection_ids: Sequence[str], refusals_of: Refusals
) -> list[Leftover]:
    """Leftovers within MESSAGES_MAX and CONNECTIONS_MAX; the earlier messages first."""
    return [
        Leftover(group_id, messages, connections, refusals=refusals_of(connections))
        for messages, connections in product(
            _chunks(message_ids, MESSAGES_MAX), _chunks(connection_ids, CONNECTIONS_MAX)
        )
    ]


def split_range(group_id: str, message_ids: Sequence[str], slots: SlotRange) -> list[Leftover]:
    """Leftovers of all members in `slots`; the earlier messages first."""
    return [Leftover(group_id, messages, slots=slots) for messages in _chunks(message_ids, MESSAGES_MAX)]


def outgoing(leftover: Leftover, delay_s: int = 0) -> Outgoing:
    """The leftover as a message of RetryQueue, which serves groups fairly; after the longer delay."""
    return Outgoing(to_body(leftover), max(delay_s, leftover.delay_s), group_id=lane_id(leftover.group_id, 0))


def to_body(leftover: Leftover) -> str:
    """JSON in ASCII, since SQS does not take every character that a group's name may have."""
    slots = leftover.slots
    whom: dict[str, object] = (
        {"connectionIds": leftover.connection_ids} if slots is None else {"slots": [slots.first, slots.last]}
    )
    if leftover.refusals:
        whom["refusals"] = leftover.refusals
    if leftover.told_gone:
        whom["toldGone"] = True
    return json.dumps(
        {
            "groupId": leftover.group_id,
            "messageIds": leftover.message_ids,
            **whom,
            "tries": leftover.tries,
        },
        separators=(",", ":"),
    )


def from_body(body: str) -> Leftover:
    """The leftover of a message's body. ValueError names the fault."""
    match orjson.loads(body):
        # Not int(…) in a pattern: true and false are ints to it.
        case {"groupId": str(group_id), "messageIds": [*ids], "tries": tries, **whom} if (
            type(tries) is int and tries >= 0
        ):
            message_ids = _texts(ids)
            match whom:
                case {"connectionIds": [*connection_ids]}:
                    texts = _texts(connection_ids)
                    refusals = _refusals(whom.get("refusals", []), connection_ids)
                    told_gone = whom.get("toldGone") is True
                    return Leftover(
                        group_id, message_ids, texts, tries, refusals=refusals, told_gone=told_gone
                    )
                case {"slots": [first, last]} if (
                    type(first) is type(last) is int and 0 <= first <= last < SLOTS
                ):
                    return Leftover(group_id, message_ids, (), tries, SlotRange(first, last))
    raise ValueError("not a leftover")


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    """The values once each."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        raise ValueError("not a leftover: an id is not a string")
    return tuple(dict.fromkeys(texts))


def _refusals(counts: object, connection_ids: Sequence[object]) -> tuple[int, ...]:
    """The count of each connection."""
    if isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts):
        if not counts:
            return ()
        if len(counts) == len(connection_ids):
            return tuple(dict(zip(connection_ids, counts, strict=True)).values())
    raise ValueError("not a leftover: malformed refusals")


def _chunks(values: Sequence[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(values[start : start + size]) for start in range(0, len(values), size)]
