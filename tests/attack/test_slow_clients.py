"""Connections of one member that never read: they cost a few posts each, and nobody else is affected."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from groupcast.fanout.limits import Limits
from groupcast.fanout.suspects import REFUSALS_MAX
from tests.attack.never_read import never_reading
from tests.conftest import Stack, running_stack
from tests.crowd import all_have, logged, logged_since, people, surplus

pytestmark = [pytest.mark.stack, pytest.mark.timeout(90)]

SLOW = 40
HONEST = 10
INTERVAL_S = 0.1
ROUNDS_MAX = 200
# The stack's number of environments per function.
ENVIRONMENTS = 4


@pytest.fixture(scope="module")
def vague_429_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose @connections does not name the limit behind a 429."""
    with running_stack(
        tmp_path_factory.mktemp("vague_429_stack") / "functions.log", "--vague-429"
    ) as running:
        yield running


async def refused_posts(stack: Stack) -> tuple[int, int]:
    """The number of refused posts, and the smallest window of all passes meanwhile."""
    before, group_id = len(logged(stack, "fan-out")), f"group-{uuid.uuid4()}"
    async with people(stack, HONEST, group_id) as honest, never_reading(stack, group_id, SLOW):
        for number in range(1, ROUNDS_MAX):
            await asyncio.gather(honest[number % HONEST].say(f"{number}"), asyncio.sleep(INTERVAL_S))
            await all_have(honest, range(1, number + 1))
            passes = logged_since(stack, "fan-out", before)
            if passes and passes[-1]["members"] == HONEST:
                break
        assert surplus(honest) == 0
    assert passes[-1]["members"] == HONEST
    assert not any(one["again"] or one["rejected"] or one["errors"] for one in passes)
    return sum(one["throttled"] + one["full"] for one in passes), min(one["window"] for one in passes)


async def test_a_full_buffer_costs_a_few_posts_and_shrinks_no_window(stack: Stack) -> None:
    """The lane and the retry function together try each a bounded number of times, then close it."""
    refused, window = await refused_posts(stack)
    assert SLOW <= refused <= SLOW * ENVIRONMENTS * REFUSALS_MAX
    assert window >= Limits().window_start


async def test_a_vague_429_costs_a_few_more_posts(vague_429_stack: Stack) -> None:
    """Accepted posts to other members show that the account is not throttled."""
    refused, _ = await refused_posts(vague_429_stack)
    assert SLOW <= refused <= SLOW * 4 * ENVIRONMENTS * REFUSALS_MAX
