"""The engine against a poster whose answers the test chooses: pure faults, no sockets."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable

import pytest

from groupcast.aws.management import Outcome, PostResult
from groupcast.fanout.batch import Frame, GroupBatch
from groupcast.fanout.engine import Engine
from groupcast.fanout.pace import Limits

FAST = Limits(retry_base_s=0.001, retry_cap_s=0.005)
ACCEPTED = PostResult(Outcome.ACCEPTED, 200)
GONE = PostResult(Outcome.GONE, 410)
THROTTLED = PostResult(Outcome.THROTTLED, 429)
ERROR = PostResult(Outcome.RETRYABLE, 500)
REFUSED = PostResult(Outcome.REFUSED, 413, "PayloadTooLargeException")

Answer = Callable[[str, bytes, int], PostResult | None]


class FakePoster:
    """Answers each post with `answer(connection_id, data, attempt)`; None never answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: dict[str, list[bytes]] = {}
        self.attempts: Counter[tuple[str, bytes]] = Counter()
        self.deleted: list[str] = []
        self.in_flight = 0
        self.in_flight_max = 0

    async def batch(self, data: bytes) -> FakePost:
        return FakePost(self, data)

    async def delete(self, connection_id: str) -> PostResult:
        self.deleted.append(connection_id)
        return PostResult(Outcome.ACCEPTED, 204)


class FakePost:
    def __init__(self, poster: FakePoster, data: bytes) -> None:
        self._poster = poster
        self._data = data

    def send(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        poster = self._poster
        poster.attempts[connection_id, self._data] += 1
        poster.in_flight += 1
        poster.in_flight_max = max(poster.in_flight_max, poster.in_flight)
        result = poster.answer(connection_id, self._data, poster.attempts[connection_id, self._data])
        if result is None:
            return
        if result.outcome is Outcome.ACCEPTED:
            poster.received.setdefault(connection_id, []).append(self._data)
        asyncio.get_running_loop().call_soon(self._done, connection_id, on_result, result)

    def _done(
        self, connection_id: str, on_result: Callable[[str, PostResult], None], result: PostResult
    ) -> None:
        self._poster.in_flight -= 1
        on_result(connection_id, result)


class FakeMembers:
    def __init__(self, groups: dict[str, list[str]], page_size: int = 100) -> None:
        self.groups = groups
        self.page_size = page_size
        self.discarded: list[str] = []
        self.broken_after: int | None = None

    async def pages(self, group_id: str) -> AsyncGenerator[list[str], None]:
        ids = self.groups[group_id]
        for page, start in enumerate(range(0, len(ids), self.page_size)):
            if page == self.broken_after:
                raise OSError("no more pages")
            await asyncio.sleep(0)
            yield ids[start : start + self.page_size]

    def discard(self, connection_id: str) -> None:
        self.discarded.append(connection_id)

    async def flush(self) -> None:
        pass


def group(name: str, *frames: tuple[bytes, int]) -> GroupBatch:
    made = tuple(Frame(data, messages, 0) for data, messages in frames)
    return GroupBatch(name, made, sum(messages for _, messages in frames), "100")


def ids(count: int, prefix: str = "c") -> list[str]:
    return [f"{prefix}{number}=" for number in range(count)]


def engine(members: FakeMembers, poster: FakePoster, limits: Limits = FAST) -> Engine:
    return Engine(members, poster, limits, random.Random(7).random)


def later(seconds: float = 20.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_everyone_gets_every_frame_in_order() -> None:
    """Frames to one connection are posted one after the other, also when some have to be repeated."""
    dice = random.Random(3)
    poster = FakePoster(lambda *_: dice.choices((ACCEPTED, ERROR, THROTTLED), (80, 10, 10))[0])
    members = FakeMembers({"a": ids(950)})
    report = await engine(members, poster).deliver([group("a", (b"1", 2), (b"2", 1), (b"3", 4))], later())
    assert all(poster.received[connection] == [b"1", b"2", b"3"] for connection in members.groups["a"])
    assert report.total("delivered") == 950 * 7
    assert report.groups[0].pages == 10
    assert not report.groups[0].left_over


async def test_the_gone_are_discarded_once_and_not_posted_to_again() -> None:
    """A 410 ends a connection: the rest of its frames are not even tried."""
    gone = set(ids(100)[::3])
    poster = FakePoster(lambda connection, *_: GONE if connection in gone else ACCEPTED)
    members = FakeMembers({"a": ids(100)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1), (b"2", 1))], later())
    assert sorted(members.discarded) == sorted(gone)
    assert report.total("gone") == 2 * len(gone)
    assert report.total("gone_connections") == len(gone)
    assert report.total("delivered") == 2 * (100 - len(gone))
    assert all(poster.attempts[connection, b"2"] == 0 for connection in gone)


