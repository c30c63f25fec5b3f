"""`groupcast up` on this machine, for the time of a run."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.control.children import ROOT, child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


BUILD = Path("build/loadtest")
# Groups without a limit in effect: a load test measures deliveries, not refusals.
GROUP_LIMIT = ("groupMessagesPerSecond=10000", "groupBytesPerSecond=1000000000")


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The addresses and files of a running `groupcast up`."""

    gateway_url: str
    requests_url: str
    timeline: Path


@asynccontextmanager
async def local_stack(
    directory: Path = BUILD, *, poll_interval_s: float | None = None, arguments: Sequence[str] = ()
) -> AsyncIterator[LocalStack]:
    """Start `groupcast up` on free ports, with its files below `directory` and more `arguments`.

    `poll_interval_s` is the stream's; None is AWS's. Raises LoadTestError if it does not start.
    """
    # Load tests that run at once need separate files.
    own = ROOT / directory / f"run-{os.getpid()}"
    log, timeline, errors = own / "functions.log", own / "timeline.jsonl", own / "groupcast-up.err"
    command = [
        str(Path(sys.executable).parent / "groupcast"),
        *("up", "--json", "--page-port", "0", "--gateway-port", "0"),
        *("--log", str(log), "--timeline", str(timeline)),
        *(word for param in GROUP_LIMIT for word in ("--param", param)),
        *([] if poll_interval_s is None else ["--poll-interval-s", str(poll_interval_s)]),
        *arguments,
    ]
    async with child(*command, stop_by=signal.SIGINT, errors=errors) as line:
        urls = json.loads(line)
        yield LocalStack(
            gateway_url=urls["gatewayUrl"],
            requests_url=urls["requestsUrl"],
            timeline=timeline,
        )
