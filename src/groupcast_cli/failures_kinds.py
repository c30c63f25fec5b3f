"""What lies in FanoutFailures, told by the body of a message, and what can be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.fanout import leftover, offers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from groupcast.fanout.leftover import Leftover
    from groupcast.fanout.queue import Outgoing

MAX_REASON_CHARS = 100
# How failure_message of the fan-out begins the content that it had to cut.
RECORD_BEGINNING = '{"record"'
BODY_BEGINNING = '{"body"'
# Part of the fan-out's reason for what it gave up; any other reason says what is malformed.
GIVEN_UP_REASON = "not delivered in "


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
    "fanoutRetry tried it to the end; once the cause is gone, --redrive has it tried again",
    redrivable=True,
)
MOVED = Kind(
    "moved",
    "leftover moved here",
    "fanoutRetry failed with it and SQS moved it; once the cause is gone, --redrive has it tried again",
    redrivable=True,
)
OFFER = Kind(
    "offerGivenUp",
    "offer given up",
    "fanoutMessage failed with it; once the cause is gone, --redrive has fanoutRetry deliver it",
    redrivable=True,
)
CUT_OFFER = Kind(
    "offerCut",
    "offer given up, and cut",
    "it was too long to be kept; its messages are stored, and members who see a gap in seq ask history",
)
STREAM_BATCH = Kind(
    "streamBatch",
    "batch of the stream",
    "its messages are stored, and members who see a gap in seq ask history; nothing to redrive",
)
RECORD = Kind(
    "malformedRecord", "malformed record", "not a message of groupcast, from the stream; --json shows it"
)
MALFORMED = Kind(
    "malformedMessage",
    "malformed queue message",
    "neither offer nor leftover, from DeliveryQueue or RetryQueue; --json shows it",
)
OTHER = Kind("other", "something else", "groupcast did not put it there; --json shows it")
KINDS = (GIVEN_UP, MOVED, OFFER, CUT_OFFER, STREAM_BATCH, RECORD, MALFORMED, OTHER)


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
    """All failures of a kind: since when (ms since 1970), and why the oldest of them."""

    kind: Kind
    count: int
    oldest_ms: int
    reason: str


def classify(body: str) -> Failure:
    """What a message of FanoutFailures is; never raises."""
    moved = _leftover(body)
    if moved is not None:
        return Failure(MOVED, f"not finished by fanoutRetry, tries before: {moved.tries}", _again(moved))
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Failure(OTHER, _shown(f"no JSON: {error}"))
    return _from_json(content)


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
        case {"reason": str(reason), "beginning": str(beginning)}:
            return Failure(_cut_kind(reason, beginning), _shown(reason))
        case {"reason": str(reason), "body": str(body)}:
            return _from_body(reason, body)
        case {"reason": str(reason)}:
            return Failure(OTHER, _shown(reason))
    return Failure(OTHER, "not of a shape that groupcast gives it")


def _cut_kind(reason: str, beginning: str) -> Kind:
    if beginning.startswith(RECORD_BEGINNING):
        return RECORD
    if beginning.startswith(BODY_BEGINNING):
        return CUT_OFFER if GIVEN_UP_REASON in reason else MALFORMED
    return OTHER


def _from_body(reason: str, body: str) -> Failure:
    """Of a queue message that the fan-out put there: a leftover, an offer, or neither."""
    if (given_up := _leftover(body)) is not None:
        return Failure(GIVEN_UP, _shown(reason), _again(given_up))
    if GIVEN_UP_REASON in reason and (redrive := _range_of_offer(body)) is not None:
        return Failure(OFFER, _shown(reason), redrive)
    return Failure(MALFORMED, _shown(reason))


def _again(given_up: Leftover) -> Outgoing:
    return leftover.outgoing(replace(given_up, tries=0))


def _range_of_offer(body: str) -> Outgoing | None:
    """The leftover that an offer becomes: its messages for its range of slots. None where it is no offer.

    It goes to RetryQueue, since back in its lane it would come after later messages, and hold them up again.
    """
    try:
        offer = offers.from_body(body)
    except ValueError:
        return None
    # All of an offer's messages fit one.
    (owed,) = leftover.split_range(offer.group_id, [message.key for message in offer.messages], offer.slots)
    return leftover.outgoing(owed)


def _leftover(body: str) -> Leftover | None:
    try:
        return leftover.from_body(body)
    except ValueError:
        return None


def _shown(reason: str) -> str:
    """On one line, and without what would steer a terminal: anyone's text may be quoted in it."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(reason.split()))
    return line if len(line) <= MAX_REASON_CHARS else f"{line[: MAX_REASON_CHARS - 1]}…"
