"""The kinds of messages in FanoutFailures, and what can be done about each. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from groupcast.fanout import leftover

if TYPE_CHECKING:
    from collections.abc import Iterable

    from groupcast.fanout.queue import Outgoing

REASON_CHARS_MAX = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """A key for programs, a title for people, and advice for these."""

    key: str
    title: str
    advice: str
    redrivable: bool = False


LEFTOVER = Kind(
    "leftover",
    "leftover",
    "it was tried to the end; once the cause is gone, --redrive has it tried again",
    redrivable=True,
)
STREAM_BATCH = Kind(
    "streamBatch",
    "batch of the stream",
    "its messages are stored, and members who see a gap in seq ask history; nothing to redrive",
)
MALFORMED = Kind(
    "malformed",
    "malformed message",
    "not written by groupcast, from the stream, DeliveryQueue or RetryQueue; --json shows it",
)
OTHER = Kind("other", "something else", "groupcast did not put it there; --json shows it")
KINDS = (LEFTOVER, STREAM_BATCH, MALFORMED, OTHER)


@dataclass(frozen=True, slots=True)
class Failure:
    """A message of the queue as it was understood.

    `redrive` is the message for RetryQueue that has it tried as if it were new; None where its kind can't be.
    """

    kind: Kind
    reason: str
    redrive: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """All failures of a kind: since when (ms since 1970), and the reason of the oldest."""

    kind: Kind
    count: int
    oldest_ms: int
    reason: str


def classify(body: str, reason: str) -> Failure:
    """The kind of a message by its body and its attribute `reason`, empty where it has none. Never raises."""
    try:
        owed = leftover.from_body(body)
    except ValueError:
        return _no_leftover(body, reason)
    redrive = leftover.outgoing(replace(owed, tries=0))
    # Without a reason it was SQS that moved it: fanoutRetry never came to its end.
    return Failure(LEFTOVER, _shown(reason) or f"moved here by SQS after {owed.tries} tries", redrive)


def summary(failures: Iterable[tuple[int, Failure]]) -> list[Row]:
    """A row for each kind that is there, in the order of KINDS. With each failure goes when it was sent."""
    by_kind: dict[Kind, list[tuple[int, Failure]]] = {}
    for sent_ms, failure in failures:
        by_kind.setdefault(failure.kind, []).append((sent_ms, failure))
    rows = []
    for kind in KINDS:
        if found := by_kind.get(kind):
            oldest_ms, oldest = min(found, key=lambda one: one[0])
            rows.append(Row(kind, len(found), oldest_ms, oldest.reason))
    return rows


def _no_leftover(body: str, reason: str) -> Failure:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Failure(MALFORMED, _shown(reason)) if reason else Failure(OTHER, _shown(f"not JSON: {error}"))
    match content:
        # As Lambda tells the destination of a stream's failures.
        case {
            "DDBStreamBatchInfo": {"batchSize": int(size)},
            "requestContext": {"condition": str(condition)},
        }:
            return Failure(STREAM_BATCH, _shown(f"{condition}: {size} records"))
    if reason:
        return Failure(MALFORMED, _shown(reason))
    return Failure(OTHER, "not of a shape that groupcast gives it")


def _shown(reason: str) -> str:
    """On one line, and without what would steer a terminal: anyone's text may be quoted in it."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(reason.split()))
    return line if len(line) <= REASON_CHARS_MAX else f"{line[: REASON_CHARS_MAX - 1]}…"
