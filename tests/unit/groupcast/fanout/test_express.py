"""A sender's message is offered by itself or left to the stream. Over real tables."""

from __future__ import annotations

import asyncio

from groupcast.fanout.express import Express
from groupcast.fanout.queue import Queue
from groupcast.model import Audience
from groupcast.tables.items import StoredMessage
from tests.unit.groupcast.fanout.support import FakeSqs, message


async def test_after_a_failure_messages_are_left_to_the_stream_for_five_seconds() -> None:
    """The failure is told once, with the message's key."""
    clock_s = [asyncio.get_running_loop().time()]
    sqs, failed = FakeSqs(), list[str]()
    sqs.fails = lambda _: True
    queue = Queue(sqs, "https://sqs.example/delivery.fifo")
    express = Express(queue, loop_time=lambda: clock_s[0], on_failure=failed.append)
    await express.offer(StoredMessage(message(1), Audience(1, 1), express=True))
    failed_at_s = clock_s[0]
    is_open = []
    for after_s in (0.0, 4.99, 5.01):
        clock_s[0] = failed_at_s + after_s
        is_open.append(express.is_open)
    assert (failed, is_open) == (["a-1"], [False, False, True])


def test_an_offer_is_held_back_for_thirty_milliseconds_at_most() -> None:
    """However far the other sender's clock is ahead."""
    assert [Express.turn_s(moved, 1_000) for moved in (960, 970, 985, 1_000, 9_000)] == [
        0,
        0,
        0.015,
        0.03,
        0.03,
    ]
