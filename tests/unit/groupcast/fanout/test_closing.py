"""Expired connections are closed, a few at a time and within the time limit."""

from __future__ import annotations

import asyncio

from groupcast.aws.errors import PoolFullError
from groupcast.aws.management import Outcome, PostResult
from groupcast.fanout.departing import CLOSINGS_AT_ONCE, close_all
from tests.unit.groupcast.fanout.support import ACCEPTED, ERROR, GONE, FakeMembers, FakePoster, engine, group

FULL_POOL = PostResult.without_response(PoolFullError())
ANSWERS = {"gone": GONE, "error": ERROR, "full": FULL_POOL}


class Closing(FakePoster):
    """Answers a DELETE by the connection's name, after a delay."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__(lambda *_: ACCEPTED)
        self.wait_s = wait_s
        self.at_once = self.at_once_max = 0

    async def delete(self, connection_id: str) -> PostResult:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(self.wait_s)
        self.at_once -= 1
        self.deleted.append(connection_id)
        return ANSWERS.get(connection_id, PostResult(Outcome.ACCEPTED, 204))


def soon(seconds: float = 60.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_all_are_closed_and_removed() -> None:
    """A few at a time."""
    poster, members = Closing(), FakeMembers({})
    ids = [f"c{number}=" for number in range(200)]
    assert (await close_all(dict.fromkeys(ids, "a"), poster, members, soon())).count == 200
    assert sorted(members.discarded) == sorted(poster.deleted) == sorted(ids)
    assert poster.at_once_max == CLOSINGS_AT_ONCE


async def test_connections_that_could_not_be_closed_stay() -> None:
    """The group's next message finds them again; gone ones are removed."""
    poster, members = Closing(), FakeMembers({})
    closed = await close_all(dict.fromkeys(["error", "full", "gone", "c1="], "a"), poster, members, soon())
    assert (closed.count, dict(closed.refusals)) == (2, {"500": 1, "0 PoolFullError": 1})
    assert sorted(members.discarded) == ["c1=", "gone"]


async def test_closing_keeps_to_its_time_limit() -> None:
    """The rest is left."""
    poster, members = Closing(wait_s=60), FakeMembers({})
    assert (await close_all(dict.fromkeys(["c1="], "a"), poster, members, soon(0.01))).count == 0
    assert members.discarded == []


async def test_a_delivery_closes_expired_members() -> None:
    """They get no message, are closed after the delivery, and are counted separately."""
    poster, members = Closing(), FakeMembers({"a": ["c1="]})
    members.expired = ["c2=", "c3="]
    report = await engine(members, poster).deliver([group("a", (b"1", 1))], soon())
    assert (poster.received, report.total("delivered"), report.expired) == (
        {"c1=": [b"1"]},
        1,
        {"c2=": "a", "c3=": "a"},
    )
    assert sorted(members.discarded) == ["c2=", "c3="]
