"""Delivery by the stream's own batches: a group's messages are spread over all lanes of the stream. Pure.

A lane is a shard, or a share of its keys. It reads what has come, posts it, and reads again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast_cli.cost.model import (
    BATCH_RECORDS,
    LANES_PER_SHARD,
    POLL_INTERVAL_S,
    Traffic,
    batches_per_second,
    bookings_per_pass,
    frame_s,
    messages_per_frame,
    room,
    shortest,
)

if TYPE_CHECKING:
    from groupcast_cli.cost.load import Load

# Older records are given up by the stream mapping (maximumRecordAgeInSeconds).
LONGEST_WAIT_S = 3_600.0


def traffic_of_stream(load: Load) -> Traffic:
    """The steady state of a load."""
    lanes = load.stream_shards * LANES_PER_SHARD
    one_frame_s = frame_s(load, load.audience)

    def frames(wait_s: float) -> float:
        """Of all groups."""
        rate = load.messages_per_second / load.groups
        return load.groups * max(batches_per_second(rate, lanes, wait_s), rate / messages_per_frame(load))

    def lanes_keep_up(wait_s: float) -> bool:
        return frames(wait_s) * one_frame_s <= lanes

    def all_keeps_up(wait_s: float) -> bool:
        return lanes_keep_up(wait_s) and frames(wait_s) * load.audience <= room(load)

    unlimited_s = shortest(lanes_keep_up, POLL_INTERVAL_S, LONGEST_WAIT_S)
    wait_s = shortest(all_keeps_up, POLL_INTERVAL_S, LONGEST_WAIT_S)
    limited = wait_s > unlimited_s
    batches = batches_per_second(load.messages_per_second, lanes, wait_s)
    # At the budget every lane is busy with waiting.
    busy = lanes if limited else min(lanes, frames(wait_s) * one_frame_s)
    return Traffic(
        deliveries=load.messages_per_second * load.audience,
        posts=frames(wait_s) * load.audience,
        posts_unlimited=frames(unlimited_s) * load.audience,
        frames=frames(wait_s),
        passes=frames(wait_s),
        invocations=max(batches, load.messages_per_second / BATCH_RECORDS),
        workers_busy=busy,
        wait_s=wait_s,
        pass_s=busy / frames(wait_s) if limited else one_frame_s,
        sustainable=all_keeps_up(wait_s),
        limit="requests" if limited else "none" if lanes_keep_up(POLL_INTERVAL_S) else "workers",
        bookings=frames(wait_s) * bookings_per_pass(load, load.audience),
    )
