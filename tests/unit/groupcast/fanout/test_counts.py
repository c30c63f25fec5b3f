"""The figures that alarms and dashboards rely on, as the engine counts them over chosen answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from groupcast.aws.management import PostResult
from groupcast.fanout.batch import Frame, GroupBatch
from groupcast.fanout.budget import Budget
from groupcast.fanout.engine import Engine
from groupcast.fanout.report import GroupReport
from loadtest.bench.virtualtime import VirtualLoop
from tests.unit.groupcast.fanout.support import (
    ACCEPTED,
    ERROR,
    FAST,
    FULL,
    GONE,
    LATE,
    REFUSED,
    THROTTLED,
    FakeActivity,
    FakeMembers,
    FakePoster,
    engine,
    group,
    ids,
    later,
)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Where waits take no time, and are exact."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


async def test_each_answer_counts_once() -> None:
    """Every post, by its answer; messages where a frame holds several."""
    first = {"c1=": THROTTLED, "c2=": FULL, "c3=": ERROR}
    final = {"c4=": GONE, "c5=": REFUSED}

    def answer(connection: str, _data: bytes, attempt: int) -> PostResult:
        if attempt == 1 and connection in first:
            return first[connection]
        # Keeps the others' retries from being stragglers.
        if connection == "c0=" and attempt < 40:
            return ERROR
        return final.get(connection, ACCEPTED)

    poster, members = FakePoster(answer), FakeMembers({"a": ids(8)})
    limits = replace(FAST, attempts_max=100)
    report = await engine(members, poster, limits).deliver([group("a", (b"1", 3))], later())
    expected = {
        "members": 8,
        "pages": 1,
        "throttled": 1,
        "full": 1,
        "retried": 1 + 39,
        "delivered": 6 * 3,
        "gone": 3,
        "refused": 3,
        "handed_off": 0,
    }
    assert {name: report.total(name) for name in expected} == expected
    assert report.total("posts") == sum(poster.attempts.values()) == 8 + 3 + 39


async def test_a_delivery_takes_from_the_messages_creation_to_the_accepted_post() -> None:
    """In ms; a frame is as old as its oldest message."""
    frame = Frame(b"1", ("m1",), int(time.time() * 1000) - 60_000)
    batch = GroupBatch("a", (frame,), 1, ("100",))
    poster = FakePoster(lambda *_: ACCEPTED)
    report = await engine(FakeMembers({"a": ids(3)}), poster).deliver([batch], later())
    assert len(report.delivery_ms) == 3
    assert all(60_000 <= one < 120_000 for one in report.delivery_ms)
    assert report.delivery_ms_max == max(report.delivery_ms)


class LateBudget:
    """Each booking begins `start_s` after it was made."""

    is_limited = True
    chunk_posts = 100
    void_after_s = 1.0
    start_s = 0.02

    async def book(self, _posts: int) -> float:
        return self.start_s

    def owe(self, posts: int) -> None:
        pass

    async def settle(self) -> None:
        pass


@pytest.mark.parametrize(("members", "waited_ms"), [(30, 0.0), (600, 60.0)])
def test_the_wait_for_the_budget_counts_in_ms(members: int, waited_ms: float) -> None:
    """A small group does not wait. Of six chunks every other one is booked during the wait before it."""

    async def main() -> None:
        budget: Budget = LateBudget()
        poster, table = FakePoster(lambda *_: ACCEPTED), FakeMembers({"a": ids(members)}, page_size=600)
        report = await engine(table, poster, budget=budget).deliver([group("a", (b"1", 1))], later())
        assert report.total("budget_wait_ms") == pytest.approx(waited_ms)
        assert report.total("booked") == (members if waited_ms else 0)

    run(main())


@pytest.mark.parametrize(
    ("counts", "moved"),
    [({}, False), ({"handed_off": 2}, False), ({"delivered": 1}, True), ({"gone": 1}, True)],
)
def test_a_pass_has_moved_where_fewer_are_left(counts: dict[str, int], moved: bool) -> None:
    """Leftovers of such a pass lose no try."""
    assert GroupReport("a", 1, ("1",), **counts).moved is moved  # type: ignore[arg-type]


def test_a_refused_message_is_no_longer_left() -> None:
    assert GroupReport("a", 1, ("1",), refused=1).moved


async def test_removals_are_waited_for() -> None:
    """Lambda may freeze the environment as soon as the call is over."""
    members = FakeMembers({"a": ids(3)})
    poster = FakePoster(lambda connection, *_: GONE if connection == "c1=" else ACCEPTED)
    await engine(members, poster).deliver([group("a", (b"1", 1))], later())
    assert (members.discarded, members.flushed) == (["c1="], ["c1="])


def test_retries_that_are_due_together_keep_their_order() -> None:
    """The connections that were posted to first are tried again first."""
    order: list[str] = []

    def answer(connection: str, _data: bytes, attempt: int) -> PostResult:
        if attempt == 1:
            return ERROR
        order.append(connection)
        return ACCEPTED

    async def main() -> None:
        members = FakeMembers({"a": ids(20)})
        served = Engine(members, members, FakePoster(answer), FAST, lambda: 0.5)
        await served.deliver([group("a", (b"1", 1))], later())
        assert order == ids(20)

    run(main())


def test_no_timer_outlives_the_call() -> None:
    """Of a retry that was handed off, or of the stop: a frozen environment would fire it in the next call."""

    async def main() -> None:
        poster = FakePoster(lambda connection, *_: ERROR if connection == "c1=" else ACCEPTED)
        report = await engine(FakeMembers({"a": ids(3)}), poster, LATE).deliver(
            [group("a", (b"1", 1))], later()
        )
        assert report.total("handed_off") == 1
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert [timer for timer in timers if not timer.cancelled()] == []

    run(main())


def test_a_look_that_hangs_ends_after_a_second() -> None:
    """The lane waits no longer, and the connections get another post two seconds later."""

    async def main() -> None:
        activity, loop = FakeActivity(), asyncio.get_running_loop()
        activity.hangs = True
        poster = FakePoster(lambda *_: GONE)
        began_at = loop.time()
        report = await engine(FakeMembers({"a": ids(1)}), poster, activity=activity).deliver(
            [group("a", (b"1", 1))], later()
        )
        assert loop.time() - began_at == pytest.approx(1.0, abs=0.01)
        assert [left.delay_s for left in report.groups[0].leftovers] == [2]

    run(main())
