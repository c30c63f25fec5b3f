"""Handlers for the tested environments. Their module state shows whether an environment is warm."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

CALLS = 0
LOOP = asyncio.new_event_loop()


def echo(event: Any, _context: Any) -> Any:
    return event


def state(_event: Any, _context: Any) -> dict[str, Any]:
    """The number of calls in this process, and whether its loop is the first call's."""
    global CALLS  # noqa: PLW0603 - that it survives is the point
    CALLS += 1
    return {"pid": os.getpid(), "calls": CALLS, "loop": LOOP.run_until_complete(_loop_id())}


async def _loop_id() -> int:
    await asyncio.sleep(0)
    return id(asyncio.get_running_loop())


def about(_event: Any, context: Any) -> dict[str, Any]:
    fields = (
        "aws_request_id",
        "function_name",
        "function_version",
        "invoked_function_arn",
        "memory_limit_in_mb",
        "log_group_name",
        "log_stream_name",
        "client_context",
        "identity",
    )
    told = {name: getattr(context, name) for name in fields}
    return {
        "context": told,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "environ": dict(os.environ),
        "zone": time.tzname[0],
    }


def meet(event: Any, _context: Any) -> int:
    """Leave a mark, and return once `count` processes have left theirs."""
    folder = Path(event["folder"])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < event["count"]:
        time.sleep(0.01)
    return os.getpid()


def wait_for(event: Any, _context: Any) -> int:
    """Create the file `started`, and return once the file `gate` exists."""
    Path(event["started"]).touch()
    while not Path(event["gate"]).exists():
        time.sleep(0.01)
    return os.getpid()


def fail(event: Any, _context: Any) -> None:
    if event.get("kind") == "exit":
        sys.exit(3)
    if event.get("kind") == "surrogate":
        raise ValueError("\udc80")
    raise ValueError(event["message"])


def pid_or_fail(event: Any, _context: Any) -> int:
    if event.get("fail"):
        raise ValueError("asked to")
    return os.getpid()


def unjson(_event: Any, _context: Any) -> Any:
    return {"when": object()}


def not_a_number(_event: Any, _context: Any) -> float:
    return float("nan")


def big(event: Any, _context: Any) -> str:
    return "x" * int(event["size"])


def shout_limited(event: Any, _context: Any) -> None:
    """Like `shout`, with files limited to `bytes` bytes, which resembles a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (event["bytes"], before[1]))
    try:
        shout(event, None)
        sys.stdout.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def shout(event: Any, _context: Any) -> None:
    sys.stdout.write(event["out"] + "\n")
    sys.stderr.write(event["err"] + "\n")