async def test_a_refused_frame_is_not_repeated_and_the_next_still_goes_out() -> None:
    """413 is final for its frame, and says nothing of the connection."""
    poster = FakePoster(lambda _, data, __: REFUSED if data == b"large" else ACCEPTED)
    members = FakeMembers({"a": ids(5)})
    report = await engine(members, poster).deliver([group("a", (b"large", 1), (b"small", 1))], later())
    assert (report.total("refused"), report.total("delivered")) == (5, 5)
    assert report.groups[0].refusals == {"413 PayloadTooLargeException": 5}
    assert members.discarded == []


async def test_a_client_that_takes_nothing_is_closed_and_delays_nobody() -> None:
    """One connection that is always turned away is given up; its group is served whole and in one go."""
    poster = FakePoster(lambda connection, *_: THROTTLED if connection == "c7=" else ACCEPTED)
    members = FakeMembers({"a": ids(200)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later())
    assert poster.deleted == ["c7="]
    assert (report.total("delivered"), report.total("gone"), report.total("slow_closed")) == (199, 1, 1)
    assert poster.attempts["c7=", b"1"] == 4
    assert not report.groups[0].left_over


async def test_a_throttled_account_closes_nobody() -> None:
    """When everyone is turned away for a while, all are served in the end."""
    poster = FakePoster(lambda _, __, attempt: THROTTLED if attempt <= 12 else ACCEPTED)
    members = FakeMembers({"a": ids(300)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later())
    assert report.total("delivered") == 300
    assert poster.deleted == []
    assert report.window < FAST.window_start


async def test_what_never_works_is_handed_off() -> None:
    """After the named attempts a post that only fails is left over, and the group says so."""
    poster = FakePoster(lambda connection, *_: ERROR if connection == "c3=" else ACCEPTED)
    members = FakeMembers({"a": ids(10)})
    report = await engine(members, poster).deliver([group("a", (b"1", 3))], later())
    assert (report.total("delivered"), report.total("handed_off")) == (27, 3)
    assert poster.attempts["c3=", b"1"] == FAST.attempts_max
    assert report.groups[0].left_over


async def test_at_the_stop_nothing_new_is_sent_and_the_rest_is_left_over() -> None:
    """What waits and what is delayed is handed off; what was under way still counts."""
    poster = FakePoster(lambda *_: THROTTLED)
    members = FakeMembers({"a": ids(1000)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later(0.05))
    assert report.groups[0].left_over
    assert report.total("handed_off") == report.total("members")


async def test_a_stop_before_the_first_page_leaves_the_group_unread() -> None:
    """Members nobody asked for are not forgotten: the group is left over."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(10)})
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], later(-1))
    assert report.groups[0].unread
    assert report.groups[0].left_over
    assert poster.received == {}


async def test_a_page_that_cannot_be_read_leaves_only_its_group_over() -> None:
    """Those read before are served, the other group is whole, and the error is kept for the log."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(250, "a"), "b": ids(50, "b")})
    members.broken_after = 1
    report = await engine(members, poster).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    by_name = {one.group_id: one for one in report.groups}
    assert by_name["a"].unread
    assert by_name["a"].error == "OSError: no more pages"
    assert by_name["a"].delivered == 100
    assert not by_name["b"].left_over
    assert by_name["b"].delivered == 50


@pytest.mark.parametrize("window", [1, 7, 64])
async def test_the_window_bounds_what_is_under_way(window: int) -> None:
    """Never more posts at once than the window allows."""
    poster = FakePoster(lambda *_: ACCEPTED)
    members = FakeMembers({"a": ids(500), "b": ids(500)})
    limits = Limits(window_start=window, window_min=1, window_max=window)
    await engine(members, poster, limits).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    assert poster.in_flight_max == window


async def test_a_small_group_does_not_wait_for_a_large_one() -> None:
    """Groups are served side by side: the small one is done long before the last page of the large."""
    order: list[str] = []

    def answer(connection: str, *_: object) -> PostResult:
        order.append(connection[0])
        return ACCEPTED

    members = FakeMembers({"a": ids(5000, "a"), "b": ids(5, "b")})
    poster = FakePoster(answer)
    await engine(members, poster).deliver([group("a", (b"1", 1)), group("b", (b"2", 1))], later())
    last_of_small = max(index for index, name in enumerate(order) if name == "b")
    assert last_of_small < 1000
