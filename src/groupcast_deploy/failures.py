"""`groupcast failures`: shows what lies in FanoutFailures, and puts leftovers back into FanoutQueue."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from groupcast_deploy.failures_kinds import Failure, Row, classify, fresh_body, summary
from groupcast_deploy.failures_queue import Received, Waiting, failures_name, fanout_name, open_queue
from groupcast_deploy.stage import StageError, add_region, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from groupcast_deploy.failures_queue import FailuresQueue

LIMIT = 1000
# Their bodies are kept until the end.
LIMIT_MAX = 10_000
PROGRESS_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, and what became of it: `back` in FanoutQueue, or still here, for `trouble` if any."""

    message: Received
    failure: Failure
    back: bool = False
    trouble: str = ""


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
    add_region(parser)
    parser.add_argument(
        "--redrive", action="store_true", help="put leftovers back, so that fanoutSegment tries them anew"
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=LIMIT,
        help=f"messages to read, {LIMIT} unless given, {LIMIT_MAX} at most",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, which has the messages as well")
    parser.set_defaults(run=_run)


def look(queue: FailuresQueue, limit: int, expected: int, *, redrive: bool) -> Iterator[list[Entry]]:
    """What lies in the queue, ten at most at a time; leftovers are put back where `redrive` says so."""
    for batch in queue.receive(limit, expected):
        read = [(message, classify(message.body)) for message in batch]
        trouble = _put_back(queue, read) if redrive else None
        yield [_entry(message, failure, trouble) for message, failure in read]


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
                "trouble": entry.trouble or None,
                "body": _body(entry.message.body),
            }
            for entry in findings.entries
        ],
    }


def as_text(findings: Findings, *, redrive: bool) -> str:
    """A table of the kinds, what can be done about each, and what was not seen."""
    where = f"stage {findings.stage} in {findings.region}"
    if findings.entries:
        lines = [f"Read {len(findings.entries)} in {failures_name(findings.stage)}, {where}:", ""]
        lines += [*_table(findings.rows), "", *_advice(findings.rows)]
    else:
        lines = [f"Nothing to be read in {failures_name(findings.stage)}, {where}."]
    if redrive and findings.entries:
        lines += ["", *_outcome(findings)]
    remarks = _remarks(findings)
    return "\n".join([*lines, *([""] if remarks else []), *remarks])


def _run(options: argparse.Namespace) -> int:
    entries: list[Entry] = []
    try:
        with open_queue(options.stage, options.region) as queue:
            waiting = queue.waiting()
            expected = min(options.limit, waiting.visible)
            for found in look(queue, options.limit, expected, redrive=options.redrive):
                entries += found
                _progress(len(entries), len(found), expected)
    except StageError as error:
        back = sum(entry.back for entry in entries)
        if not back:
            raise
        raise StageError(f"{error}; {back} were put back before") from None
    findings = Findings(options.stage, options.region, waiting, entries)
    print(json.dumps(as_json(findings)) if options.json else as_text(findings, redrive=options.redrive))
    return 1 if findings.troubles else 0


def _put_back(queue: FailuresQueue, read: Sequence[tuple[Received, Failure]]) -> dict[str, str]:
    owed = [
        (message, fresh_body(failure.leftover)) for message, failure in read if failure.leftover is not None
    ]
    return queue.put_back(owed) if owed else {}


def _entry(message: Received, failure: Failure, trouble: dict[str, str] | None) -> Entry:
    if trouble is None or failure.leftover is None:
        return Entry(message, failure)
    why = one_line(trouble.get(message.message_id, ""))
    return Entry(message, failure, back=not why, trouble=why)


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [("KIND", "COUNT", "OLDEST", "FIRST REASON")]
    cells += [(row.kind.title, str(row.count), _time(row.oldest_ms), row.reason) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{title:<{widths[0]}}  {count:>{widths[1]}}  {oldest:<{widths[2]}}  {reason}"
        for title, count, oldest, reason in cells
    ]


def _advice(rows: Sequence[Row]) -> list[str]:
    return [f"{row.kind.title}: {row.kind.advice}." for row in rows]


def _outcome(findings: Findings) -> list[str]:
    stay = sum(not entry.failure.kind.redrivable for entry in findings.entries)
    lines = [f"{findings.back} went back into {fanout_name(findings.stage)}."]
    if stay:
        lines.append(f"{stay} stay, since no redriving helps them; the queue keeps a message for 14 days.")
    if troubles := findings.troubles:
        lines.append(f"{len(troubles)} should have gone and are still here, the first {troubles[0]}.")
    return lines


def _remarks(findings: Findings) -> list[str]:
    remarks = []
    if findings.unread:
        remarks.append(f"About {findings.unread} more wait: run it again, or with a higher --limit.")
    if findings.waiting.hidden:
        remarks.append(
            f"{findings.waiting.hidden} were being read by somebody else: run it again in a minute."
        )
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
