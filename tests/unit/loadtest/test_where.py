"""Where the time goes: from timeline lines to spans."""

from __future__ import annotations

import json
from pathlib import Path

from loadtest.schedule import message_id, message_prefix
from loadtest.where import read_timeline, where_of

MS = 1_000_000
PREFIX = message_prefix("0123456789ab")


def instants(*at_ms: int | None) -> dict[str, int]:
    names = ("accepted_ns", "stored_ns", "read_ns", "started_ns", "posted_ns")
    return {name: ms * MS for name, ms in zip(names, at_ms, strict=True) if ms is not None}


def test_spans_are_the_time_between_points() -> None:
    """Five points and the last receipt make five spans; one that ends before it began took no time."""
    where = where_of([(7, instants(0, 10, 130, 131, 150))], {7: 149 * MS})
    assert where is not None
    assert where.accepted_to_stored.max == 10
    assert where.stored_to_read.max == 120
    assert where.read_to_started.max == 1
    assert where.started_to_posted.max == 19
    assert where.posted_to_received.max == 0
    assert where.posted_to_received.count == 1


def test_messages_without_all_points_are_left_out() -> None:
    """One that nobody received, or whose timeline has a gap, is in no span; none at all: no answer."""
    whole, broken = instants(0, 1, 2, 3, 4), instants(0, 1, None, 3, 4)
    where = where_of([(1, whole), (2, whole), (3, broken)], {1: 5 * MS, 3: 5 * MS})
    assert where is not None
    assert where.accepted_to_stored.count == 1
    assert where_of([(3, broken)], {3: 5 * MS}) is None


def test_a_timeline_holds_other_people_s_messages_too(tmp_path: Path) -> None:
    """Only this run's lines are read, and a half-written last line is passed over."""
    mine = {"messageId": message_id(PREFIX, 12), **instants(0, 1, 2, 3, 4)}
    other = {"messageId": message_id(message_prefix("ffffffffffff"), 12), **instants(0, 1, 2, 3, 4)}
    path = tmp_path / "timeline.jsonl"
    path.write_text(f"{json.dumps(other)}\n{json.dumps(mine)}\n" + '{"messageId": "0')
    assert [(number, line["posted_ns"]) for number, line in read_timeline(path, PREFIX)] == [(12, 4 * MS)]
