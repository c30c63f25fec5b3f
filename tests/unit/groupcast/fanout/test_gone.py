"""410s: which connections are removed at once, and which get another try because it may be false."""

from __future__ import annotations

import pytest

from groupcast.errors import GroupcastError
from groupcast.fanout.departing import GONE_DELAY_S
from groupcast.fanout.leftover import Leftover
from tests.unit.groupcast.fanout.support import (
    ACCEPTED,
    GONE,
    FakeActivity,
    FakeMembers,
    FakePoster,
    engine,
    group,
    ids,
    later,
)

TWO_FRAMES = ((b"1", 2), (b"2", 1))


def gone_to(*connection_ids: str) -> FakePoster:
    return FakePoster(lambda connection, *_: GONE if connection in connection_ids else ACCEPTED)


async def test_only_a_recently_active_connection_gets_another_try() -> None:
    """Its messages are handed off to wait a little; the others are removed at once."""
    members, activity = FakeMembers({"a": ids(20)}), FakeActivity("c3=", "c5=")
    report = await engine(members, gone_to("c3=", "c4="), activity=activity).deliver(
        [group("a", *TWO_FRAMES)], later()
    )
    assert activity.asked == [["c3=", "c4="]]
    assert members.discarded == ["c4="]
    (served,) = report.groups
    assert served.leftovers == (
        Leftover("a", ("1.0", "1.1", "2.0"), ("c3=",), told_gone=True, delay_s=GONE_DELAY_S),
    )
    assert (served.delivered, served.gone, served.handed_off, served.gone_false) == (18 * 3, 3, 3, 0)


async def test_a_connection_gone_between_two_frames_is_owed_the_rest() -> None:
    """Accepted frames are not repeated."""
    poster = FakePoster(lambda connection, data, _: GONE if (connection, data) == ("c0=", b"2") else ACCEPTED)
    members = FakeMembers({"a": ids(2)})
    report = await engine(members, poster, activity=FakeActivity("c0=")).deliver(
        [group("a", *TWO_FRAMES)], later()
    )
    assert [left.message_ids for left in report.groups[0].leftovers] == [("2.0",)]


async def test_accepted_posts_need_no_lookup() -> None:
    """A normal message costs nothing more."""
    activity = FakeActivity()
    await engine(FakeMembers({"a": ids(20)}), gone_to(), activity=activity).deliver(
        [group("a", (b"1", 1))], later()
    )
    assert activity.asked == []


@pytest.mark.parametrize("failure", [GroupcastError("no answer"), KeyError("a corrupt item"), None])
async def test_a_failed_lookup_gives_another_try(failure: Exception | None) -> None:
    """Whether DynamoDB fails or hangs: one more post to a gone connection is harmless."""
    members, activity = FakeMembers({"a": ids(3)}), FakeActivity()
    activity.failure, activity.hangs = failure, failure is None
    report = await engine(members, gone_to("c1="), activity=activity).deliver(
        [group("a", (b"1", 1))], later(0.05)
    )
    assert (members.discarded, report.total("handed_off"), report.total("delivered")) == ([], 1, 2)
