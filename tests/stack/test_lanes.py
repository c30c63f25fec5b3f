"""A group gets lanes as it grows, and loses them again: everyone gets everything once."""

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

# Few members are spread over their slots unevenly: one lane's share of them shows roughly how many there are.
MEMBERS_PER_LANE = 10
GUESTS = 36
# So few that no share of them asks for a second lane.
STAYERS = 4
LANES = 3


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose groups get a lane for every few members."""
    log = tmp_path_factory.mktemp("divided") / "functions.log"
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


class Talk:
    """People who say something all the time, in turns."""

    def __init__(self, speakers: list[Person], interval_s: float) -> None:
        self._speakers = speakers
        self._interval_s = interval_s
        self._over = asyncio.Event()
        self.last_seq = 0

    async def go_on(self) -> None:
        """Speak until `end`; nobody waits for another's ack."""
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
    """How many slots the narrowest lane had; a lane that is all of the group has all."""
    return min((last - first + 1 for line in lines for first, last in line["slots"]), default=SLOTS)


async def test_the_number_of_lanes_changes_under_load(divided: Stack, group: str) -> None:
    """From one to three and back, with offers of both kinds under way: everyone gets everything once."""
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
        stayers = await opened.enter_async_context(people(divided, STAYERS, group))
        talk = Talk(stayers, interval_s=0.03)
        talking = tasks.create_task(talk.go_on())
        async with people(divided, GUESTS, group) as guests:
            await eventually(lambda: narrowest(logged(divided, "fan-out")) <= SLOTS // LANES)
            reached = talk.last_seq + 20
            await asyncio.gather(
                *(all_have([one], range(one.joined_at + 1, reached)) for one in [*stayers, *guests])
            )
        # All of its messages since: what was offered to more lanes is delivered by then.
        await eventually(lambda: narrowest(logged(divided, "fan-out")[-5:]) == SLOTS)
        talk.end()
        await talking
        await all_have(stayers, range(1, talk.last_seq + 1))
        # An offer of before the change and one of after it may name the same slots twice, rarely.
        assert surplus([*stayers, *guests]) <= 0.01 * sum(len(one.got) for one in [*stayers, *guests])
