"""One deployed function by itself: what a cold start costs, what the calls after it, and how much memory.

`python -m loadtest.bench.function MODULE` reads a JSON list of events from stdin and prints one line of JSON.
"""

from __future__ import annotations

import time

_started_cpu_s = time.process_time()

import contextlib  # noqa: E402 - the clock runs from here
import importlib  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from loadtest.bench.events import Context  # noqa: E402

KB_PER_MB = 1024


def main() -> None:
    handler = importlib.import_module(sys.argv[1]).handler
    first, *others = json.load(sys.stdin)
    answers: list[Any] = []
    with contextlib.redirect_stdout(sys.stderr):
        answers.append(handler(first, Context()))
        cold_s = time.process_time() - _started_cpu_s
        before_s = time.process_time()
        answers += [handler(event, Context()) for event in others]
        warm_s = time.process_time() - before_s
    figures = {
        "cold_cpu_ms": cold_s * 1000,
        "warm_cpu_ms": warm_s * 1000 / len(others),
        "peak_mb": _peak_kb() / KB_PER_MB,
        "answers": answers,
    }
    print(json.dumps(figures))


def _peak_kb() -> int:
    # Not getrusage: its maximum begins with what the parent had before the exec. Linux, as Lambda is.
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


if __name__ == "__main__":
    main()
