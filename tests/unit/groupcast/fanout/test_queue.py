from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from groupcast.fanout.queue import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    REASON_CHARS_MAX,
    SEND_ATTEMPTS_MAX,
    Outgoing,
    Queue,
    malformed,
)
from tests.unit.groupcast.fanout.support import FakeSqs, later

URL = "https://sqs.example/queue"


def outgoing(count: int, size: int = 3) -> list[Outgoing]:
    return [Outgoing(f"{number:0{size}d}", delay_s=number) for number in range(count)]


async def test_messages_are_sent_in_batches() -> None:
    """All arrive once, with their delays, at most ten per call."""
    sqs, messages = FakeSqs(), outgoing(23)
    assert await Queue(sqs, URL).send(messages, later()) == [True] * 23
    assert sqs.sent == [(URL, message.body, message.delay_s) for message in messages]
    assert sqs.batch_sizes == [BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX, 3]


async def test_a_call_stays_within_its_bytes() -> None:
    """Large messages go in smaller batches."""
    sqs = FakeSqs()
    assert all(await Queue(sqs, URL).send(outgoing(7, BATCH_BYTES_MAX // 3), later()))
    assert sqs.batch_sizes == [3, 3, 1]


async def test_a_refused_entry_is_sent_again_and_the_others_are_not() -> None:
    """SendMessageBatch may accept some entries and refuse others."""
    sqs = FakeSqs()
    refused = iter([False])
    sqs.fails = lambda body: next(refused, None) if body == "002" else None
    assert await Queue(sqs, URL).send(outgoing(4), later()) == [True] * 4
    assert sqs.batch_sizes == [4, 1]
    assert sorted(sqs.bodies(URL)) == ["000", "001", "002", "003"]


async def test_an_entry_that_is_always_refused_is_reported() -> None:
    """After the limit of attempts, or at once if it is the sender's fault."""
    sqs = FakeSqs()
    sqs.fails = {"001": False, "002": True}.get
    assert await Queue(sqs, URL).send(outgoing(4), later()) == [True, False, False, True]
    assert sqs.batch_sizes == [4, *[1] * (SEND_ATTEMPTS_MAX - 1)]


async def test_a_call_that_fails_costs_only_its_own_entries() -> None:
    """The next ten are still sent."""
    sqs = FakeSqs()
    sqs.broken = 1
    taken = await Queue(sqs, URL).send(outgoing(12), later())
    assert taken == [*[False] * 10, True, True]


async def test_no_wait_exceeds_the_time_limit() -> None:
    """If SQS stops answering, earlier successes are known."""

    class Hanging(FakeSqs):
        async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
            if self.calls == 1:
                await asyncio.Event().wait()
            return await super().call(operation, payload)

    assert await Queue(Hanging(), URL).send(outgoing(12), later(0.05)) == [*[True] * 10, False, False]


def test_a_failure_message_is_cut_to_sqss_limit() -> None:
    """With its attributes, and a reason in characters that SQS accepts."""
    assert malformed("ä", "because", "17") == Outgoing("ä", reason="because", item="17")
    message = malformed("ä" * 300_000, "ä\n" + "x" * 300_000, "17")
    assert set(message.body) == {"ä"}
    assert (
        len(message.body.encode()) + len("reasonStringitemString17") + len(message.reason) <= BATCH_BYTES_MAX
    )
    assert message.reason == "??" + "x" * (REASON_CHARS_MAX - 2)


async def test_failures_travel_with_their_attributes() -> None:
    """As many per request as fit, attributes included."""
    sqs = FakeSqs()
    failures = [malformed("x" * 131_000, "because", str(item)) for item in range(2)]
    assert all(await Queue(sqs, URL).send(failures, later()))
    assert sqs.batch_sizes == [1, 1]
    assert sqs.entries[1]["MessageAttributes"] == {
        "reason": {"DataType": "String", "StringValue": "because"},
        "item": {"DataType": "String", "StringValue": "1"},
    }


async def test_a_call_may_be_full_to_the_last_byte() -> None:
    """256 KB go in one request, a byte more in two."""
    for more, batch_sizes in ((0, [2]), (1, [1, 1])):
        sqs = FakeSqs()
        bodies = [Outgoing("x" * (128 * 1024)), Outgoing("x" * (128 * 1024 + more))]
        assert all(await Queue(sqs, URL).send(bodies, later()))
        assert sqs.batch_sizes == batch_sizes
