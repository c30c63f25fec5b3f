"""--timeline: where the time of a message goes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import running_stack
from tests.contract.peer import Peer

pytestmark = pytest.mark.stack
POINTS = ["accepted_ns", "stored_ns", "read_ns", "started_ns", "posted_ns"]


async def test_every_message_passes_every_point_in_order(tmp_path: Path) -> None:
    """One line for each message, on the clock of this machine, between its sending and its arrival."""
    ids = [f"0192f0c1-2345-7abc-8def-{number:012x}" for number in range(5)]
    timeline = tmp_path / "timeline.jsonl"
    sent_ns, received_ns = {}, {}
    with running_stack(tmp_path / "functions.log", "--timeline", str(timeline)) as running:
        async with Peer.connect(running.gateway_url) as peer:
            await peer.join("group1")
            for message_id in ids:
                sent_ns[message_id] = time.monotonic_ns()
                await peer.say("hi", messageId=message_id)
                await peer.messages(1)
                received_ns[message_id] = time.monotonic_ns()
    lines = {line["messageId"]: line for line in map(json.loads, timeline.read_text().splitlines())}
    assert set(lines) == set(ids)
    for message_id, line in lines.items():
        times = [line[point] for point in POINTS]
        # The stream may be read before the ack has made its way back through the gateway.
        assert times[0] == min(times)
        assert times[2] <= times[3] <= times[4]
        assert sent_ns[message_id] <= line["accepted_ns"] <= line["stored_ns"]
        assert line["started_ns"] <= received_ns[message_id]
