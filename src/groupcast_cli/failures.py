"""`groupcast failures`: shows FanoutFailures; on request redrives leftovers or discards the rest."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from groupcast_cli.failures_kinds import Failure, Row, classify, summary
from groupcast_cli.failures_queue import Received, Waiting, failures_name, open_queue, retry_name
from groupcast_cli.stage import Place, StageError, add_place, add_stage, one_line
from groupcast_cli.terminal import show, table, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from groupcast_cli.failures_queue import FailuresQueue
    from groupcast_cli.terminal import Steps

LIMIT = 1000
# Their bodies are kept until the end.
LIMIT_MAX = 10_000
PROGRESS_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, and whether it is gone from the queue; `trouble` is the reason if it should be gone."""

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
    """The messages that a run read; `waiting` is what SQS counted before."""

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
        """About how many messages the run did not read."""
        return max(0, self.waiting.visible - len(self.entries))


def add_parser(commands: Any) -> None:
    """Add `failures` to the subparsers of the `groupcast` command."""
    parser = commands.add_parser(
        "failures",
        help="show, redrive or discard failed deliveries of a stage",
        description="Show the messages in FanoutFailures by kind. Reading changes nothing.",
    )
    add_stage(parser)
    add_place(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--redrive", action="store_true", help="move leftovers to RetryQueue, which delivers them"
    )
    action.add_argument(
        "--discard",
        action="store_true",
        help="delete messages that cannot be redriven; --json prints a copy of them",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=LIMIT,
        help=f"read at most so many messages, up to {LIMIT_MAX} (default: {LIMIT})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, messages included")
    parser.set_defaults(run=_run)


def look(
    queue: FailuresQueue, limit: int, expected: int, *, redrive: bool = False, discard: bool = False
) -> Iterator[list[Entry]]:
    """Yield the messages of the queue, at most ten at a time, redriven or discarded on request."""
    for batch in queue.receive(limit, expected):
        entries = [Entry(message, classify(message.body, message.reason)) for message in batch]
        if redrive:
            entries = _put_back(queue, entries)
        elif discard:
            entries = _discard(queue, entries)
        yield entries


def as_json(findings: Findings) -> dict[str, Any]:
    """All findings with the bodies of the messages; times are ISO 8601 in UTC."""
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


def _run(options: argparse.Namespace) -> int:
    entries: list[Entry] = []
    counted = Waiting(0, 0)
    changes = options.redrive or options.discard
    try:
        with (
            open_queue(options.stage, Place.of(options)) as queue,
            _between_batches(changes=changes) as check,
        ):
            counted = queue.waiting()
            expected = min(options.limit, counted.visible)
            with waiting("reading", expected) as progress:
                for found in look(
                    queue, options.limit, expected, redrive=options.redrive, discard=options.discard
                ):
                    entries += found
                    _tell(progress, len(entries), len(found), expected)
                    check()
    except (StageError, KeyboardInterrupt) as error:
        findings = Findings(options.stage, options.region, counted, entries)
        if not (findings.back or findings.discarded):
            raise
        if options.json:
            # The only copy of discarded messages.
            print(json.dumps(as_json(findings)))
        done = f"{findings.back} were put back" if findings.back else f"{findings.discarded} were discarded"
        raise type(error)(f"{str(error) or 'interrupted'}; {done} before") from None
    findings = Findings(options.stage, options.region, counted, entries)
    if options.json:
        print(json.dumps(as_json(findings)))
    else:
        _show(findings, redrive=options.redrive, discard=options.discard)
    return 1 if findings.troubles else 0


@contextmanager
def _between_batches(*, changes: bool) -> Iterator[Callable[[], None]]:
    """Delay Ctrl-C until the yielded function is called, if the run changes messages; a second one counts.

    In the middle of a batch it would lose the only copy of discarded messages.
    """
    interrupted = False
    before = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, before)

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    if changes:
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(progress: Steps, read: int, new: int, expected: int) -> None:
    """Move the bar, or print a line on stderr for every PROGRESS_MESSAGES messages."""
    text = f"{read} of about {max(read, expected)} read"
    progress.advance(read, text, of=max(read, expected))
    if not progress.is_live and read // PROGRESS_MESSAGES > (read - new) // PROGRESS_MESSAGES:
        print(f"groupcast: {text}", file=sys.stderr, flush=True)


def _show(findings: Findings, *, redrive: bool, discard: bool) -> None:
    """A table of the kinds, advice for those that stay, the outcome, and the number of unread messages."""
    queue = f"{failures_name(findings.stage)}, stage {findings.stage} in {findings.region}"
    rows = findings.rows
    parts: list[Sequence[RenderableType]] = [
        [f"Read in {queue}: {len(findings.entries)}" if rows else f"Nothing to be read in {queue}."]
    ]
    if rows:
        done_with = {True} if redrive else {False} if discard else set()
        stay = [row.kind for row in rows if row.kind.redrivable not in done_with]
        cells = [(row.kind.title, str(row.count), _time(row.oldest_ms), row.reason) for row in rows]
        parts += [
            [table("kind", "count", "oldest", "first reason", right=["count"], rows=cells)],
            [f"{kind.title}: {kind.advice}" for kind in stay],
            _outcome(findings, discard=discard) if redrive or discard else [],
        ]
    parts.append(_remarks(findings))
    for number, part in enumerate(filter(None, parts)):
        if number:
            print()
        for line in part:
            show(line)


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


def _outcome(findings: Findings, *, discard: bool) -> list[str]:
    stay = sum(entry.failure.kind.redrivable is discard for entry in findings.entries)
    if discard:
        lines = [f"Discarded: {findings.discarded}"]
        lines += [f"Staying, for --redrive: {stay}"] if stay else []
    else:
        lines = [f"Put back into {retry_name(findings.stage)}: {findings.back}"]
        lines += (
            [f"Staying, since redriving does not help them: {stay}; --discard deletes them"] if stay else []
        )
    if troubles := findings.troubles:
        lines.append(f"Failed: {len(troubles)}, the first {troubles[0]}")
    return lines


def _remarks(findings: Findings) -> list[str]:
    remarks = []
    if findings.unread:
        remarks.append(f"Not read: about {findings.unread}; run it again, or with a higher --limit")
    if findings.waiting.hidden:
        remarks.append(f"Being read by somebody else: {findings.waiting.hidden}; run it again in a minute")
    return remarks


def _time(epoch_ms: int) -> str:
    return dt.datetime.fromtimestamp(epoch_ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(body: str) -> Any:
    """Parse a body that is JSON, so that a reader need not unwrap it twice."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body


def _limit(text: str) -> int:
    number = int(text)
    if not 1 <= number <= LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to {LIMIT_MAX}")
    return number
