"""The delays of all steps of a delivery: one table for AWS, one for this machine.

The hops between AWS's services are those that `groupcast up --hops aws` delays events by
(localcloud.hops.profile, with their source and date). docs/scale.md lists the other values, with the
measurements and assumptions behind them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast_cli.cost import Load
from groupcast_cli.cost.model import POLL_INTERVAL_S
from localcloud.hops import AWS as AWS_HOPS
from localcloud.hops import Hop

if TYPE_CHECKING:
    import random

AWS = "aws"
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Delays:
    """The steps of a delivery, in order.

    `accept_s` and `route`: from the due time until the message is stored. `stream_read`: from the poll that
    finds a record to its invocation. `fifo` and `standard`: from the send to the invocation; `unlock`: from
    the deletion of a lane's offers to its next invocation, if more wait. `offering_s`: an invocation that
    only sends offers. `invoke_s`: from the start of an invocation to its first request; `page_s`: reading a
    page of members; `item_s`: reading or writing an item, such as the budget's. `round_trip_s`: a post;
    `post_cpu_s`: its CPU time in the worker. `finish_s`: from the last response to the end of the batch.
    `to_member_s`: from the last post to its receipt. `machine_posts_per_s`: the limit of workers, gateway
    and receivers on one machine. `cell_hop`: sending a message to another account or region.
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
    """A hop with a constant delay."""
    return Hop(ms, ms, ms, ms)


_LOAD = Load(1, 1)

PROFILES = {
    AWS: Delays(
        accept_s=0.020 + _LOAD.route_ms / 1000,
        route=AWS_HOPS.route,
        stream_shards=_LOAD.stream_shards,
        stream_poll_s=POLL_INTERVAL_S,
        # The hop from the stream without the wait for a poll: with it, the sum has the published percentiles.
        stream_read=Hop(74, 78, 150, 450),
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
        cell_hop=Hop(100, 150, 250, 500),  # assumed
    ),
    # Measured on 2026-11-24, on a shared machine with 2 cores.
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
