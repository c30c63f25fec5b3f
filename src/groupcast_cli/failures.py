"""`groupcast failures`: show FanoutFailures; when told, redrive what can be delivered or discard the rest."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from groupcast_cli.failures_kinds import Failure, Row, classify, summary
from groupcast_cli.failures_queue import Received, Waiting, failures_name, open_queue, retry_name
from groupcast_cli.stage import Place, StageError, add_place, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from groupcast_cli.failures_queue import FailuresQueue

LIMIT = 1000
# Their bodies are kept until the end.
LIMIT_MAX = 10_000
PROGRESS_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, and what became of it: gone from here, or still there, for `trouble` if any."""

    message: Received
    failure: Failure
    gone: bool = False
    trouble: str = ""

    @property
    def back(self) -> bool:
        """Whether it is in RetryQueue again."""
        return self.gone and self.failure.kind.redrivable

    @property
    def discarded(self) -> bool:
        return self.gone and not self.failure.kind.redrivable


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run saw; `waiting` is what SQS counted before."""

    stage: str
    region: str
    waiting: Waiting
    entries: Sequence[Entry]

    @property
    def rows(self) -> list[Row]:
        return summary((entry.message.sent_ms, entry.failure) for entry in self.entries)

    @property
    def back(self) -> int:
        return sum(entry.back for entry in self.entries)

    @property
    def discarded(self) -> int:
        return sum(entry.discarded for entry in self.entries)

    @property
    def troubles(self) -> list[str]:
        return [entry.trouble for entry in self.entries if entry.trouble]

    @property
    def unread(self) -> int:
        """About so many messages are there that the run did not see."""
        return max(0, self.waiting.visible - len(self.entries))


def add_parser(commands: Any) -> None:
    """Add `failures` to the subparsers of the `groupcast` command."""
    parser = commands.add_parser("failures", help="show, and redrive, what a stage could not deliver")
    parser.add_argument("--stage", required=True, help="that is deployed")
    add_place(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--redrive", action="store_true", help="put leftovers into RetryQueue, to be delivered")
    what.add_argument(
        "--discard",
        action="store_true",
        help="delete what redriving does not help; --json keeps a copy of it",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=LIMIT,
        help=f"messages to read, {LIMIT} unless given, {LIMIT_MAX} at most",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, which has the messages as well")
    parser.set_defaults(run=_run)


def look(
    queue: FailuresQueue, limit: int, expected: int, *, redrive: bool = False, discard: bool = False
) -> Iterator[list[Entry]]:
    """What lies in the queue, ten at most at a time; redriven or discarded as told."""
    for batch in queue.receive(limit, expected):
        entries = [Entry(message, classify(message.body, message.reason)) for message in batch]
        if redrive:
            entries = _put_back(queue, entries)
        elif discard:
            entries = _discard(queue, entries)
        yield entries


def as_json(findings: Findings) -> dict[str, Any]:
    """Everything, the bodies of the messages included; times are ISO 8601 in UTC."""
    return {
        "stage": findings.stage,
        "region": findings.region,
        "queue": failures_name(findings.stage),
        "waiting": findings.waiting.visible,
        "beingRead": findings.waiting.hidden,
        "read": len(findings.entries),
        "putBack": findings.back,
        "discarded": findings.discarded,
        "kinds": [
            {
                "kind": row.kind.key,
                "count": row.count,
                "oldest": _time(row.oldest_ms),
                "reason": row.reason,
                "redrivable": row.kind.redrivable,
                "advice": row.kind.advice,
            }
            for row in findings.rows
        ],
        "messages": [
            {
                "messageId": entry.message.message_id,
                "sentAt": _time(entry.message.sent_ms),
                "kind": entry.failure.kind.key,
                "reason": entry.failure.reason,
                "putBack": entry.back,
                "discarded": entry.discarded,
                "trouble": entry.trouble or None,
                "body": _body(entry.message.body),
            }
            for entry in findings.entries
        ],
    }


def as_text(findings: Findings, *, redrive: bool = False, discard: bool = False) -> str:
    """A table of the kinds, what can be done about those that stay, and what was not seen."""
    queue = f"{failures_name(findings.stage)}, stage {findings.stage} in {findings.region}"
    parts = [[f"Nothing to be read in {queue}."]]
    if rows := findings.rows:
        parts = [[f"Read in {queue}: {len(findings.entries)}"], _table(rows)]
        done_with = {True} if redrive else {False} if discard else set()
        stay = [row.kind for row in rows if row.kind.redrivable not in done_with]
        parts.append([f"{kind.title}: {kind.advice}" for kind in stay])
        parts.append(_outcome(findings, discard=discard) if redrive or discard else [])
    parts.append(_remarks(findings))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _run(options: argparse.Namespace) -> int:
    entries: list[Entry] = []
    waiting = Waiting(0, 0)
    try:
        with open_queue(options.stage, Place.of(options)) as queue:
            waiting = queue.waiting()
            expected = min(options.limit, waiting.visible)
            for found in look(
                queue, options.limit, expected, redrive=options.redrive, discard=options.discard
            ):
                entries += found
                _progress(len(entries), len(found), expected)
    except StageError as error:
        findings = Findings(options.stage, options.region, waiting, entries)
        if not (findings.back or findings.discarded):
            raise
        if options.json:
            # The only copy of those that were discarded.
            print(json.dumps(as_json(findings)))
        done = f"{findings.back} were put back" if findings.back else f"{findings.discarded} were discarded"
        raise StageError(f"{error}; {done} before") from None
    findings = Findings(options.stage, options.region, waiting, entries)
    if options.json:
        print(json.dumps(as_json(findings)))
    else:
        print(as_text(findings, redrive=options.redrive, discard=options.discard))
    return 1 if findings.troubles else 0


def _put_back(queue: FailuresQueue, entries: Sequence[Entry]) -> list[Entry]:
    owed = [(entry.message, entry.failure.redrive) for entry in entries if entry.failure.redrive is not None]
    trouble = queue.put_back(owed) if owed else {}
    return [_after(entry, trouble) if entry.failure.kind.redrivable else entry for entry in entries]


def _discard(queue: FailuresQueue, entries: Sequence[Entry]) -> list[Entry]:
    trouble = queue.discard([entry.message for entry in entries if not entry.failure.kind.redrivable])
    return [entry if entry.failure.kind.redrivable else _after(entry, trouble) for entry in entries]


def _after(entry: Entry, trouble: Mapping[str, str]) -> Entry:
    why = one_line(trouble.get(entry.message.message_id, ""))
    return replace(entry, gone=not why, trouble=why)


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [("KIND", "COUNT", "OLDEST", "FIRST REASON")]
    cells += [(row.kind.title, str(row.count), _time(row.oldest_ms), row.reason) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{title:<{widths[0]}}  {count:>{widths[1]}}  {oldest:<{widths[2]}}  {reason}"
        for title, count, oldest, reason in cells
    ]


def _outcome(findings: Findings, *, discard: bool) -> list[str]:
    stay = sum(entry.failure.kind.redrivable is discard for entry in findings.entries)
    if discard:
        lines = [f"Discarded: {findings.discarded}"]
        lines += [f"Staying, for --redrive: {stay}"] if stay else []
    else:
        lines = [f"Put back into {retry_name(findings.stage)}: {findings.back}"]
        lines += [f"Staying, since redriving helps none of them: {stay}; --discard ends them"] if stay else []
    if troubles := findings.troubles:
        lines.append(f"Staying, though it should not: {len(troubles)}, the first {troubles[0]}")
    return lines


def _remarks(findings: Findings) -> list[str]:
    remarks = []
    if findings.unread:
        remarks.append(f"Not read: about {findings.unread}; run it again, or with a higher --limit")
    if findings.waiting.hidden:
        remarks.append(f"Being read by somebody else: {findings.waiting.hidden}; run it again in a minute")
    return remarks


def _progress(read: int, new: int, expected: int) -> None:
    """Say on stderr how far it is, each time another PROGRESS_MESSAGES are over."""
    if read // PROGRESS_MESSAGES > (read - new) // PROGRESS_MESSAGES:
        print(f"groupcast: {read} of about {max(read, expected)} read", file=sys.stderr, flush=True)


def _time(epoch_ms: int) -> str:
    return dt.datetime.fromtimestamp(epoch_ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(body: str) -> Any:
    """As JSON where it is some, so that a reader need not unwrap it twice."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _limit(text: str) -> int:
    number = int(text)
    if not 1 <= number <= LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to {LIMIT_MAX}")
    return number
