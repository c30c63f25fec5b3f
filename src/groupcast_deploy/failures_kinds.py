"""What lies in FanoutFailures, told by the body of a message, and what can be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.fanout.leftover import Leftover, from_body, to_body

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_REASON_CHARS = 100
# How failure_message of the fan-out begins the content that it had to cut.
RECORD_BEGINNING = '{"record"'


@dataclass(frozen=True, slots=True)
class Kind:
    """Of failures: a key for programs, a title for people, and what these can do."""

    key: str
    title: str
    advice: str
    redrivable: bool = False


GIVEN_UP = Kind(
    "givenUp",
    "leftover given up",
    "fanoutRetry tried it to the end; when the cause is gone, --redrive has it tried anew",
    redrivable=True,
)
MOVED = Kind(
    "moved",
    "leftover moved here",
    "fanoutRetry failed with it and SQS moved it; when the cause is gone, --redrive has it tried anew",
    redrivable=True,
)
STREAM_BATCH = Kind(
    "streamBatch",
    "batch of the stream",
    "its messages are stored, and members who see a gap in seq ask history; nothing to redrive",
)
RECORD = Kind(
    "malformedRecord", "malformed record", "the stream had what is no message of groupcast; --json shows it"
)
OTHER = Kind("other", "something else", "groupcast knows nothing that could be delivered; --json shows it")
KINDS = (GIVEN_UP, MOVED, STREAM_BATCH, RECORD, OTHER)


@dataclass(frozen=True, slots=True)
class Failure:
    """A message of the queue as it was understood; `leftover` is there where the kind can be redriven."""

    kind: Kind
    reason: str
    leftover: Leftover | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """All failures of a kind: since when (ms since 1970), and why the oldest of them."""

    kind: Kind
    count: int
    oldest_ms: int
    reason: str


def classify(body: str) -> Failure:
    """What a message of FanoutFailures is; never raises."""
    leftover = _leftover(body)
    if leftover is not None:
        return Failure(MOVED, f"not finished by fanoutRetry, tries before: {leftover.tries}", leftover)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Failure(OTHER, _shown(f"no JSON: {error}"))
    return _from_json(content)


def fresh_body(leftover: Leftover) -> str:
    """The message that has a leftover tried as if it were new."""
    return to_body(replace(leftover, tries=0))


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


def _from_json(content: Any) -> Failure:
    match content:
        case {
            "DDBStreamBatchInfo": {"batchSize": int(size)},
            "requestContext": {"condition": str(condition)},
        }:
            return Failure(STREAM_BATCH, _shown(f"{condition}: {size} records"))
        case {"reason": str(reason), "record": dict()}:
            return Failure(RECORD, _shown(reason))
        case {"reason": str(reason), "beginning": str(beginning)} if beginning.startswith(RECORD_BEGINNING):
            return Failure(RECORD, _shown(reason))
        case {"reason": str(reason), "body": str(body)} if (leftover := _leftover(body)) is not None:
            return Failure(GIVEN_UP, _shown(reason), leftover)
        case {"reason": str(reason)}:
            return Failure(OTHER, _shown(reason))
    return Failure(OTHER, "not of a shape that groupcast gives it")


def _leftover(body: str) -> Leftover | None:
    try:
        return from_body(body)
    except ValueError:
        return None


def _shown(reason: str) -> str:
    """On one line, and without what would steer a terminal: anyone's text may be quoted in it."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(reason.split()))
    return line if len(line) <= MAX_REASON_CHARS else f"{line[: MAX_REASON_CHARS - 1]}…"
