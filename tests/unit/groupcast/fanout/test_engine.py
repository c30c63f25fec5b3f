"""The engine with a poster whose answers the test chooses: pure faults, no sockets."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from groupcast.aws.management import PostResult
from groupcast.fanout.engine import GROUPS_AT_ONCE, Engine
from groupcast.fanout.leftover import Leftover, outgoing
from groupcast.fanout.limits import Limits
from groupcast.fanout.report import GroupReport, Report
from groupcast.fanout.suspects import FULL_DELAY_S, REFUSALS_MAX, STREAK_S
from groupcast.slots import ALL_SLOTS, SlotRange
from groupcast.tables.members import Page
from tests.unit.groupcast.fanout.support import (
    ACCEPTED,
    ERROR,
    FAST,
    FULL,
    GONE,
    LATE,
    REFUSED,
    THROTTLED,
    FakeMembers,
    FakePoster,
    engine,
    group,
    ids,
    later,
)


def left_over(served: GroupReport) -> tuple[Leftover, ...]:
    return served.leftovers + served.unread


async def test_everyone_gets_every_frame_in_order() -> None:
    """Frames to one connection are posted one after the other, even with retries."""
    dice = random.Random(3)
    poster = FakePoster(lambda *_: dice.choices((ACCEPTED, ERROR, THROTTLED), (80, 10, 10))[0])
    members = FakeMembers({"a": ids(950)})
    report = await engine(members, poster).deliver([group("a", (b"1", 2), (b"2", 1), (b"3", 4))], later())
    assert all(poster.received[connection] == [b"1", b"2", b"3"] for connection in members.groups["a"])
    assert report.total("delivered") == 950 * 7
    assert report.groups[0].pages == 10
    assert left_over(report.groups[0]) == ()


async def test_a_gone_connection_is_removed_once() -> None:
    """After the 410, its other frames are not posted."""
    gone = set(ids(100)[::3])
    poster = FakePoster(lambda connection, *_: GONE if connection in gone else ACCEPTED)
    members = FakeMembers({"a": ids(100)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1), (b"2", 1))], later())
    assert sorted(members.discarded) == sorted(gone)
    assert report.total("gone") == 2 * len(gone)
    assert report.total("delivered") == 2 * (100 - len(gone))
    assert all(poster.attempts[connection, b"2"] == 0 for connection in gone)


async def test_a_refused_frame_is_skipped() -> None:
    """A 413 is final for its frame only."""
    poster = FakePoster(lambda _, data, __: REFUSED if data == b"large" else ACCEPTED)
    members = FakeMembers({"a": ids(5)})
    report = await engine(members, poster).deliver([group("a", (b"large", 1), (b"small", 1))], later())
    assert (report.total("refused"), report.total("delivered")) == (5, 5)
    assert report.groups[0].refusals == {"413 PayloadTooLargeException": 5}
    assert members.discarded == []


async def test_a_client_that_accepts_nothing_is_closed_and_delays_nobody() -> None:
    """Its group is served completely and at once."""
    poster = FakePoster(lambda connection, *_: THROTTLED if connection == "c7=" else ACCEPTED)
    members = FakeMembers({"a": ids(200)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later())
    assert poster.deleted == ["c7="]
    assert (report.total("delivered"), report.total("gone"), report.total("slow_closed")) == (199, 1, 1)
    assert poster.attempts["c7=", b"1"] == 4
    assert left_over(report.groups[0]) == ()


async def test_a_throttled_account_closes_nobody() -> None:
    """If everyone is refused for a while, all are served in the end."""
    windows: set[int] = set()

    def answer(_connection: str, _data: bytes, attempt: int) -> PostResult:
        windows.add(served._world.window.size)
        return THROTTLED if attempt <= 12 else ACCEPTED

    poster = FakePoster(answer)
    served = engine(FakeMembers({"a": ids(300)}), poster)
    report = await served.deliver([group("a", (b"1", 1))], later())
    assert report.total("delivered") == 300
    assert poster.deleted == []
    assert min(windows) == FAST.window_min


async def test_a_post_that_keeps_failing_is_handed_off() -> None:
    """After the limit of attempts."""
    poster = FakePoster(lambda connection, *_: ERROR if connection == "c3=" else ACCEPTED)
    members = FakeMembers({"a": ids(10)})
    report = await engine(members, poster).deliver([group("a", (b"1", 3))], later())
    assert (report.total("delivered"), report.total("handed_off")) == (27, 3)
    assert poster.attempts["c3=", b"1"] == FAST.attempts_max
    assert left_over(report.groups[0]) == (Leftover("a", ("1.0", "1.1", "1.2"), ("c3=",)),)


async def test_at_the_stop_nothing_new_is_sent_and_the_rest_is_left_over() -> None:
    """Waiting and delayed posts are handed off; running ones still count."""
    poster = FakePoster(lambda *_: THROTTLED)
    members = FakeMembers({"a": ids(60_000)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later(0.05))
    served = report.groups[0]
    assert served.handed_off == served.members > 0
    named = [one for leftover in served.leftovers for one in leftover.connection_ids]
    assert sorted(named) == sorted(members.groups["a"][: served.members])
    assert served.unread == (Leftover("a", ("1.0",), slots=SlotRange(served.members, 65_535)),)


async def test_a_stop_before_the_first_page_leaves_the_group_unread() -> None:
    """All slots are left over."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(10)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later(-1))
    assert left_over(report.groups[0]) == (Leftover("a", ("1.0",), slots=ALL_SLOTS),)
    assert poster.received == {}


