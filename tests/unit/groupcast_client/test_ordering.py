"""GroupLog: whatever happens between service and member, the log is complete and in order, once each."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groupcast_client import GroupLog, Message, Void

GAP_WAIT_S = 1.0
HOLE_TIMEOUT_S = 10.0
GAP_REQUESTS = 2
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def message(seq: int, created_s: float = 0.0) -> Message:
    return Message(f"id-{seq}", "g", seq, "ann", f"text {seq}", EPOCH + timedelta(seconds=created_s))


def new_log(*, since: int | None = None, backlog: int = 0, pending_limit: int = 100) -> GroupLog:
    return GroupLog(
        "g",
        since=since,
        backlog=backlog,
        gap_wait_s=GAP_WAIT_S,
        hole_timeout_s=HOLE_TIMEOUT_S,
        gap_requests=GAP_REQUESTS,
        pending_limit=pending_limit,
    )


def seqs(messages: list[Message]) -> list[int]:
    return [one.seq for one in messages]


@dataclass(frozen=True, slots=True)
class Sent:
    """A number of the service's log. `pushes_s` are its pushes' arrivals.

    A hole is never visible or pushed; a void is, like a message.
    """

    taken_at: float
    visible_at: float
    pushes_s: tuple[float, ...]
    is_hole: bool
    is_void: bool

    def entry(self, seq: int) -> Message | Void:
        return Void(seq) if self.is_void else message(seq, self.taken_at)


@st.composite
def services(draw: st.DrawFn) -> list[Sent]:
    """Services whose messages reach history within half the hole timeout and are pushed 0 to 3 times."""
    now = 0.0
    log = []
    for _ in range(draw(st.integers(0, 20))):
        now += draw(st.sampled_from([0.0, 0.1, 1.0, 5.0]))
        visible_at = now + draw(st.floats(0, HOLE_TIMEOUT_S / 2))
        pushes_s = draw(st.lists(st.floats(0, 15), max_size=3))
        is_hole = draw(st.integers(0, 5)) == 0
        is_void = draw(st.integers(0, 5)) == 0
        pushes_at = () if is_hole else tuple(now + at for at in pushes_s)
        log.append(Sent(now, visible_at, pushes_at, is_hole, is_void))
    return log


@dataclass
class World:
    """Runs a log against a service on a virtual clock, like a client."""

    service: list[Sent]
    log: GroupLog
    rng: random.Random
    page: int
    delivered: list[int] = field(default_factory=list)
    first_seq: int | None = None
    requests: int = 0

    def visible(self, since: int, now: float) -> tuple[list[Message | Void], bool]:
        found = [
            sent.entry(seq)
            for seq, sent in enumerate(self.service, 1)
            if seq > since and not sent.is_hole and sent.visible_at <= now
        ]
        return found[: self.page], len(found) <= self.page

    def join(self, now: float) -> None:
        last_seq = sum(sent.taken_at <= now for sent in self.service)
        since = self.log.since
        found, complete = self.visible(since, now) if since is not None else ([], True)
        self.deliver(self.log.joined(last_seq, found, complete=complete, now=now))
        if self.first_seq is None:
            self.first_seq = last_seq + 1

    def push(self, seq: int, now: float) -> None:
        self.deliver(self.log.pushed([self.service[seq - 1].entry(seq)], now))

    def answer(self, now: float) -> None:
        since = self.log.ask(now)
        if since is None:
            return
        self.requests += 1
        assert self.requests < 1_000, "it asks without end"
        if self.rng.random() < 0.2:
            self.log.failed(now)
            return
        found, complete = self.visible(since, now)
        self.deliver(self.log.replied(found, complete=complete, now=now))

    def deliver(self, messages: list[Message]) -> None:
        self.delivered += seqs(messages)

    def run(self, joins_s: list[float]) -> None:
        """Process all events in time, join once more at the end, and continue until nothing is left."""
        events = [(at, 0, 0) for at in joins_s]
        events += [(at, 1, seq) for seq, sent in enumerate(self.service, 1) for at in sent.pushes_s]
        end = max([at for at, _, _ in events] + [sent.visible_at for sent in self.service], default=0.0)
        heapq.heappush(events, (end, 2, 0))
        heapq.heapify(events)
        now = 0.0
        while True:
            wake_at = self.log.wake_at
            if events and (wake_at is None or events[0][0] <= wake_at):
                now, kind, seq = heapq.heappop(events)
                if kind == 1:
                    self.push(seq, now)
                else:
                    self.join(now)
            elif wake_at is None:
                return
            else:
                now = max(now, wake_at)
                self.answer(now)


# A busy machine is not a failure.
@settings(deadline=None)
@given(
    service=services(),
    joins_s=st.lists(st.floats(0, 60), max_size=4),
    since=st.none() | st.just(0),
    page=st.integers(1, 7),
    pending_limit=st.sampled_from([1, 2, 5, 100]),
    seed=st.integers(0, 2**32),
)
def test_each_message_comes_once_and_in_order(
    service: list[Sent],
    joins_s: list[float],
    since: int | None,
    page: int,
    pending_limit: int,
    seed: int,
) -> None:
    """With lost, duplicate and late pushes, failing and partial history, rejoins, holes, tiny buffers."""
    log = new_log(since=since, pending_limit=pending_limit)
    # A seed makes the failure repeatable.
    rng = random.Random(seed)
    world = World(service, log, rng, page, first_seq=None if since is None else since + 1)
    world.run(joins_s)
    assert world.first_seq is not None
    joined = list(enumerate(service, 1))[world.first_seq - 1 :]
    assert world.delivered == [seq for seq, sent in joined if not sent.is_hole and not sent.is_void]
    assert world.log.since == len(service)


def test_a_push_in_order_is_delivered_without_a_request() -> None:
    """Except for the one history request after joining."""
    log = new_log()
    log.joined(4, [], complete=True, now=0.0)
    assert seqs(log.pushed([message(5), message(6)], 0.5)) == [5, 6]
    assert log.wake_at == GAP_WAIT_S
    assert log.ask(GAP_WAIT_S) == 6
    assert log.replied([], complete=True, now=1.1) == []
    assert log.wake_at is None


def test_a_gap_waits_before_requesting_history() -> None:
    """Messages that merely swap places within the wait cost no request."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.ask(GAP_WAIT_S)
    log.replied([], complete=True, now=GAP_WAIT_S)
    assert log.pushed([message(2)], 5.0) == []
    assert log.ask(5.9) is None
    assert seqs(log.pushed([message(1)], 5.9)) == [1, 2]
    assert log.ask(100.0) is None


