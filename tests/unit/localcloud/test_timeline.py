"""The timeline's lines for messages on either path, from functions' events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud import timeline as module
from localcloud.timeline import Timeline

A, B, C = (f"0192f0c1-2345-7abc-8def-00000000000{digit}" for digit in "abc")
STREAM_POINTS = ["accepted_ns", "stored_ns", "read_ns", "started_ns", "first_post_ns", "last_post_ns"]
EXPRESS_POINTS = ["accepted_ns", "offered_ns", "received_ns", "first_post_ns", "last_post_ns"]


class World:
    """A timeline over a test's functions, and its written lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.timeline = Timeline(self, path)
        self._work: Callable[[], Any] = lambda: None

    async def invoke(self, _function: str, _event: Mapping[str, Any]) -> Any:
        return self._work()

    async def send(self, message_id: str) -> None:
        body = json.dumps({"action": "sendMessage", "messageId": message_id, "message": "hi"})
        event = {"requestContext": {"routeKey": "sendMessage"}, "body": body}
        await self.timeline.invoke("sendMessage", event)

    async def run(self, event: dict[str, Any], work: Callable[[], Any] = lambda: None) -> Any:
        self._work = work
        try:
            return await self.timeline.invoke("f", event)
        finally:
            self._work = lambda: None

    def post(self, *message_ids: str, times: int = 1, more: int = 0) -> None:
        messages = [{"messageId": message_id, "seq": more} for message_id in message_ids]
        for _ in range(times):
            self.timeline.posted(json.dumps({"type": "messages", "messages": messages}).encode())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "timeline.jsonl")
    yield made
    made.timeline.close()


