"""Environments over the handlers in functions/, and queries about processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.functions import Environments
from localcloud.service.model import Function

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS = Path(__file__).parent / "functions"
HANDLERS = (
    "about",
    "big",
    "echo",
    "fail",
    "meet",
    "not_a_number",
    "pid_or_fail",
    "shout",
    "shout_limited",
    "state",
    "unjson",
    "wait_for",
)
PATIENCE_S = 20.0


def functions(**changes: Any) -> dict[str, Function]:
    """A function for every handler of sample.py, under its name."""
    fields = {"timeout_s": 15, "memory_mb": 256, **changes}
    return {name: Function(name=name, handler=f"sample.{name}", **fields) for name in HANDLERS}


def environments(which: dict[str, Function] | None = None, **settings: Any) -> Environments:
    """Environments that can import sample.py."""
    extra_env = {"PYTHONPATH": str(FUNCTIONS), **settings.pop("extra_env", {})}
    return Environments(which or functions(), region="eu-central-1", extra_env=extra_env, **settings)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fails after a limit."""
    async with asyncio.timeout(PATIENCE_S):
        # Poll: other processes set no events.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def parent_of(pid: int) -> int:
    """The pid of the parent; Linux only."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
