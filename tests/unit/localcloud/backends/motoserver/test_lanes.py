"""The pure part of FIFO queues."""

from __future__ import annotations

import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from localcloud.backends.motoserver.lanes import DEDUPLICATION_S, Entry, HandleExpiredError, Lanes

RETENTION_S = 1000.0


def add(lanes: Lanes, group: str, *bodies: str, now_s: float = 0.0, key: str | None = None) -> None:
    for body in bodies:
        lanes.add(group, body, body, now_s, retention_s=RETENTION_S, key=key)


def taken(lanes: Lanes, now_s: float = 0.0, count: int = 10, visibility_s: float = 30.0) -> list[Entry]:
    return lanes.receive(count, visibility_s, now_s)[0]


def bodies(entries: list[Entry]) -> str:
    return "".join(entry.message for entry in entries)


def test_a_batch_takes_all_it_can_of_a_group_and_then_of_the_next() -> None:
    """In order within each; a group in progress gives no more."""
    lanes = Lanes()
    add(lanes, "a", *"abc")
    add(lanes, "b", *"123")
    add(lanes, "a", "d")
    assert bodies(taken(lanes, count=5)) == "abcd1"
    add(lanes, "a", "e")
    assert taken(lanes) == []


def test_a_group_is_free_when_its_whole_batch_is_deleted() -> None:
    lanes = Lanes()
    add(lanes, "a", *"abc")
    first, second = taken(lanes, count=2)
    lanes.delete(second.sequence, 1, 1)
    assert taken(lanes, 1) == []
    lanes.delete(first.sequence, 1, 1)
    assert bodies(taken(lanes, 1)) == "c"


def test_a_returned_message_takes_its_old_place() -> None:
    """After its visibility timeout, before later messages; its group waits as long."""
    lanes = Lanes()
    add(lanes, "a", *"abcd")
    batch = taken(lanes, count=3)
    lanes.delete(batch[1].sequence, 1, 1)
    lanes.hide(batch[0].sequence, 1, 2.0, 1)
    lanes.hide(batch[2].sequence, 1, 0.0, 1)
    assert taken(lanes, 2.9) == []
    assert lanes.next_wake_s() == 3.0
    assert bodies(taken(lanes, 3.0)) == "acd"


def test_a_receipt_ends_with_the_visibility_timeout() -> None:
    """A late receiver can neither delete nor hide a message that another has received since."""
    lanes = Lanes()
    add(lanes, "a", "a")
    (entry,) = taken(lanes, visibility_s=5)
    for receives, now_s in ((1, 5.0), (1, 6.0)):
        with pytest.raises(HandleExpiredError):
            lanes.delete(entry.sequence, receives, now_s)
        with pytest.raises(HandleExpiredError):
            lanes.hide(entry.sequence, receives, 9, now_s)
        taken(lanes, now_s)
    lanes.delete(entry.sequence, 2, 7)
    lanes.delete(entry.sequence, 2, 7)
    with pytest.raises(HandleExpiredError):
        lanes.hide(entry.sequence, 2, 9, 7)


def test_an_id_is_remembered_five_minutes_after_it_was_sent() -> None:
    """Deleting the message does not shorten that, and a duplicate does not extend it."""
    lanes = Lanes()
    first = lanes.add("a", "1", "x", 0, retention_s=RETENTION_S, key="k")
    (entry,) = taken(lanes)
    lanes.delete(entry.sequence, 1, 0)
    assert lanes.add("a", "2", "y", DEDUPLICATION_S - 1, retention_s=RETENTION_S, key="k") == first
    assert taken(lanes, DEDUPLICATION_S - 1) == []
    assert lanes.add("a", "3", "z", DEDUPLICATION_S, retention_s=RETENTION_S, key="k") == ("3", 2)
    assert bodies(taken(lanes, DEDUPLICATION_S)) == "z"


def test_too_many_receives_remove_a_message() -> None:
    """It is returned separately, and the group's next message is received."""
    lanes = Lanes()
    add(lanes, "a", *"ab")
    for now_s in (0.0, 10.0):
        assert bodies(lanes.receive(1, 10, now_s, max_receives=2)[0]) == "a"
    received, dead = lanes.receive(1, 10, 20, max_receives=2)
    assert (bodies(received), bodies(dead)) == ("b", "a")
    assert lanes.counts(20) == (0, 1, 0)


