"""What an invocation did not get done, as a message for the queue. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

# A leftover of this size takes about 15 KB, and ten of them fit one SendMessageBatch of 256 KB.
CONNECTIONS_MAX = 500
MESSAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class Leftover:
    """Messages of a group that these connections are still to get. `tries` counts earlier hand-offs."""

    group_id: str
    message_ids: tuple[str, ...]
    connection_ids: tuple[str, ...]
    tries: int = 0

    @property
    def owed(self) -> int:
        """Messages times connections."""
        return len(self.message_ids) * len(self.connection_ids)


def split(group_id: str, message_ids: Sequence[str], connection_ids: Sequence[str]) -> list[Leftover]:
    """Leftovers within MESSAGES_MAX and CONNECTIONS_MAX; the earlier messages first."""
    return [
        Leftover(group_id, messages, connections)
        for messages, connections in product(
            _chunks(message_ids, MESSAGES_MAX), _chunks(connection_ids, CONNECTIONS_MAX)
        )
    ]


def to_body(leftover: Leftover) -> str:
    """JSON in ASCII, since SQS does not take every character that a group's name may have."""
    return json.dumps(
        {
            "groupId": leftover.group_id,
            "messageIds": leftover.message_ids,
            "connectionIds": leftover.connection_ids,
            "tries": leftover.tries,
        },
        separators=(",", ":"),
    )


def from_body(body: str) -> Leftover:
    """The leftover of a message's body. ValueError says what is wrong with it."""
    match orjson.loads(body):
        case {
            "groupId": str(group_id),
            "messageIds": [*message_ids],
            "connectionIds": [*connection_ids],
            "tries": int(tries),
        } if tries >= 0 and all(isinstance(one, str) for one in (*message_ids, *connection_ids)):
            # Once each, whoever wrote it.
            return Leftover(
                group_id, tuple(dict.fromkeys(message_ids)), tuple(dict.fromkeys(connection_ids)), tries
            )
    raise ValueError("not a leftover")


def _chunks(values: Sequence[T], size: int) -> list[tuple[T, ...]]:
    return [tuple(values[start : start + size]) for start in range(0, len(values), size)]