def stream_event(*message_ids: str) -> dict[str, Any]:
    records = [{"Keys": {"messageId": {"S": message_id}}} for message_id in message_ids]
    return {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": record} for record in records]}


def queue_event(*bodies: object, age_ms: int = 0) -> dict[str, Any]:
    sent = str(time.time_ns() // 1_000_000 - age_ms)
    attributes = {"SentTimestamp": sent}
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [{"eventSource": "aws:sqs", "body": text, "attributes": attributes} for text in texts]}


def offer(*message_ids: str) -> dict[str, Any]:
    messages = [{"messageId": message_id, "seq": 1} for message_id in message_ids]
    return {"groupId": "g", "slots": [0, 65_535], "messages": messages}


def in_order(line: Mapping[str, Any], points: list[str]) -> bool:
    times = [line[point] for point in points]
    return times == sorted(times)


async def test_delivery_by_the_stream(world: World) -> None:
    """Accepted, acknowledged, read, its batch started, first and last post; no offer."""
    await world.send(A)
    event = stream_event(A)
    world.timeline.observe(event["Records"])
    await world.run(event, lambda: world.post(A, times=3))
    (line,) = world.lines()
    assert set(line) == {"messageId", *STREAM_POINTS}
    assert in_order(line, STREAM_POINTS)
    assert line["first_post_ns"] < line["last_post_ns"]


async def test_delivery_by_an_express_offer(world: World) -> None:
    """The offer counts from SQS's acceptance; the stream's later batch writes nothing."""
    await world.send(A)
    await world.run(queue_event(offer(A), age_ms=0), lambda: world.post(A, times=2))
    event = stream_event(A)
    world.timeline.observe(event["Records"])
    await world.run(event)
    (line,) = world.lines()
    assert set(line) == {"messageId", "stored_ns", *EXPRESS_POINTS}
    # SQS's clock has a resolution of a millisecond; a wrong unit would be off by far more.
    assert line["accepted_ns"] - line["offered_ns"] < 1_000_000_000
    assert in_order(line, EXPRESS_POINTS[1:])


async def test_delivery_by_an_offer_of_the_stream(world: World) -> None:
    """Read before it was offered: both points exist, and the stream's batch posted nothing."""
    for message_id in (A, B):
        await world.send(message_id)
    event = stream_event(A, B)
    world.timeline.observe(event["Records"])
    await world.run(event)
    assert world.lines() == []
    await asyncio.sleep(0.002)
    await world.run(queue_event(offer(A, B)), lambda: world.post(A, B))
    lines = world.lines()
    assert [line["messageId"] for line in lines] == [A, B]
    for line in lines:
        assert in_order(line, ["read_ns", "started_ns", "offered_ns", "received_ns", "first_post_ns"])


async def test_a_signed_in_users_message_is_found_by_its_key(world: World) -> None:
    """In the stream and in leftovers, which use the table's keys; void numbers are left out."""
    await world.send(A)
    event = stream_event(f"0000-ann:{A}")
    world.timeline.observe(event["Records"])
    await world.run(event, lambda: world.post(A))
    void = {"type": "messages", "messages": [{"messageId": A, "seq": 1}, {"seq": 2, "void": True}]}
    left_over = queue_event({"messageIds": [f"0000-ann:{A}"]})
    await world.run(left_over, lambda: world.timeline.posted(json.dumps(void).encode()))
    first, last = world.lines()
    assert set(first) == {"messageId", *STREAM_POINTS}
    assert first["last_post_ns"] < last["last_post_ns"]


async def test_time_in_the_queue_comes_from_sqs(world: World) -> None:
    await world.send(A)
    await world.run(queue_event(offer(A), age_ms=5_000), lambda: world.post(A))
    (line,) = world.lines()
    assert line["received_ns"] - line["offered_ns"] == pytest.approx(5e9, abs=2e8)


async def test_lanes_and_retries_add_lines_of_which_the_last_counts(world: World) -> None:
    """Their posts keep the first points and move the last post."""
    await world.send(A)
    await world.run(queue_event(offer(A)), lambda: world.post(A))
    await world.run(queue_event(offer(A)), lambda: world.post(A, more=1))
    await world.run(queue_event({"groupId": "g", "messageIds": [A], "tries": 1}), lambda: world.post(A))
    # It posted nothing, so there is no new line.
    await world.run(queue_event({"groupId": "g", "messageIds": [A], "tries": 2}))
    first, second, third = world.lines()
    same = ["accepted_ns", "offered_ns", "received_ns", "first_post_ns"]
    assert [first[point] for point in same] == [third[point] for point in same]
    assert first["last_post_ns"] < second["last_post_ns"] < third["last_post_ns"]


async def test_a_leftover_in_stream_mode_is_no_offer(world: World) -> None:
    """The stream's batch still counts as its start."""
    await world.send(A)
    await world.run(stream_event(A), lambda: world.post(A))
    await world.run(queue_event({"groupId": "g", "messageIds": [A], "tries": 1}), lambda: world.post(A))
    assert all("offered_ns" not in line and "received_ns" not in line for line in world.lines())
    assert len(world.lines()) == 2


async def test_a_fan_out_that_fails_is_written_as_far_as_it_got(world: World) -> None:
    """Its posts count, and its caller gets the error."""

    def fail() -> None:
        world.post(A)
        raise RuntimeError("boom")

    await world.send(A)
    with pytest.raises(RuntimeError, match="boom"):
        await world.run(queue_event(offer(A)), fail)
    assert [line["messageId"] for line in world.lines()] == [A]


async def test_interleaved_fan_outs_are_separate(world: World) -> None:
    """Each message's last post is its own."""
    for message_id in (A, B):
        await world.send(message_id)

    def interleave() -> None:
        for message_id in (A, B, A, B, A):
            world.post(message_id)

    await world.run(queue_event(offer(A), offer(B)), interleave)
    a, b = world.lines()
    assert a["first_post_ns"] < b["first_post_ns"] < b["last_post_ns"] < a["last_post_ns"]


async def test_unknown_bodies_are_ignored(world: World) -> None:
    """Hand-made queue messages and other posts neither fail nor appear."""
    strange = ["not JSON", [], 7, None, {"messages": 3}, {"messages": [{}]}, {"messageIds": [3, None]}]
    await world.run(queue_event(*strange), lambda: None)
    for body in (b"\xff", b"[]", b'{"messages": [7]}', b'{"type": "pong"}', b""):
        world.timeline.posted(body)
    await world.send(A)
    await world.run(queue_event(offer(A, C)), lambda: world.post(A, C))
    # C's sender left the id to the server.
    assert [line["messageId"] for line in world.lines()] == [A]


async def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest messages and bodies are forgotten; a forgotten body counts as new."""
    monkeypatch.setattr(module, "MAX_MESSAGES", 3)
    monkeypatch.setattr(module, "MAX_BODIES", 3)
    ids = [f"message-{number}" for number in range(10)]
    for message_id in ids:
        await world.send(message_id)

    def post_all() -> None:
        for message_id in ids * 2:
            world.post(message_id)

    await world.run(queue_event(offer(*ids)), post_all)
    assert [line["messageId"] for line in world.lines()] == ids[-3:]
    assert len(world.timeline._bodies) == 3
    assert len(world.timeline._messages) == 3
