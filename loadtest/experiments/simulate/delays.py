"""How long each step of a delivery takes: one table for AWS, one for this machine.

The hops between AWS's services are those that `groupcast up --hops aws` delays events by
(localcloud.hops.profile, with their source and date). What else is measured, and how, and what is assumed,
says docs/scale.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast_deploy.cost import Load
from groupcast_deploy.cost.model import POLL_INTERVAL_S
from localcloud.hops import AWS as AWS_HOPS
from localcloud.hops import Hop

if TYPE_CHECKING:
    import random

AWS = "aws"
LOCAL = "local"
# When the local values were measured, on a shared machine with 2 cores.
MEASURED = "2026-11-24"


@dataclass(frozen=True, slots=True)
class Delays:
    """The steps of a delivery, in their order.

    `accept_s` and `route`: a message is due until it is stored. `stream_read`: from the poll that finds a
    record to its invocation. `fifo` and `standard`: from the send to the invocation; `unlock`: from a lane's
    deletion to its next invocation, where offers wait. `offering_s`: what an invocation takes that only
    sends offers. `invoke_s`: from an invocation's begin to its first request; `page_s`: a page of members;
    `item_s`: an item
    read or written, such as the budget's. `round_trip_s`: a post; `post_cpu_s`: what it takes of a worker.
    `finish_s`: from the last answer until the batch is done with. `to_member_s`: from the last post to its
    receipt. `machine_posts_per_s`: workers, gateway and receivers together, where one machine has them all.
    `cell_hop`: a message to another account or region.
    """

    accept_s: float
    route: Hop
    stream_shards: int
    stream_poll_s: float
    stream_read: Hop
    fifo: Hop
    unlock: Hop
    standard: Hop
    offering_s: float
    invoke_s: float
    page_s: float
    item_s: float
    round_trip_s: float
    post_cpu_s: float
    finish_s: float
    to_member_s: float
    machine_posts_per_s: float
    cell_hop: Hop


def sample_s(hop: Hop, dice: random.Random) -> float:
    return hop.at_deviation(dice.gauss(0.0, 1.0)) / 1000


def always(ms: float) -> Hop:
    """A hop that takes the same each time."""
    return Hop(ms, ms, ms, ms)


_LOAD = Load(1, 1)

PROFILES = {
    AWS: Delays(
        accept_s=0.020 + _LOAD.route_ms / 1000,
        route=AWS_HOPS.route,
        stream_shards=_LOAD.stream_shards,
        stream_poll_s=POLL_INTERVAL_S,
        # The rest of the hop from the stream after the wait for a poll: their sum has its percentiles.
        stream_read=Hop(74, 78, 150, 450, assumed=True),
        fifo=AWS_HOPS.fifo_queue,
        unlock=AWS_HOPS.fifo_queue,
        standard=AWS_HOPS.queue,
        offering_s=0.020,
        invoke_s=0.003,
        page_s=0.010,
        item_s=0.005,
        round_trip_s=_LOAD.post_wait_ms / 1000,
        post_cpu_s=_LOAD.post_cpu_ms / 1000,
        finish_s=0.015,
        to_member_s=0.030,
        machine_posts_per_s=math.inf,
        cell_hop=Hop(100, 150, 250, 500, assumed=True),
    ),
    LOCAL: Delays(
        accept_s=0.012,
        route=always(1),
        stream_shards=1,
        stream_poll_s=POLL_INTERVAL_S,
        stream_read=always(3),
        fifo=always(6),
        unlock=always(6),
        standard=always(8),
        offering_s=0.010,
        invoke_s=0.004,
        page_s=0.008,
        item_s=0.006,
        round_trip_s=0.005,
        post_cpu_s=0.00002,
        finish_s=0.005,
        to_member_s=0.001,
        machine_posts_per_s=11_300,
        cell_hop=always(1),
    ),
}
