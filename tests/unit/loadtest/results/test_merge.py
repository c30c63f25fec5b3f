"""Combined tallies of several workers."""

from __future__ import annotations

from typing import Any

from loadtest.plan.schedule import PlannedMessage
from loadtest.results.histogram import Histogram
from loadtest.results.ledger import Row
from loadtest.results.merge import (
    groups_of,
    health_of,
    histograms_of,
    ledger_of,
    messages_of,
    series_of,
)
from loadtest.results.tally import Arrivals, Tally, WorkerSecond

NS = 1_000_000_000
MS = 1_000_000
START = 50 * NS


def histogram(*values_ms: int) -> dict[str, Any]:
    found = Histogram()
    for value in values_ms:
        found.record(value * 1000)
    return found.to_dict()


def tally(*rows: Row, sent: tuple[int, ...] = (), acknowledged: tuple[int, ...] = (), **more: Any) -> Tally:
    known: dict[str, Any] = {
        "connect": histogram(),
        "ack": histogram(),
        "lag": histogram(),
        "delivery": (),
        "refused": 0,
        "unsent": 0,
        "seconds": (),
        "arrivals": Arrivals(0, {}),
        "dropped": 0,
        "late_sends": 0,
        "late_us_max": 0,
        "record_ns": 100,
    }
    return Tally(rows=rows, sent=sent, acknowledged=acknowledged, **{**known, **more})


def at(*offsets_s: float, group: int = 0) -> list[PlannedMessage]:
    return [
        PlannedMessage(number, round(offset_s * NS), group, 0) for number, offset_s in enumerate(offsets_s)
    ]


def test_the_ledger_counts_messages_that_exist() -> None:
    """A message that anyone acknowledged or received is owed to all members."""
    tallies = [
        tally(Row(2, 2, 1, 0, 5), Row(2, 0, 0, 0, 0), Row(2, 0, 0, 0, 0), sent=(0, 1, 2), acknowledged=(1,)),
        tally(Row(3, 2, 0, 1, 9), Row(3, 0, 0, 0, 0), Row(3, 0, 0, 0, 0), refused=1),
    ]
    ledger = ledger_of(messages_of(at(0, 1, 2), START, 0, tallies), tallies)
    assert (ledger.expected, ledger.received, ledger.lost) == (10, 4, 6)
    assert (ledger.duplicate, ledger.out_of_order) == (1, 1)
    assert (ledger.sent, ledger.acknowledged, ledger.refused) == (3, 1, 1)


def test_a_group_is_complete_when_the_last_worker_s_last_member_has_it() -> None:
    """Without all receipts, or in the warm-up, a message has no completion time."""
    tallies = [
        tally(*[Row(1, 1, 0, 0, START + 1 * NS + 100 * MS)] * 3),
        tally(
            Row(2, 2, 0, 0, START + 1 * NS + 700 * MS),
            Row(2, 2, 0, 0, START + 1 * NS + 250 * MS),
            Row(2, 1, 0, 0, START + 1 * NS + 900 * MS),
        ),
    ]
    messages = messages_of(at(0.5, 1, 1), START, 1.0, tallies)
    complete = histograms_of(messages, tallies)["group_complete_ms"]
    assert (complete.count, complete.max_ms) == (1, 250)


def test_groups_have_their_own_rows() -> None:
    """Members are the largest number that one message was owed to; the warm-up does not count."""
    due = [PlannedMessage(0, 0, 0, 0), PlannedMessage(1, 2 * NS, 0, 0), PlannedMessage(2, 2 * NS, 1, 0)]
    tallies = [
        tally(Row(2, 2, 0, 0, START + NS), Row(3, 3, 0, 0, START + 3 * NS), Row(1, 1, 0, 0, START + 4 * NS))
    ]
    one, two = groups_of(messages_of(due, START, 1.0, tallies), ["one", "two"])
    assert (one.group, one.members, one.messages, one.complete_ms_max) == ("one", 3, 1, 1000)
    assert (two.group, two.members, two.messages, two.complete_ms_max) == ("two", 1, 1, 2000)


def test_a_second_counts_messages_due_in_it() -> None:
    """Users add up over workers; health takes the worst worker."""
    tallies = [
        tally(
            Row(2, 2, 0, 0, 1),
            Row(2, 1, 0, 0, 1),
            sent=(0, 1),
            delivery=((0, histogram(10, 20)), (1, histogram(30))),
            seconds=(
                WorkerSecond(-1, 1, 9, 0.9),
                WorkerSecond(0, 2, 3000, 0.2),
                WorkerSecond(1, 2, 1000, 0.1),
            ),
        ),
        tally(
            Row(1, 1, 0, 0, 1),
            Row(1, 1, 0, 0, 1),
            delivery=((0, histogram(90)), (1, histogram(40))),
            seconds=(WorkerSecond(0, 1, 5000, 0.1), WorkerSecond(1, 1, 0, 0.5)),
        ),
    ]
    first, second, third = series_of(messages_of(at(0.2, 1.4), START, 0, tallies), tallies, 3)
    assert (first.users, first.sent, first.expected, first.delivered) == (3, 1, 3, 3)
    assert (second.users, second.sent, second.expected, second.delivered) == (3, 1, 3, 2)
    assert (first.max, second.max, third.max) == (90, 40, None)
    assert (first.loop_lag_ms_max, first.cpu) == (5, 0.2)
    assert (second.loop_lag_ms_max, second.cpu) == (1, 0.5)
    assert (third.users, third.sent, third.expected) == (0, 0, 0)


def test_health_is_the_worst_of_all_after_the_warm_up() -> None:
    """One process at its limit is enough."""
    tallies = [
        tally(lag=histogram(1), late_sends=2, late_us_max=700, seconds=(WorkerSecond(-1, 0, 0, 1.0),)),
        tally(lag=histogram(8), late_sends=1, late_us_max=12_000, seconds=(WorkerSecond(0, 0, 0, 0.4),)),
    ]
    health = health_of(tallies, None)
    assert (health.loop_lag_ms_max, health.cpu_max) == (8, 0.4)
    assert (health.late_sends, health.late_ms_max) == (3, 12)


def test_rows_that_one_worker_lacks_count_as_zero() -> None:
    """A worker may stop a little earlier."""
    tallies = [tally(Row(1, 1, 0, 0, 1)), tally(Row(1, 1, 0, 0, 1), Row(1, 1, 0, 0, 1))]
    messages = messages_of(at(0, 1, 2), START, 0, tallies)
    assert [message.row.received for message in messages] == [2, 1]
