from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from groupcast.fanout.queue import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    MAX_REASON_CHARS,
    SEND_ATTEMPTS_MAX,
    Outgoing,
    Queue,
    failure_message,
)
from tests.unit.groupcast.fanout.support import FakeSqs, later

URL = "https://sqs.example/queue"


def outgoing(count: int, size: int = 3) -> list[Outgoing]:
    return [Outgoing(f"{number:0{size}d}", delay_s=number) for number in range(count)]


async def test_messages_travel_together() -> None:
    """All arrive once, with their delays, at most ten in a call."""
    sqs, messages = FakeSqs(), outgoing(23)
    assert await Queue(sqs, URL).send(messages, later()) == [True] * 23
    assert sqs.sent == [(URL, message.body, message.delay_s) for message in messages]
    assert sqs.batch_sizes == [BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX, 3]


async def test_a_call_stays_within_its_bytes() -> None:
    """Large messages travel in smaller company."""
    sqs = FakeSqs()
    assert all(await Queue(sqs, URL).send(outgoing(7, BATCH_BYTES_MAX // 3), later()))
    assert sqs.batch_sizes == [3, 3, 1]


async def test_a_refused_entry_is_sent_again_and_the_others_are_not() -> None:
    """SendMessageBatch may take some and refuse others."""
    sqs = FakeSqs()
    refused = iter([False])
    sqs.fails = lambda body: next(refused, None) if body == "002" else None
    assert await Queue(sqs, URL).send(outgoing(4), later()) == [True] * 4
    assert sqs.batch_sizes == [4, 1]
    assert sorted(sqs.bodies(URL)) == ["000", "001", "002", "003"]


async def test_an_entry_that_is_always_refused_is_reported() -> None:
    """After the named attempts, and at once where it is the sender's fault."""
    sqs = FakeSqs()
    sqs.fails = {"001": False, "002": True}.get
    assert await Queue(sqs, URL).send(outgoing(4), later()) == [True, False, False, True]
    assert sqs.batch_sizes == [4, *[1] * (SEND_ATTEMPTS_MAX - 1)]


async def test_a_call_that_fails_costs_only_its_own_entries() -> None:
    """The next ten are sent all the same."""
    sqs = FakeSqs()
    sqs.broken = 1
    taken = await Queue(sqs, URL).send(outgoing(12), later())
    assert taken == [*[False] * 10, True, True]


async def test_no_wait_goes_beyond_the_time() -> None:
    """Where SQS does not answer, what it has taken so far is known."""

    class Hanging(FakeSqs):
        async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
            if self.calls == 1:
                await asyncio.Event().wait()
            return await super().call(operation, payload)

    assert await Queue(Hanging(), URL).send(outgoing(12), later(0.05)) == [*[True] * 10, False, False]


def test_a_failure_message_is_cut_to_what_a_queue_takes() -> None:
    """Why and of which item is kept, whatever the item is."""
    short = json.loads(failure_message("because", "17", {"record": {"a": 1}}).body)
    assert short == {"reason": "because", "itemIdentifier": "17", "record": {"a": 1}}
    message = failure_message("x" * 300_000, "17", {"record": {"text": '"' * 400_000}})
    assert len(message.body) <= BATCH_BYTES_MAX
    cut = json.loads(message.body)
    assert (len(cut["reason"]), cut["itemIdentifier"]) == (MAX_REASON_CHARS, "17")
    assert cut["beginning"].startswith('{"record": {"text": ')