def test_delay_retention_and_counts() -> None:
    """A delayed message is not visible yet; an expired one is gone."""
    lanes = Lanes()
    lanes.add("a", "a", "a", 0, retention_s=100, delay_s=5)
    assert (lanes.counts(4), taken(lanes, 4)) == ((0, 0, 1), [])
    assert lanes.counts(5) == (1, 0, 0)
    assert taken(lanes, 100) == []
    assert lanes.counts(100) == (0, 0, 0)
    add(lanes, "a", *"bc", now_s=100, key=None)
    taken(lanes, 100, count=1)
    lanes.clear()
    assert (lanes.counts(100), lanes.next_wake_s()) == ((0, 0, 0), None)


def test_a_long_backlog_makes_nothing_slower() -> None:
    """A hundred batches cost about the same with a backlog of 20,000 messages as without."""

    def hundred_s(messages: int, groups: int) -> float:
        lanes = Lanes()
        for number in range(messages):
            lanes.add(f"g{number % groups}", "id", None, 0, retention_s=RETENTION_S)
        start = time.perf_counter()
        for _ in range(100):
            for entry in taken(lanes):
                lanes.delete(entry.sequence, 1, 0)
        return time.perf_counter() - start

    least_s = min(hundred_s(1000, 1) for _ in range(3))
    # Searching the backlog would cost hundreds of times as much.
    assert min(hundred_s(20_000, 1) for _ in range(3)) < 20 * least_s
    assert min(hundred_s(20_000, 10_000) for _ in range(3)) < 20 * least_s


class FifoQueue(RuleBasedStateMachine):
    """For any sequence of operations nothing is lost, order holds, and a group has one receiver."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.now_s = 0.0
        self.sent: dict[str, list[int]] = {}
        # (entry, receives, end of its visibility timeout)
        self.held: list[tuple[Entry, int, float]] = []

    @rule(group=st.sampled_from("abc"))
    def send(self, group: str) -> None:
        sent = self.lanes.add(group, "id", None, self.now_s, retention_s=1e9)
        self.sent.setdefault(group, []).append(sent[1])

    @rule(count=st.integers(1, 4), visibility_s=st.integers(0, 9))
    def receive(self, count: int, visibility_s: int) -> None:
        locked = {entry.group for entry, _, until_s in self.held if until_s > self.now_s}
        batch = self.lanes.receive(count, visibility_s, self.now_s)[0]
        free = {group: numbers for group, numbers in self.sent.items() if numbers and group not in locked}
        assert len(batch) == min(count, sum(map(len, free.values())))
        for group in {entry.group for entry in batch}:
            numbers = [entry.sequence for entry in batch if entry.group == group]
            assert group not in locked
            assert numbers == free[group][: len(numbers)]
        self.held += [(entry, entry.receives, self.now_s + visibility_s) for entry in batch]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), visibility_s=st.none() | st.integers(0, 9))
    def delete_or_hide(self, data: st.DataObject, visibility_s: int | None) -> None:
        index = data.draw(st.integers(0, len(self.held) - 1))
        entry, receives, until_s = self.held.pop(index)
        gone = entry.sequence not in self.sent[entry.group]
        try:
            if visibility_s is None:
                self.lanes.delete(entry.sequence, receives, self.now_s)
            else:
                self.lanes.hide(entry.sequence, receives, visibility_s, self.now_s)
        except HandleExpiredError:
            assert until_s <= self.now_s
            assert visibility_s is not None or not gone
            return
        assert gone or until_s > self.now_s
        if visibility_s is not None:
            assert not gone
            self.held.append((entry, receives, self.now_s + visibility_s))
        elif not gone:
            self.sent[entry.group].remove(entry.sequence)

    @rule(passed_s=st.integers(1, 6))
    def wait(self, passed_s: int) -> None:
        self.now_s += passed_s

    @invariant()
    def nothing_is_lost(self) -> None:
        visible, in_flight, delayed = self.lanes.counts(self.now_s)
        assert visible + in_flight == sum(map(len, self.sent.values()))
        assert in_flight == sum(until_s > self.now_s for _, _, until_s in self.held)
        assert delayed == 0


TestFifoQueue = FifoQueue.TestCase
TestFifoQueue.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