async def test_a_page_that_cannot_be_read_leaves_only_its_group_over() -> None:
    """Members on earlier pages are served, other groups are complete, and the error is logged."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(250, "a"), "b": ids(50, "b")})
    members.broken_after = 1
    report = await engine(members, poster).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    by_name = {one.group_id: one for one in report.groups}
    assert left_over(by_name["a"]) == (Leftover("a", ("1.0",), slots=SlotRange(100, 65_535)),)
    assert by_name["a"].error == "OSError: no more pages"
    assert by_name["a"].delivered == 100
    assert left_over(by_name["b"]) == ()
    assert by_name["b"].delivered == 50


@pytest.mark.parametrize("window", [1, 7, 64])
async def test_the_window_bounds_concurrent_posts(window: int) -> None:
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(500), "b": ids(500)})
    limits = Limits(window_start=window, window_min=1, window_max=window)
    await engine(members, poster, limits).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    assert poster.in_flight_max == window


async def test_a_small_group_does_not_wait_for_a_large_one() -> None:
    """The small one ends long before the last page of the large one."""
    order: list[str] = []

    def answer(connection: str, *_: object) -> PostResult:
        order.append(connection[0])
        return ACCEPTED

    members = FakeMembers({"a": ids(5000, "a"), "b": ids(5, "b")})
    poster = FakePoster(answer)
    await engine(members, poster).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    last_of_small = max(index for index, name in enumerate(order) if name == "b")
    assert last_of_small < 1000


async def test_leftovers_name_the_owed_frames() -> None:
    """Connections that are owed the same frames are combined."""
    stuck = {"c3=": b"2", "c4=": b"1", "c5=": b"2", "c6=": b"3"}
    poster = FakePoster(lambda connection, data, _: ERROR if stuck.get(connection) == data else ACCEPTED)
    members = FakeMembers({"a": ids(10)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1), (b"2", 2), (b"3", 1))], later())
    (served,) = report.groups
    assert [replace(one, connection_ids=tuple(sorted(one.connection_ids))) for one in served.leftovers] == [
        Leftover("a", ("1.0", "2.0", "2.1", "3.0"), ("c4=",)),
        Leftover("a", ("2.0", "2.1", "3.0"), ("c3=", "c5=")),
        Leftover("a", ("3.0",), ("c6=",)),
    ]
    assert (served.handed_off, served.delivered) == (4 + 2 * 3 + 1, 40 - 11)


async def test_retries_beyond_the_grace_are_handed_off_at_once() -> None:
    """If nothing else is left."""
    poster = FakePoster(lambda connection, *_: ERROR if connection in {"c3=", "c4="} else ACCEPTED)
    members = FakeMembers({"a": ids(50)})
    report = await engine(members, poster, LATE).deliver([group("a", (b"1", 1))], later())
    assert (report.total("delivered"), report.total("handed_off")) == (48, 2)
    assert poster.attempts["c3=", b"1"] == 1


async def test_refusals_add_up_across_invocations() -> None:
    """Even if each invocation hands the client off after the first one."""
    poster = FakePoster(lambda connection, *_: THROTTLED if connection == "c7=" else ACCEPTED)
    # Longer than a pass takes where coverage is measured.
    limits = replace(UNHURRIED, retry_base_s=0.2, refusal_cap_s=0.2, grace_s=0.0)
    served = engine(FakeMembers({"a": ids(50)}), poster, limits)
    passes = 0
    while not poster.deleted:
        report = await served.deliver([group("a", (b"1", 1))], later())
        passes += 1
        assert report.total("handed_off") == (not poster.deleted)
        await asyncio.sleep(limits.refusal_cap_s)
    # A slow machine may fit two refusals into one pass.
    assert 2 <= passes <= 4
    assert poster.deleted == ["c7="]


# Long enough that the machine's pauses don't matter.
UNHURRIED = replace(FAST, retry_base_s=0.02, full_base_s=0.02, refusal_cap_s=0.04)


class Leaving(FakeMembers):
    """Members whose removed connections are on no later page."""

    def discard(self, connection_id: str, group_id: str) -> None:
        super().discard(connection_id, group_id)
        self.groups[group_id].remove(connection_id)


async def passes(served: Engine, count: int, pause_s: float = 0.01) -> list[Report]:
    """So many passes of a lane over the same members."""
    reports = []
    for number in range(count):
        reports.append(await served.deliver([group("a", (b"%d" % number, 1))], later()))
        await asyncio.sleep(pause_s)
    return reports


async def test_clients_that_never_read_cost_a_bounded_number_of_posts() -> None:
    """They are most of a group, over many passes: the window grows, others get everything, nobody waits."""
    slow = set(ids(200))
    poster = FakePoster(lambda connection, *_: FULL if connection in slow else ACCEPTED)
    members = Leaving({"a": ids(220)}, page_size=50)
    everyone = list(members.groups["a"])
    reports = await passes(engine(members, poster, UNHURRIED), 60)
    assert all(len(poster.received[one]) == 60 for one in everyone[200:])
    assert sum(report.total("full") for report in reports) == 200 * REFUSALS_MAX
    assert (set(poster.deleted), len(poster.deleted)) == (slow, 200)
    assert reports[-1].window > FAST.window_start
    assert sum(report.total("throttled") for report in reports) == 0


async def test_independent_environments_still_give_up_a_client() -> None:
    """Two environments alternate on a lane, and the retry function gets their counts."""
    poster = FakePoster(lambda *_: FULL)
    members = FakeMembers({"a": ["c0="]})
    lanes = [engine(members, poster, UNHURRIED) for _ in range(2)]
    retries = engine(members, poster, UNHURRIED)
    for number in range(200):
        (report,) = await passes(lanes[number % 2], 1)
        if poster.deleted:
            break
        for leftover in report.groups[0].leftovers:
            retries.recall(leftover.connection_ids, leftover.refusals)
        await retries.deliver([group("a", (b"%d" % number, 1), connections=["c0="])], later())
    assert poster.deleted
    assert REFUSALS_MAX <= poster.posts_to("c0=") <= 3 * REFUSALS_MAX


async def test_one_post_decides_after_a_refused_close() -> None:
    """Earlier messages are handed off; then the connection is closed and removed."""
    poster = FakePoster(lambda connection, *_: FULL if connection == "c7=" else ACCEPTED)
    poster.delete_answer = THROTTLED
    members = Leaving({"a": ids(9)})
    limits = replace(FAST, full_base_s=0.02, refusal_cap_s=0.5)
    served = engine(members, poster, limits)
    reports = []
    while not poster.deleted:
        reports += await passes(served, 1)
    assert (sum(report.total("slow_closed") for report in reports), members.discarded) == (0, [])
    (soon,) = await passes(served, 1)
    assert (soon.total("handed_off"), poster.posts_to("c7=")) == (1, REFUSALS_MAX)
    poster.delete_answer = ACCEPTED
    await asyncio.sleep(limits.refusal_cap_s)
    (closing,) = await passes(served, 1)
    assert (closing.total("gone"), closing.total("slow_closed")) == (1, 1)
    assert (poster.posts_to("c7="), poster.deleted) == (REFUSALS_MAX + 1, ["c7="] * 2)
    assert members.discarded == ["c7="]


@pytest.mark.parametrize("refusal", [FULL, THROTTLED])
async def test_a_member_that_stays_open_gets_the_next_message(refusal: PostResult) -> None:
    """A throttled account refused its posts and its close, although it reads."""
    poster = FakePoster(lambda *_: refusal)
    poster.delete_answer = THROTTLED
    served = engine(FakeMembers({"a": ["c0="]}), poster)
    while not poster.deleted:
        await passes(served, 1)
    poster.answer = lambda *_: ACCEPTED
    await asyncio.sleep(FAST.refusal_cap_s)
    (report,) = await passes(served, 1)
    assert (report.total("delivered"), report.total("slow_closed")) == (1, 0)


async def test_refusals_far_apart_are_not_in_a_row() -> None:
    """One per message, with more than a streak's time between them: nobody is given up."""
    poster = FakePoster(lambda *_: FULL)
    served = engine(FakeMembers({"a": ["c0="]}), poster)
    for _ in range(2 * REFUSALS_MAX):
        (report,) = await passes(served, 1)
        assert report.groups[0].leftovers[0].refusals == (1,)
        served._world.window.suspects.by_id["c0="].refused_at -= STREAK_S
    assert poster.deleted == []


