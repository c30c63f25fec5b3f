"""The kinds of messages in FanoutFailures, and the advice for each. Pure."""

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
    "all tries failed; once the cause is gone, --redrive retries it",
    redrivable=True,
)
STREAM_BATCH = Kind(
    "streamBatch",
    "batch of the stream",
    "its messages are stored, and members who see a gap in seq read them from history; nothing to redrive",
)
MALFORMED = Kind(
    "malformed",
    "malformed message",
    "it came through the stream, DeliveryQueue or RetryQueue, but not from groupcast; --json shows it",
)
OTHER = Kind("other", "something else", "it does not come from groupcast; --json shows it")
KINDS = (LEFTOVER, STREAM_BATCH, MALFORMED, OTHER)


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified message of the queue.

    `redrive` is the message for RetryQueue that retries it as a new one; None if its kind cannot be redriven.
    """

    kind: Kind
    reason: str
    redrive: Outgoing | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """All failures of a kind, with time (ms since 1970) and reason of the oldest."""

    kind: Kind
    count: int
    oldest_ms: int
    reason: str


def classify(body: str, reason: str) -> Failure:
    """Classify a message by its body and its attribute `reason`, which may be empty. Never raises."""
    try:
        owed = leftover.from_body(body)
    except ValueError:
        return _no_leftover(body, reason)
    redrive = leftover.outgoing(replace(owed, tries=0))
    # SQS moved a message without a reason: fanoutRetry did not finish it.
    return Failure(LEFTOVER, _shown(reason) or f"moved here by SQS after {owed.tries} tries", redrive)


def summary(failures: Iterable[tuple[int, Failure]]) -> list[Row]:
    """A row for each kind that occurs, in the order of KINDS. Each failure comes with its time."""
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
        # The record that Lambda sends to a stream's destination for failures.
        case {
            "DDBStreamBatchInfo": {"batchSize": int(size)},
            "requestContext": {"condition": str(condition)},
        }:
            return Failure(STREAM_BATCH, _shown(f"{condition}: {size} records"))
    if reason:
        return Failure(MALFORMED, _shown(reason))
    return Failure(OTHER, "not of a shape that groupcast writes")


def _shown(reason: str) -> str:
    """One line without control characters: the reason may quote anyone's text."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(reason.split()))
    return line if len(line) <= REASON_CHARS_MAX else f"{line[: REASON_CHARS_MAX - 1]}…"
