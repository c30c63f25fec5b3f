"""Delays on a fake clock: an event starts exactly when its delay is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from localcloud.hops import Hop, HopDelays, HopProfile

NOW_S = 1_800_000_000.0
FIFO = "arn:aws:sqs:us-east-1:123456789012:delivery.fifo"
STANDARD = "arn:aws:sqs:us-east-1:123456789012:retry"


def always(ms: float) -> Hop:
    return Hop(ms, ms, ms, ms)


PROFILE = HopProfile(always(500), always(40), always(30), always(12), always(8))


class Recorder:
    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        return function, event


@pytest.fixture
def slept_ms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The slept time in whole milliseconds, with a stopped clock."""
    slept: list[int] = []

    async def sleep(wait_s: float) -> None:
        slept.append(round(wait_s * 1000))

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    return slept


def batch(*ages_ms: int, arn: str = FIFO) -> dict[str, Any]:
    """An SQS event of messages sent so long ago."""
    sent = [str(round(NOW_S * 1000) - age_ms) for age_ms in ages_ms]
    return {"Records": [{"eventSourceARN": arn, "attributes": {"SentTimestamp": at}} for at in sent]}


@pytest.mark.parametrize(
    ("event", "wait_ms"),
    [
        (batch(0), 30),
        (batch(10), 20),
        (batch(3, 10, 1), 20),
        (batch(30), 0),
        (batch(45_000, 2), 0),
        (batch(10, arn=STANDARD), 30),
    ],
    ids=["just sent", "some of it over", "the oldest counts", "just over", "received again", "standard"],
)
async def test_a_batch_waits_for_the_rest_of_its_hop(
    slept_ms: list[int], event: dict[str, Any], wait_ms: int
) -> None:
    """The time since SQS accepted the oldest message counts."""
    invoker = HopDelays(PROFILE).queues(Recorder())
    assert await invoker.invoke("f", event) == ("f", event)
    assert slept_ms == [wait_ms]


async def test_only_the_gateways_events_have_a_route_delay(slept_ms: list[int]) -> None:
    """A batch from a stream or a queue passes at once."""
    invoker = HopDelays(PROFILE).routes(Recorder())
    await invoker.invoke("f", batch(0))
    assert slept_ms == []
    assert await invoker.invoke("f", {"requestContext": {}}) == ("f", {"requestContext": {}})
    assert slept_ms == [12]


def test_draws_repeat_with_their_seed_and_do_not_disturb_each_other() -> None:
    """Other hops' draws do not change them; another seed does."""
    wide = Hop(1, 10, 100, 1000)
    profile = HopProfile(wide, wide, wide, wide, wide)
    one, same, other = HopDelays(profile, 1), HopDelays(profile, 1), HopDelays(profile, 2)
    first = [one.fifo_queue_s() for _ in range(20)]
    again = [(same.post_s(), same.fifo_queue_s())[1] for _ in range(20)]
    assert first == again
    assert first != [other.fifo_queue_s() for _ in range(20)]
    assert first != [one.queue_s() for _ in range(20)]
