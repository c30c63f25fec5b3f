"""One member's connections that never read: they cost a few posts each, and nobody else notices."""

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
# As many of each function as the stack starts.
ENVIRONMENTS = 4


@pytest.fixture(scope="module")
def vague(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose @connections does not say whose limit a 429 was."""
    with running_stack(tmp_path_factory.mktemp("vague") / "functions.log", "--vague-429") as running:
        yield running


async def refused_posts(stack: Stack) -> tuple[int, int]:
    """What the attack costs in refused posts, and the smallest window of all passes meanwhile."""
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
    """Each is refused a bounded number of times by the lane and the retry function together, and closed."""
    refused, window = await refused_posts(stack)
    assert SLOW <= refused <= SLOW * ENVIRONMENTS * REFUSALS_MAX
    assert window >= Limits().window_start


async def test_so_it_is_where_nobody_says_whose_limit_it_was(vague: Stack) -> None:
    """Those who read tell that the account is not throttled: it takes a few more posts."""
    refused, _ = await refused_posts(vague)
    assert SLOW <= refused <= SLOW * 4 * ENVIRONMENTS * REFUSALS_MAX
