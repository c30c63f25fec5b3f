"""From timeline lines to the parts of latency on each path."""

from __future__ import annotations

import json
from pathlib import Path

from loadtest.plan.schedule import message_id, message_prefix
from loadtest.results.deliverypath import paths_of, read_timeline
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER, DeliveryPath

MS = 1_000_000
PREFIX = message_prefix("0123456789ab")


def instants(**at_ms: int) -> dict[str, int]:
    return {f"{point}_ns": ms * MS for point, ms in at_ms.items()}


def from_stream(**changes: int) -> dict[str, int]:
    points = {"accepted": 0, "stored": 10, "read": 130, "started": 131, "first_post": 135, "last_post": 150}
    return instants(**{**points, **changes})


def express(**changes: int) -> dict[str, int]:
    # The stream offers it again after all deliveries.
    late = {"stored": 21, "read": 190, "started": 191}
    points = {"accepted": 0, "offered": 18, "received": 25, "first_post": 30, "last_post": 45, **late}
    return instants(**{**points, **changes})


def longest_ms(way: DeliveryPath) -> dict[str, float | None]:
    return {f"{part.begin} {part.end}": part.times.max for part in way.parts}


def test_a_message_from_the_stream_has_no_offer() -> None:
    """The stream's batch started it; a part that ends before its start takes no time."""
    (way,) = paths_of([(7, from_stream())], {7: 149 * MS})
    assert way.name == STREAM
    assert longest_ms(way) == {
        "accepted stored": 10,
        "stored read": 120,
        "read received": 1,
        "received first_post": 4,
        "first_post last_post": 15,
        "last_post delivered": 0,
    }


def test_a_message_that_its_sender_offered_did_not_wait_for_the_stream() -> None:
    """The ack and the stream's own offer came later and are no parts."""
    (way,) = paths_of([(7, express())], {7: 46 * MS})
    assert way.name == EXPRESS
    assert longest_ms(way) == {
        "accepted offered": 18,
        "offered received": 7,
        "received first_post": 5,
        "first_post last_post": 15,
        "last_post delivered": 1,
    }


def test_a_message_that_the_stream_offered_has_both_parts() -> None:
    """Read first, then offered; the stream batch's part ends when SQS has the offer."""
    line = express(stored=10, read=130, started=131, offered=140, received=146, first_post=150, last_post=160)
    (way,) = paths_of([(7, line)], {7: 161 * MS})
    assert way.name == STREAM_OFFER
    assert longest_ms(way) == {
        "accepted stored": 10,
        "stored read": 120,
        "read offered": 10,
        "offered received": 6,
        "received first_post": 4,
        "first_post last_post": 10,
        "last_post delivered": 1,
    }


def test_an_offer_before_the_streams_batch_started_is_the_senders() -> None:
    """Even if the stream had already been read."""
    (way,) = paths_of([(7, express(read=17, started=19))], {7: 46 * MS})
    assert way.name == EXPRESS


def test_paths_are_separate() -> None:
    """Each message counts only in the parts of its own path."""
    timeline = [(1, express()), (2, from_stream()), (3, express()), (4, express(read=3, started=4, stored=2))]
    ways = paths_of(timeline, dict.fromkeys(range(1, 5), 200 * MS))
    assert {way.name: {part.times.count for part in way.parts} for way in ways} == {
        EXPRESS: {2},
        STREAM_OFFER: {1},
        STREAM: {1},
    }


def test_a_messages_last_line_counts() -> None:
    """Lanes and retries write it again with their posts."""
    (way,) = paths_of([(1, express()), (2, express()), (1, express(last_post=80))], {1: 81 * MS})
    assert longest_ms(way)["first_post last_post"] == 50
    assert way.parts[0].times.count == 1


def test_messages_without_all_points_are_left_out() -> None:
    """Without a receipt or with a gap in the timeline; a path without messages is left out, too."""
    broken = express()
    del broken["received_ns"]
    (way,) = paths_of([(1, express()), (2, express()), (3, broken)], {1: 50 * MS, 3: 50 * MS})
    assert way.parts[0].times.count == 1
    assert paths_of([(3, broken)], {3: 50 * MS}) == ()


def test_other_runs_lines_are_ignored(tmp_path: Path) -> None:
    """So is a half-written last line."""
    mine = {"messageId": message_id(PREFIX, 12), **express()}
    other = {"messageId": message_id(message_prefix("ffffffffffff"), 12), **express()}
    path = tmp_path / "timeline.jsonl"
    path.write_text(f"{json.dumps(other)}\n{json.dumps(mine)}\n" + '{"messageId": "0')
    assert [(number, line["offered_ns"]) for number, line in read_timeline(path, PREFIX)] == [(12, 18 * MS)]
