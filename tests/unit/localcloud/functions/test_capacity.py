"""Deciding which function may start another environment, from plain counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from localcloud.errors import FunctionError
from localcloud.functions.capacity import Limits, Pool, next_to_grow
from localcloud.functions.environment import Environment
from localcloud.service.model import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(per_function=2, queue=10)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def environment() -> Environment:
    return Environment(pid=1, on_lost=lambda _: None)


def make(
    loop: asyncio.AbstractEventLoop,
    *,
    busy: int = 0,
    starting: int = 0,
    waiting: int = 0,
    cold_starts: int = 0,
) -> Pool:
    pool = Pool(Function("f", "m.f", 1, 128), starting=starting, cold_starts=cold_starts)
    pool.busy.update(environment() for _ in range(busy))
    pool.waiting.extend(loop.create_future() for _ in range(waiting))
    return pool


def test_each_waiting_invocation_gets_one_start(loop: asyncio.AbstractEventLoop) -> None:
    """Within the function's limit."""
    assert next_to_grow([make(loop, waiting=1, starting=1)], LIMITS) is None
    assert next_to_grow([make(loop, waiting=3, busy=2)], LIMITS) is None
    wanting = make(loop, waiting=2, starting=1)
    assert next_to_grow([make(loop), wanting], LIMITS) is wanting


def test_the_function_with_the_fewest_environments_grows_first(loop: asyncio.AbstractEventLoop) -> None:
    """Then the one with the fewest starts."""
    rich, poor = make(loop, waiting=2, busy=1), make(loop, waiting=1, cold_starts=5)
    assert next_to_grow([rich, poor], LIMITS) is poor
    newer = make(loop, waiting=1, cold_starts=4)
    assert next_to_grow([rich, poor, newer], LIMITS) is newer


def test_invocations_are_answered_in_order_and_cancelled_ones_skipped(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """The first waiting one gets the environment, the next the error, then none is left."""
    pool = make(loop, waiting=3)
    gone, first, second = pool.waiting
    gone.cancel()
    given, error = environment(), FunctionError("f", "Runtime.ExitError", "")
    assert pool.answer_next(given)
    assert pool.answer_next(error)
    assert not pool.answer_next(error)
    assert first.result() is given
    assert second.exception() is error
    assert pool.busy == {given}
