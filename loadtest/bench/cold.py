"""A cold start: from the first line of this module to the first accepted post.

`python -m loadtest.bench.cold --handler engine|peer --group GROUP` prints one line of JSON. The peer imports
aioboto3 and powertools and creates two clients, as a handler written with them does.
"""

from __future__ import annotations

import time

_started_s, _started_cpu_s = time.perf_counter(), time.process_time()

import argparse  # noqa: E402 - the clock runs from here
import json  # noqa: E402
from collections.abc import Callable  # noqa: E402, TC003
from typing import Any  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--handler", choices=("engine", "peer"), required=True)
    parser.add_argument("--group", required=True)
    options = parser.parse_args()
    handler: Callable[[dict[str, Any], Any], dict[str, Any]]
    if options.handler == "engine":
        from groupcast.handlers.fanout_message import handler  # noqa: PLC0415 - part of the measurement
        from loadtest.bench.events import Context, offers  # noqa: PLC0415

        records = offers
    else:
        import aws_lambda_powertools.logging  # noqa: PLC0415
        import aws_lambda_powertools.metrics  # noqa: F401, PLC0415

        from loadtest.bench.events import Context, stream_records  # noqa: PLC0415
        from loadtest.peers.fanout_function import handler  # noqa: PLC0415

        records = stream_records
    answer = handler({"Records": records(options.group, 1, 200)}, Context())
    wall_s, cpu_s = time.perf_counter() - _started_s, time.process_time() - _started_cpu_s
    print()
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "failures": len(answer["batchItemFailures"])}))


if __name__ == "__main__":
    main()