def test_a_backlog_is_fetched_without_waiting() -> None:
    """A newcomer requests the last messages as soon as it knows the last number."""
    log = new_log(backlog=3)
    log.joined(10, [], complete=True, now=0.0)
    assert log.ask(0.0) == 7
    assert seqs(log.replied([message(8), message(9), message(10)], complete=True, now=0.0)) == [8, 9, 10]


def test_an_old_hole_delays_nothing() -> None:
    """The dates of yesterday's messages show it, and the first reply skips it."""
    log = new_log(since=0)
    page = [message(1, 0), message(3, 20), message(4, 20 + HOLE_TIMEOUT_S)]
    assert seqs(log.joined(4, page, complete=True, now=0.0)) == [1, 3, 4]
    assert log.since == 4


def test_a_recent_hole_is_skipped_only_after_the_timeout() -> None:
    """If history, asked after it, still lacks the number."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.pushed([message(2)], 0.0)
    asked_at = []
    delivered: list[Message] = []
    while not delivered:
        now = log.wake_at
        assert now is not None
        asked_at.append(now)
        assert log.ask(now) == 0
        delivered = log.replied([message(2)], complete=True, now=now)
    assert seqs(delivered) == [2]
    assert asked_at == [1.0, 3.0, HOLE_TIMEOUT_S]


def test_a_void_ends_the_wait_at_once() -> None:
    """No request is sent, and the next message is delivered."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    assert log.pushed([message(2)], 0.0) == []
    assert seqs(log.pushed([Void(1)], 0.1)) == [2]
    assert log.since == 2


