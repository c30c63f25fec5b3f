"""One X-Ray subsegment for an invocation, with annotations to search traces by.

Sent to the daemon that Lambda runs beside the function, as the X-Ray SDK does, but without the SDK's price at
every cold start. There are no subsegments for single posts: thousands run at once, and X-Ray's model of a
stack of open segments does not hold for them.
Sources: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html and
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = b'{"format": "json", "version": 1}\n'


def annotate(
    environ: Mapping[str, str],
    name: str,
    started_s: float,
    ended_s: float,
    annotations: Mapping[str, str | int | float],
) -> bool:
    """Send a subsegment from `started_s` to `ended_s` (Unix time); False where the invocation is not traced.

    `environ` has Lambda's variables `_X_AMZN_TRACE_ID` and `AWS_XRAY_DAEMON_ADDRESS`. Lost datagrams are
    not repeated: tracing never holds up or fails an invocation.
    """
    trace = dict(part.split("=", 1) for part in environ.get("_X_AMZN_TRACE_ID", "").split(";") if "=" in part)
    host, _, port = environ.get("AWS_XRAY_DAEMON_ADDRESS", "").rpartition(":")
    if (
        trace.get("Sampled") != "1"
        or not {"Root", "Parent"} <= set(trace)
        or not host
        or not port.isdecimal()
    ):
        return False
    segment = {
        "name": name,
        "id": os.urandom(8).hex(),
        "trace_id": trace["Root"],
        "parent_id": trace["Parent"],
        "type": "subsegment",
        "start_time": started_s,
        "end_time": ended_s,
        "annotations": dict(annotations),
    }
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
            daemon.sendto(_HEADER + orjson.dumps(segment), (host, int(port)))
    except OSError:
        return False
    return True