async def test_a_client_that_reads_slowly_stays() -> None:
    """It repeatedly reaches the limit of refusals, and then accepts a post."""
    answers = itertools.cycle([FULL] * (REFUSALS_MAX - 1) + [ACCEPTED])
    poster = FakePoster(lambda *_: next(answers))
    served = engine(FakeMembers({"a": ["c0="]}), poster)
    reports = await passes(served, 3 * REFUSALS_MAX, FAST.refusal_cap_s)
    assert sum(report.total("delivered") for report in reports) == 3
    assert poster.deleted == []


async def test_a_full_client_delays_nobody() -> None:
    """It is handed off when the others are done, even though its retry is within the grace."""
    poster = FakePoster(lambda connection, *_: FULL if connection == "c7=" else ACCEPTED)
    served = engine(FakeMembers({"a": ids(50)}), poster)
    report = await served.deliver([group("a", (b"1", 1))], later())
    assert (report.total("handed_off"), report.total("full")) == (1, 1)
    (leftover,) = report.groups[0].leftovers
    assert leftover == Leftover("a", ("1.0",), ("c7=",), refusals=(1,), delay_s=FULL_DELAY_S)
    assert outgoing(leftover).delay_s == FULL_DELAY_S


@pytest.mark.parametrize(("answers", "delay_s"), [([FULL], FULL_DELAY_S), ([FULL, ACCEPTED], 0)])
async def test_a_leftover_waits_after_a_full_buffer(answers: list[PostResult], delay_s: int) -> None:
    """Not if a post was accepted after it. The last answer comes after the stop."""
    before_the_stop = iter(answers[:-1])
    poster = FakePoster(lambda one, *_: next(before_the_stop, None) if one == "c0=" else None)
    served = engine(FakeMembers({"a": ["c0=", "other="]}), poster)
    delivering = asyncio.create_task(served.deliver([group("a", (b"1", 1), (b"2", 1))], later(0.1)))
    await asyncio.sleep(0.2)
    poster.held_answer = answers[-1]
    poster.held["c0="]()
    poster.held_answer = ACCEPTED
    poster.held["other="]()
    (report,) = (await delivering).groups
    assert [one.delay_s for one in report.leftovers if "c0=" in one.connection_ids] == [delay_s]


