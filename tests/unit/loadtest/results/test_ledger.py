"""The ledger: what is expected, and what each arrival counts as."""

from __future__ import annotations

from loadtest.plan.schedule import PlannedMessage
from loadtest.results.ledger import Ledger, Row

NS = 1_000_000_000
MS = 1_000_000
START = 1_000 * NS


def begun(*offsets_s: float, warmup_s: float = 0) -> Ledger:
    """A ledger of one group, whose messages are due at these offsets."""
    ledger = Ledger(1)
    due = [PlannedMessage(number, round(offset_s * NS), 0, 0) for number, offset_s in enumerate(offsets_s)]
    ledger.begin(due, START, round(warmup_s * NS))
    return ledger


def test_first_copies_count_and_second_ones_are_duplicates() -> None:
    """The second copy on the same connection is a duplicate, on another connection it is a delivery."""
    ledger = begun(0)
    one, two = ledger.join(0, 0), ledger.join(0, 0)
    for member in (one, one, two):
        ledger.receive(member, 0, 1, START + 5 * MS)
    assert ledger.rows(START + NS) == [Row(2, 2, 1, 0, START + 5 * MS)]
    assert ledger.seconds[0].count == 2


def test_a_lower_seq_is_out_of_order_but_received() -> None:
    """3, 1, 2, 4: two came late; all four were received."""
    ledger = begun(0, 0, 0, 0)
    member = ledger.join(0, 0)
    for number in (2, 0, 1, 3):
        ledger.receive(member, number, number + 1, START + MS)
    rows = ledger.rows(START + NS)
    assert [row.out_of_order for row in rows] == [1, 1, 0, 0]
    assert [row.received for row in rows] == [1, 1, 1, 1]
    assert ledger.out_of_order == 2


def test_a_duplicate_is_never_out_of_order() -> None:
    """An old message again is one duplicate and nothing else."""
    ledger = begun(0, 0)
    member = ledger.join(0, 0)
    for number in (0, 1, 0):
        ledger.receive(member, number, number + 1, START + MS)
    assert (ledger.duplicate, ledger.out_of_order, ledger.received) == (1, 0, 2)


def test_only_what_was_due_during_membership_is_expected() -> None:
    """Members expect what was due from their join to their leaving; anything else counts as nothing."""
    ledger = begun(0, 1, 2, 3)
    ledger.join(0, 0)
    guest = ledger.join(0, START + NS)
    ledger.leave(guest, START + 3 * NS)
    for number in range(4):
        ledger.receive(guest, number, number + 1, START + 9 * NS)
    rows = ledger.rows(START + 10 * NS)
    assert [row.eligible for row in rows] == [1, 2, 2, 1]
    assert [row.received for row in rows] == [0, 1, 1, 0]


def test_who_leaves_before_joining_counts_was_never_there() -> None:
    """A member whose time ends before it begins expects nothing, and takes nothing from the others."""
    ledger = begun(0, 1, 2)
    ledger.join(0, 0)
    ledger.leave(ledger.join(0, START + 2 * NS), START + NS)
    assert [row.eligible for row in ledger.rows(START + 10 * NS)] == [1, 1, 1]


def test_the_warm_up_is_counted_without_latencies() -> None:
    """A message of the warm-up is in the rows, but in no second."""
    ledger = begun(0.5, 1.5, 2.5, warmup_s=1)
    member = ledger.join(0, 0)
    for number in range(3):
        ledger.receive(member, number, number + 1, START + 9 * NS)
    assert [row.received for row in ledger.rows(START + 10 * NS)] == [1, 1, 1]
    assert {second: histogram.max_ms for second, histogram in ledger.seconds.items()} == {
        0: 7_500.0,
        1: 6_500.0,
    }


def test_rows_end_where_the_run_was_stopped() -> None:
    """A message that was not due yet is not there."""
    assert len(begun(0, 1, 2).rows(START + 2 * NS)) == 2


def test_missing_counts_what_is_overdue() -> None:
    """Of messages that somebody got, what others lack; a message nobody got may not exist."""
    ledger = begun(0, 1, 2, 3)
    one = ledger.join(0, 0)
    ledger.join(0, 0)
    ledger.receive(one, 0, 1, START + MS)
    ledger.receive(one, 3, 2, START + 3 * NS)
    assert ledger.missing(START + 2 * NS) == 1
    assert ledger.missing(START + 2 * NS) == 1
    assert ledger.missing(START + 4 * NS) == 2


def test_latencies_so_far_settle() -> None:
    """Asked again and again, all seconds are in it once; what comes for a settled second is left out."""
    ledger = begun(0, 1, 2)
    one, two = ledger.join(0, 0), ledger.join(0, 0)
    ledger.receive(one, 0, 1, START + MS)
    assert ledger.latencies(settled=0).count == 1
    ledger.receive(one, 1, 2, START + NS)
    assert ledger.latencies(settled=1).count == 2
    ledger.receive(two, 0, 1, START + NS)
    ledger.receive(one, 2, 3, START + 2 * NS)
    assert ledger.latencies(settled=1).count == 3


def test_a_run_is_whole_when_everyone_has_everything() -> None:
    """What was stored, and what anyone here has; a message that nobody stored is not waited for."""
    ledger = begun(0, 0, 0)
    one, two = ledger.join(0, 0), ledger.join(0, 0)
    assert ledger.is_whole([])
    assert not ledger.is_whole([0])
    ledger.receive(one, 0, 1, START + MS)
    assert not ledger.is_whole([])
    ledger.receive(two, 0, 1, START + MS)
    assert ledger.is_whole([0])
    assert not ledger.is_whole([0, 2])
