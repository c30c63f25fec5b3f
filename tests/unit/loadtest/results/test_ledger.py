"""The ledger: expected deliveries, and the classification of each arrival."""

from __future__ import annotations

from loadtest.plan.schedule import PlannedMessage
from loadtest.results.ledger import Ledger, Row

NS = 1_000_000_000
MS = 1_000_000
START = 1_000 * NS


def begun(*offsets_s: float, warmup_s: float = 0) -> Ledger:
    """A ledger of one group, with messages due at these offsets."""
    ledger = Ledger(1)
    due = [PlannedMessage(number, round(offset_s * NS), 0, 0) for number, offset_s in enumerate(offsets_s)]
    ledger.begin(due, START, round(warmup_s * NS))
    return ledger


def test_first_copies_count_and_second_ones_are_duplicates() -> None:
    """On the same connection; on another one, a copy is a delivery."""
    ledger = begun(0)
    one, two = ledger.join(0, 0), ledger.join(0, 0)
    for member in (one, one, two):
        ledger.receive(member, 0, 1, START + 5 * MS)
    assert ledger.rows(START + NS) == [Row(2, 2, 1, 0, START + 5 * MS)]
    assert ledger.seconds[0].count == 2


def test_a_lower_seq_is_out_of_order_but_received() -> None:
    """3, 1, 2, 4: two came late, all four were received."""
    ledger = begun(0, 0, 0, 0)
    member = ledger.join(0, 0)
    for number in (2, 0, 1, 3):
        ledger.receive(member, number, number + 1, START + MS)
    rows = ledger.rows(START + NS)
    assert [row.out_of_order for row in rows] == [1, 1, 0, 0]
    assert [row.received for row in rows] == [1, 1, 1, 1]
    assert ledger.out_of_order == 2


def test_a_duplicate_is_never_out_of_order() -> None:
    """It counts only as a duplicate."""
    ledger = begun(0, 0)
    member = ledger.join(0, 0)
    for number in (0, 1, 0):
        ledger.receive(member, number, number + 1, START + MS)
    assert (ledger.duplicate, ledger.out_of_order, ledger.received) == (1, 0, 2)


def test_only_messages_due_during_membership_are_expected() -> None:
    """Other arrivals do not count."""
    ledger = begun(0, 1, 2, 3)
    ledger.join(0, 0)
    guest = ledger.join(0, START + NS)
    ledger.leave(guest, START + 3 * NS)
    for number in range(4):
        ledger.receive(guest, number, number + 1, START + 9 * NS)
    rows = ledger.rows(START + 10 * NS)
    assert [row.eligible for row in rows] == [1, 2, 2, 1]
    assert [row.received for row in rows] == [0, 1, 1, 0]


def test_a_member_who_leaves_before_its_join_counts_is_ignored() -> None:
    """It expects nothing and does not affect others."""
    ledger = begun(0, 1, 2)
    ledger.join(0, 0)
    ledger.leave(ledger.join(0, START + 2 * NS), START + NS)
    assert [row.eligible for row in ledger.rows(START + 10 * NS)] == [1, 1, 1]


def test_the_warm_up_is_counted_without_latencies() -> None:
    """Its messages are in the rows, but in no second."""
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
    """Messages that were not due yet have no row."""
    assert len(begun(0, 1, 2).rows(START + 2 * NS)) == 2


def test_missing_counts_overdue_deliveries() -> None:
    """Of messages that somebody received; others may not exist."""
    ledger = begun(0, 1, 2, 3)
    one = ledger.join(0, 0)
    ledger.join(0, 0)
    ledger.receive(one, 0, 1, START + MS)
    ledger.receive(one, 3, 2, START + 3 * NS)
    assert ledger.missing(START + 2 * NS) == 1
    assert ledger.missing(START + 2 * NS) == 1
    assert ledger.missing(START + 4 * NS) == 2


def test_latencies_so_far_settle() -> None:
    """Repeated calls count each second once; late arrivals of a settled second are left out."""
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
    """All stored messages, and those that anyone here has; unstored ones don't count."""
    ledger = begun(0, 0, 0)
    one, two = ledger.join(0, 0), ledger.join(0, 0)
    assert ledger.is_whole([])
    assert not ledger.is_whole([0])
    ledger.receive(one, 0, 1, START + MS)
    assert not ledger.is_whole([])
    ledger.receive(two, 0, 1, START + MS)
    assert ledger.is_whole([0])
    assert not ledger.is_whole([0, 2])