@pytest.mark.parametrize("members", [30, 600])
async def test_only_posts_are_booked(members: int) -> None:
    """Skipped connections take nothing of the budget; their retries do."""
    budget = CountingBudget()
    poster = FakePoster(lambda connection, *_: FULL if connection == "c7=" else ACCEPTED)
    # Longer than a pass takes where coverage is measured.
    limits = replace(UNHURRIED, full_base_s=0.5, refusal_cap_s=1.0)
    served = engine(FakeMembers({"a": ids(members)}), poster, limits, budget)
    await passes(served, 20)
    assert poster.posts_to("c7=") < 20
    assert budget.booked + budget.owed == sum(poster.attempts.values()) + len(poster.deleted)


async def test_a_straggler_is_tried_again_while_others_are_served() -> None:
    """The grace begins when all others are done; until then retries cost no time."""

    def answer(connection: str, _: bytes, attempt: int) -> PostResult | None:
        if connection == "c0=":
            return None
        if connection == "c3=" and attempt < 5:
            return ERROR
        if connection == "c3=":
            asyncio.get_running_loop().call_soon(poster.held["c0="])
        return ACCEPTED

    poster = FakePoster(answer)
    members = FakeMembers({"a": ids(10)})
    limits = replace(FAST, grace_s=0.0)
    report = await engine(members, poster, limits).deliver([group("a", (b"1", 1))], later())
    assert report.total("delivered") == 10


async def test_a_straggler_is_tried_again_while_members_are_read() -> None:
    """The pass waits for the next page anyway."""
    served = asyncio.Event()

    class SlowToRead(FakeMembers):
        async def pages(self, group_id: str, slots: SlotRange) -> AsyncGenerator[Page, None]:
            yield Page(self.groups[group_id], [], slots.last, is_last=False)
            await served.wait()

    def answer(_connection: str, _data: bytes, attempt: int) -> PostResult:
        if attempt < 5:
            return ERROR
        served.set()
        return ACCEPTED

    limits = replace(FAST, grace_s=0.0)
    members = SlowToRead({"a": ["c1="]})
    report = await engine(members, FakePoster(answer), limits).deliver([group("a", (b"1", 1))], later())
    assert report.total("delivered") == 1


