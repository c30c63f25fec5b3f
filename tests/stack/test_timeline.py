"""--timeline records each message's points on either path; --hops delays them as on AWS."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from loadtest.results.deliverypath import paths_of
from loadtest.results.result import EXPRESS, STREAM, STREAM_OFFER
from localcloud.hops import AWS
from tests.conftest import running_stack
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
IDS = [f"0192f0c1-2345-7abc-8def-{number:012x}" for number in range(5)]
MS = 1_000_000


async def timeline_of(path: Path, *arguments: str) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Send messages in turn; return the last line of each, and the time its sender received it."""
    timeline = path / "timeline.jsonl"
    delivered_ns = {}
    with running_stack(path / "functions.log", "--timeline", str(timeline), *arguments) as running:
        async with Peer.connect(running.gateway_url) as peer:
            await peer.join("group1")
            for message_id in IDS:
                sent_ns = time.monotonic_ns()
                await peer.say("hi", messageId=message_id)
                await peer.messages(1)
                delivered_ns[message_id] = time.monotonic_ns()
                assert sent_ns < delivered_ns[message_id]
    lines = {line.pop("messageId"): line for line in map(json.loads, timeline.read_text().splitlines())}
    assert set(lines) == set(IDS)
    return lines, delivered_ns


async def test_every_message_passes_every_point_of_the_streams_way(tmp_path: Path) -> None:
    """No message lacks a point, and none arrives before the gateway had its post."""
    lines, delivered_ns = await timeline_of(tmp_path, "--param", "delivery=stream")
    assert_complete(lines, delivered_ns, {STREAM}, "started_ns")


async def test_lanes_have_every_point_and_hops_take_as_long_as_on_aws(tmp_path: Path) -> None:
    """No hop is shorter than the shortest draw: queue to function, stream to function, post to client."""
    lines, delivered_ns = await timeline_of(tmp_path, "--hops", "aws")
    assert_complete(lines, delivered_ns, {EXPRESS, STREAM_OFFER}, "received_ns")
    for message_id, line in lines.items():
        # SQS's clock has a resolution of a millisecond.
        assert line["received_ns"] - line["offered_ns"] >= (AWS.fifo_queue.p10_ms - 1) * MS
        assert delivered_ns[message_id] - line["last_post_ns"] >= (AWS.post.p10_ms - 1) * MS
        # The event loop's timers may be a millisecond early, and so may the offer.
        assert line["offered_ns"] - line["accepted_ns"] >= (AWS.route.p10_ms - 2) * MS


def assert_complete(
    lines: dict[str, dict[str, int]], delivered_ns: dict[str, int], ways: set[str], reached: str
) -> None:
    """Every point of a way is there, in its order; `reached` is when a function had the message."""
    numbers = {message_id: number for number, message_id in enumerate(IDS)}
    found = paths_of(
        [(numbers[message_id], line) for message_id, line in lines.items()],
        {numbers[message_id]: at_ns for message_id, at_ns in delivered_ns.items()},
    )
    assert {way.name for way in found} <= ways
    assert sum(way.parts[0].times.count for way in found) == len(IDS)
    for message_id, line in lines.items():
        assert line["accepted_ns"] < line[reached] < line["first_post_ns"] <= line["last_post_ns"]
        assert line["last_post_ns"] < delivered_ns[message_id]
