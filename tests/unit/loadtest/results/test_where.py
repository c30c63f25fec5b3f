"""Where the time goes: from timeline lines to the parts of each way."""

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
    # The stream offers it again, after everybody has it.
    late = {"stored": 21, "read": 190, "started": 191}
    points = {"accepted": 0, "offered": 18, "received": 25, "first_post": 30, "last_post": 45, **late}
    return instants(**{**points, **changes})


def longest_ms(way: DeliveryPath) -> dict[str, float | None]:
    return {f"{part.begin} {part.end}": part.times.max for part in way.parts}


def test_a_message_from_the_stream_has_no_offer() -> None:
    """What started it is the stream's batch; a part that ends before it began took no time."""
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
    """The acknowledgement and the stream's own offer came after the one that counted: they are no part."""
    (way,) = paths_of([(7, express())], {7: 46 * MS})
    assert way.name == EXPRESS
    assert longest_ms(way) == {
        "accepted offered": 18,
        "offered received": 7,
        "received first_post": 5,
        "first_post last_post": 15,
        "last_post delivered": 1,
    }


def test_a_message_that_the_stream_offered_passed_both() -> None:
    """Read first, then offered; what the batch of the stream did is the time until SQS had the offer."""
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
    """Also where the stream had been read by then."""
    (way,) = paths_of([(7, express(read=17, started=19))], {7: 46 * MS})
    assert way.name == EXPRESS


def test_ways_are_kept_apart() -> None:
    """Each message counts in all parts of its own way, and in no other."""
    timeline = [(1, express()), (2, from_stream()), (3, express()), (4, express(read=3, started=4, stored=2))]
    ways = paths_of(timeline, dict.fromkeys(range(1, 5), 200 * MS))
    assert {way.name: {part.times.count for part in way.parts} for way in ways} == {
        EXPRESS: {2},
        STREAM_OFFER: {1},
        STREAM: {1},
    }


def test_the_last_line_of_a_message_holds() -> None:
    """Lanes and retries write it again, with the posts they made."""
    (way,) = paths_of([(1, express()), (2, express()), (1, express(last_post=80))], {1: 81 * MS})
    assert longest_ms(way)["first_post last_post"] == 50
    assert way.parts[0].times.count == 1


def test_messages_without_all_points_are_left_out() -> None:
    """One that nobody received, or whose timeline has a gap, is in no part; none at all: no way."""
    broken = express()
    del broken["received_ns"]
    (way,) = paths_of([(1, express()), (2, express()), (3, broken)], {1: 50 * MS, 3: 50 * MS})
    assert way.parts[0].times.count == 1
    assert paths_of([(3, broken)], {3: 50 * MS}) == ()


def test_a_timeline_holds_other_people_s_messages_too(tmp_path: Path) -> None:
    """Only this run's lines are read, and a half-written last line is passed over."""
    mine = {"messageId": message_id(PREFIX, 12), **express()}
    other = {"messageId": message_id(message_prefix("ffffffffffff"), 12), **express()}
    path = tmp_path / "timeline.jsonl"
    path.write_text(f"{json.dumps(other)}\n{json.dumps(mine)}\n" + '{"messageId": "0')
    assert [(number, line["offered_ns"]) for number, line in read_timeline(path, PREFIX)] == [(12, 18 * MS)]
