"""A group gains and loses lanes with its size: everyone gets everything once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from groupcast.slots import SLOTS
from tests.conftest import Stack, running_stack
from tests.crowd import Person, all_have, eventually, logged, people, surplus

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

# A few members spread unevenly over slots, so one lane's share gives only a rough count.
MEMBERS_PER_LANE = 10
GUESTS = 36
# So few that no lane's share suggests a second lane.
STAYERS = 4
LANES = 3


@pytest.fixture(scope="module")
def many_lanes_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose groups get a lane for every few members."""
    log = tmp_path_factory.mktemp("many_lanes_stack") / "functions.log"
    with running_stack(
        log,
        "--param",
        f"membersPerLane={MEMBERS_PER_LANE}",
        "--handler",
        "fanoutMessage=tests.functions.hurried_worker.handler",
    ) as running:
        yield running


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4()}"


class Conversation:
    """Members who send all the time, in turns."""

    def __init__(self, speakers: list[Person], interval_s: float) -> None:
        self._speakers = speakers
        self._interval_s = interval_s
        self._over = asyncio.Event()
        self.last_seq = 0

    async def run(self) -> None:
        """Send until `end`, without waiting for other members' acks."""
        async with asyncio.TaskGroup() as saying:
            for turn in range(10_000):
                if self._over.is_set():
                    return
                saying.create_task(self._say(self._speakers[turn % len(self._speakers)], f"turn {turn}"))
                await asyncio.sleep(self._interval_s)

    def end(self) -> None:
        self._over.set()

    async def _say(self, person: Person, text: str) -> None:
        self.last_seq = max(self.last_seq, (await person.say(text))["seq"])


def narrowest(lines: list[dict[str, Any]]) -> int:
    """The number of slots of the narrowest lane; a single lane has all."""
    return min((last - first + 1 for line in lines for first, last in line["slots"]), default=SLOTS)


async def test_the_number_of_lanes_changes_under_load(many_lanes_stack: Stack, group: str) -> None:
    """From one to three and back, with both kinds of offers under way: everyone gets everything once."""
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
        stayers = await opened.enter_async_context(people(many_lanes_stack, STAYERS, group))
        talk = Conversation(stayers, interval_s=0.03)
        talking = tasks.create_task(talk.run())
        async with people(many_lanes_stack, GUESTS, group) as guests:
            await eventually(lambda: narrowest(logged(many_lanes_stack, "fan-out")) <= SLOTS // LANES)
            reached = talk.last_seq + 20
            await asyncio.gather(
                *(all_have([one], range(one.joined_at + 1, reached)) for one in [*stayers, *guests])
            )
        # All later messages: offers to more lanes are delivered by then.
        await eventually(lambda: narrowest(logged(many_lanes_stack, "fan-out")[-5:]) == SLOTS)
        talk.end()
        await talking
        await all_have(stayers, range(1, talk.last_seq + 1))
        # Offers from before and after the change may rarely cover the same slots twice.
        assert surplus([*stayers, *guests]) <= 0.01 * sum(len(one.got) for one in [*stayers, *guests])
