"""Measures one deployed function: the cost of loading, of the first and of later calls, and its memory.

It runs with the function's packages alone and imports nothing else of the project: `python function.py
MODULE` reads {"events": […], "quota": null or {"folder", "share"}} and prints one line of JSON. The quota
limits only the first call: on Lambda, a loading module has a whole vCPU, and later calls are measured by CPU
time.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

TIMEOUT_MS = 120_000
KB_PER_MB = 1024
PERIOD_US = 20_000


class Context:
    """The part of Lambda's context that handlers use."""

    def get_remaining_time_in_millis(self) -> int:
        return TIMEOUT_MS


def main() -> None:
    job = json.load(sys.stdin)
    quota = job["quota"]
    if quota:
        limit(Path(quota["folder"]), 1.0)
        # 0 means the writing process.
        (Path(quota["folder"]) / "cgroup.procs").write_text("0")
    answers: list[Any] = []
    laps = [_now()]
    with contextlib.redirect_stdout(sys.stderr):
        handler = importlib.import_module(sys.argv[1]).handler
        laps.append(_now())
        if quota:
            limit(Path(quota["folder"]), quota["share"])
        for event in job["events"]:
            answers.append(handler(event, Context()))
            laps.append(_now())
            if quota:
                limit(Path(quota["folder"]), 1.0)
    (wall_0, cpu_0), (_, cpu_1), (wall_2, cpu_2), *_, (_, cpu_n) = laps
    figures = {
        "module_cpu_ms": (cpu_1 - cpu_0) * 1000,
        "handler_cpu_ms": (cpu_2 - cpu_1) * 1000,
        "wall_ms": (wall_2 - wall_0) * 1000,
        "warm_cpu_ms": (cpu_n - cpu_2) * 1000 / max(len(answers) - 1, 1),
        "peak_mb": _peak_kb() / KB_PER_MB,
        "answers": answers,
    }
    print(json.dumps(figures))


def limit(folder: Path, share: float) -> None:
    """Give the control group at `folder` this share of a CPU (cgroup v2, or v1's cpu controller)."""
    quota_us = int(share * PERIOD_US)
    if (folder / "cpu.max").exists():
        (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    else:
        (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (folder / "cpu.cfs_quota_us").write_text(str(quota_us))


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _peak_kb() -> int:
    # Not getrusage: its maximum includes the parent's memory before exec. Needs Linux, as on Lambda.
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


if __name__ == "__main__":
    main()