def test_a_void_in_history_is_final_before_the_timeout() -> None:
    """The first answer with it suffices."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.pushed([message(2), Void(3)], 0.0)
    assert log.ask(1.0) == 0
    assert seqs(log.replied([Void(1), message(2), Void(3)], complete=True, now=1.1)) == [2]
    assert (log.since, log.wake_at) == (3, None)


def test_a_void_after_a_hole_does_not_date_it() -> None:
    """Only messages have dates; the next message after the hole counts."""
    log = new_log(since=0)
    page: list[Message | Void] = [Void(2), message(3, 0), message(4, HOLE_TIMEOUT_S)]
    assert seqs(log.joined(4, page, complete=True, now=0.0)) == [3, 4]
    assert log.since == 4


def test_a_failed_request_is_repeated_when_the_service_allows_it() -> None:
    """After the service's delay, if it exceeds the usual one."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.pushed([message(2)], 0.0)
    assert log.ask(1.0) == 0
    log.failed(1.0, 5.0)
    assert log.wake_at == 6.0


def test_the_last_request_is_repeated_until_it_is_answered() -> None:
    """A gap whose requests all failed is requested again, with doubling delays."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.pushed([message(2)], 0.0)
    asked_at = []
    for _ in range(5):
        assert log.wake_at is not None
        asked_at.append(log.wake_at)
        assert log.ask(asked_at[-1]) == 0
        log.failed(asked_at[-1])
    assert asked_at == [1.0, 3.0, HOLE_TIMEOUT_S, 18.0, 28.0]
    assert log.ask(38.0) == 0
    assert seqs(log.replied([message(2)], complete=True, now=38.0)) == [2]


def test_pushes_before_the_reply_to_join_are_kept() -> None:
    """Pushes may overtake the reply; those after its last number count."""
    log = new_log()
    assert log.pushed([message(7), message(9)], 0.0) == []
    assert seqs(log.joined(6, [], complete=True, now=0.1)) == [7]
    assert log.since == 7


def test_a_log_that_began_anew_is_read_from_its_start() -> None:
    """A last number below the position means a new log (local tables do not survive a restart)."""
    log = new_log(since=50)
    log.joined(50, [], complete=True, now=0.0)
    log.joined(2, [], complete=True, now=1.0)
    assert log.ask(1.0) == 0
    assert seqs(log.replied([message(1), message(2)], complete=True, now=1.0)) == [1, 2]


@pytest.mark.parametrize("complete", [True, False])
def test_an_empty_reply_is_not_repeated_at_once(*, complete: bool) -> None:
    """It cannot cause a loop, whatever it claims."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.pushed([message(2)], 0.0)
    log.ask(1.0)
    log.replied([], complete=complete, now=1.0)
    assert log.wake_at == 3.0


def test_an_incomplete_reply_continues_where_it_ended() -> None:
    """Catching up reads each page once, even with a hole before them."""
    log = new_log(since=0)
    assert log.joined(5, [message(2), message(3)], complete=False, now=0.0) == []
    assert log.ask(0.0) == 3
    assert log.replied([message(4), message(5)], complete=True, now=0.0) == []
    assert seqs(log.pushed([message(1)], 0.5)) == [1, 2, 3, 4, 5]


def test_pushes_before_the_reply_to_a_rejoin_do_not_begin_anew() -> None:
    """The reply's last number is older than the push, but not than what was read when joining."""
    log = new_log(since=5)
    log.joined(5, [], complete=True, now=0.0)
    since = log.since
    assert seqs(log.pushed([message(6)], 1.0)) == [6]
    assert log.joined(5, [], complete=True, now=1.1, since=since) == []
    assert seqs(log.pushed([message(6), message(7)], 1.2)) == [7]


def test_a_reply_without_room_for_messages_makes_no_holes() -> None:
    """It says nothing about a number that has been missed for long; history is asked immediately."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    assert log.pushed([message(3)], 0.0) == []
    now = 2 * HOLE_TIMEOUT_S
    assert log.joined(3, [], complete=False, now=now) == []
    assert log.ask(now) == 0
    assert seqs(log.replied([message(1), message(2), message(3)], complete=True, now=now)) == [1, 2, 3]


def test_ignored_pushes_are_requested_when_there_is_room() -> None:
    """Without the wait of a gap."""
    log = new_log(since=0)
    log.joined(0, [], complete=True, now=0.0)
    log.heard(2, 0.1)
    log.catch_up(0.2)
    assert log.ask(0.2) == 0
    assert seqs(log.replied([message(1), message(2)], complete=True, now=0.3)) == [1, 2]
