"""What a load makes the fan-out do in a second. Pure.

Messages of one group that wait together travel in one frame. What they wait for differs: with lanes, for the
group's own pass that is under way (lanes.py); with the stream, for the next poll of their shard (stream.py).
The more there is to send the longer they wait, and the fewer posts each needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groupcast_cli.cost.lanes import traffic_of_lanes
from groupcast_cli.cost.stream import traffic_of_stream

if TYPE_CHECKING:
    from groupcast_cli.cost.load import Load
    from groupcast_cli.cost.model import Traffic


def traffic_of(load: Load) -> Traffic:
    """The steady state of a load."""
    return traffic_of_lanes(load) if load.delivery == "lanes" else traffic_of_stream(load)
