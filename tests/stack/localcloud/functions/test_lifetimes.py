"""No process outlives its parent, however that ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.localcloud.functions.support import environments, is_alive, parent_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[4]

# Starts a busy and an idle environment, prints their pids and waits to be killed.
PARENT = """
import asyncio, sys
from tests.unit.localcloud.functions.support import environments, until

async def main():
    async with environments() as pool:
        await pool.warm(["echo"])
        busy = asyncio.create_task(pool.invoke("wait_for", {"started": sys.argv[1], "gate": "/nowhere"}))
        await until(lambda: bool(pool.snapshot()["wait_for"].busy))
        print(*pool.snapshot()["echo"].idle, *pool.snapshot()["wait_for"].busy, flush=True)
        await busy

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
async def parent(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A process with environments, and the pids of these and of their zygote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "started"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await process.stdout.readline()).split()]
    await until((tmp_path / "started").exists)
    yield process, [*pids, parent_of(pids[0])]
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_closing_ends_every_process() -> None:
    """Idle and busy environments, and the zygote."""
    async with environments() as pool:
        await pool.warm(["echo"])
        busy = asyncio.create_task(pool.invoke("wait_for", {"started": "/dev/null", "gate": "/nowhere"}))
        await until(lambda: bool(pool.snapshot()["wait_for"].busy))
        pids = [*pool.snapshot()["echo"].idle, *pool.snapshot()["wait_for"].busy]
        pids.append(parent_of(pids[0]))
        assert all(is_alive(pid) for pid in pids)
    await asyncio.wait([busy])
    assert busy.exception() is not None
    await until(lambda: not any(is_alive(pid) for pid in pids))


async def test_killing_the_parent_ends_every_process(
    parent: tuple[asyncio.subprocess.Process, list[int]],
) -> None:
    """Even SIGKILL, which leaves no time to clean up."""
    process, pids = parent
    assert len(pids) == 3
    assert all(is_alive(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    await until(lambda: not any(is_alive(pid) for pid in pids))