async def test_a_group_with_only_retries_left_makes_room() -> None:
    names = [f"g{number}" for number in range(GROUPS_AT_ONCE * 2 + 1)]
    poster = FakePoster(lambda connection, *_: ERROR if connection.endswith("0=") else ACCEPTED)
    members = FakeMembers({name: ids(5, name) for name in names})
    report = await engine(members, poster, LATE).deliver([group(name, (b"1", 1)) for name in names], later())
    assert report.total("delivered") == 4 * len(names)
    assert report.total("handed_off") == len(names)


async def test_a_listed_batch_goes_to_exactly_its_connections() -> None:
    """Other members are not read; gone ones are removed as usual."""
    poster = FakePoster(lambda connection, *_: GONE if connection == "c1=" else ACCEPTED)
    members = FakeMembers({})
    batch = group("a", (b"1", 1), connections=["c1=", "c2="])
    report = await engine(members, poster).deliver([batch], later())
    assert poster.received == {"c2=": [b"1"]}
    assert members.discarded == ["c1="]
    assert left_over(report.groups[0]) == ()


class CountingBudget:
    """Allows everything at once, and counts."""

    is_limited = True
    chunk_posts = 70
    void_after_s = 1.0

    def __init__(self) -> None:
        self.booked = 0
        self.owed = 0

    async def book(self, posts: int) -> float:
        self.booked += posts
        return 0.0

    def owe(self, posts: int) -> None:
        self.owed += posts

    async def settle(self) -> None:
        pass


@pytest.mark.parametrize(("listed", "booked", "owed"), [(20, 0, 40), (21, 42, 0), (450, 900, 0)])
async def test_the_rest_of_a_large_group_is_booked(listed: int, booked: int, owed: int) -> None:
    """Leftovers can be as small as a small group: only a few stragglers start without a booking."""
    budget, poster = CountingBudget(), FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(listed)})
    batch = group("a", (b"1", 1), (b"2", 1), connections=ids(listed))
    report = await engine(members, poster, budget=budget).deliver([batch], later())
    assert (budget.booked, budget.owed, report.total("booked")) == (booked, owed, booked)
    assert report.total("delivered") == 2 * listed


async def test_without_a_budget_nothing_counts_as_booked() -> None:
    """With postsPerSecond 0, as the log shows."""
    poster = FakePoster(lambda *_: ACCEPTED)
    report = await engine(FakeMembers({"a": ids(900)}), poster).deliver([group("a", (b"1", 1))], later())
    assert (report.total("booked"), report.total("delivered")) == (0, 900)


@pytest.mark.parametrize("seed", range(12))
async def test_nothing_is_lost(seed: int) -> None:
    """For any answers and any stop time, leftovers name each undelivered message once."""
    dice = random.Random(seed)
    answers = (ACCEPTED, ERROR, THROTTLED)
    poster = FakePoster(lambda *_: dice.choices(answers, (60, 20, 20))[0])
    members = FakeMembers({"a": ids(1200, "a"), "b": ids(30, "b")}, page_size=200)
    limits = replace(FAST, grace_s=dice.choice((0.0, 0.005)), share_floor=1.0)
    frames = ((b"1", 2), (b"2", 1), (b"3", 3))
    groups = [group("a", *frames), group("b", *frames)]
    report = await engine(members, poster, limits).deliver(groups, later(dice.choice((0.02, 0.05, 20))))
    every = ("1.0", "1.1", "2.0", "3.0", "3.1", "3.2")
    got = {b"1": every[:2], b"2": every[2:3], b"3": every[3:]}
    for served in report.groups:
        owed: dict[str, tuple[str, ...]] = {}
        for leftover in served.leftovers:
            for connection in leftover.connection_ids:
                assert connection not in owed
                owed[connection] = leftover.message_ids
        for connection in members.groups[served.group_id][: served.members]:
            received = [one for data in poster.received.get(connection, ()) for one in got[data]]
            assert (*received, *owed.get(connection, ())) == every


async def test_a_defect_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a callback is raised by the call at once, not after a timeout."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(10)})

    def broken(_report: Report, _delivery_ms: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Report, "note_delivery", broken)
    with pytest.raises(ZeroDivisionError):
        await engine(members, poster).deliver([group("a", (b"1", 1))], later())
