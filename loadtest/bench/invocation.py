"""One whole invocation of fanoutMessage: from a batch of offers to the last response.

`python -m loadtest.bench.invocation --handler engine|peer …` prints one line of JSON. The peer is the same
function written with aioboto3 (loadtest/peers/fanout_function.py), which reads messages from the stream.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from loadtest.bench.events import Context, offers, stream_records

Handler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--handler", choices=("engine", "peer"), required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--warm-group", required=True)
    parser.add_argument("--messages", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=200)
    options = parser.parse_args()
    handler: Handler
    last_accepted_s: Callable[[], float] | None = None
    if options.handler == "engine":
        from groupcast.handlers.fanout_message import handler  # noqa: PLC0415 - only the one that is measured

        records = offers
    else:
        from loadtest.peers.fanout_function import handler, last_accepted_s  # noqa: PLC0415

        records = stream_records
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        # Lambda's warm state: code, clients and connections of an earlier invocation.
        handler({"Records": records(options.warm_group, 1, 200)}, Context())
        event = {"Records": records(options.group, options.messages, options.bytes)}
        started_s = time.time()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        answer = handler(event, Context())
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    log = last_log_line(written.getvalue())
    # The engine logs the milliseconds since the message was made, which was just before the start.
    last_s = last_accepted_s() - started_s if last_accepted_s else log["delivery_ms_max"] / 1000
    measured = {"cpu_s": cpu_s, "wall_s": wall_s, "last_delivery_s": last_s, "peak_mb": peak_mb()}
    print(json.dumps({**measured, "posts": log.get("posts"), "failures": len(answer["batchItemFailures"])}))


def peak_mb() -> float:
    """The peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage also counts the parent's memory before exec.
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def last_log_line(written: str) -> dict[str, Any]:
    """The last fan-out log line of the handler; empty for the peer, which writes none."""
    lines = [json.loads(line) for line in written.splitlines() if '"fan-out"' in line]
    return dict(lines[-1]) if lines else {}


if __name__ == "__main__":
    main()
