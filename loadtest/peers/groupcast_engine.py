"""groupcast's engine on the same job: not a peer, but measured like one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.management import ManagementClient
from groupcast.fanout.batch import Frame, GroupBatch
from groupcast.fanout.engine import Engine
from groupcast.fanout.limits import Limits
from groupcast.tables.members import Page
from loadtest.peers.run import Stopwatch, job_from_arguments
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from groupcast.slots import SlotRange

PAGE_SIZE = 1000
STOP_AFTER_S = 300.0


class ListedMembers:
    """Known members that are never removed, so that only posting is measured."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids

    async def pages(self, _group_id: str, _slots: SlotRange) -> AsyncGenerator[Page, None]:
        for start in range(0, len(self.ids), PAGE_SIZE):
            end = start + PAGE_SIZE
            yield Page(self.ids[start:end], [], end, is_last=end >= len(self.ids))

    async def listed(self, _group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        yield Page(list(connection_ids), [], len(connection_ids), is_last=True)

    def discard(self, connection_id: str, group_id: str) -> None:
        pass

    async def flush(self) -> None:
        pass


async def run() -> None:
    job = job_from_arguments()
    poster = ManagementClient(
        job.endpoint, REGION, CredentialsProvider(), max_connections=job.window, cafile=job.cafile
    )
    limits = Limits(window_start=job.window, window_max=job.window)
    members = ListedMembers(job.ids[: job.window])
    engine = Engine(members, members, poster, limits, lambda: 0.5)
    batch = GroupBatch("group1", (Frame(job.data, ("message1",), 0),), 1, ("1",))
    loop = asyncio.get_running_loop()
    await engine.deliver([batch], loop.time() + STOP_AFTER_S)
    members.ids = job.ids
    watch = Stopwatch()
    watch.start()
    report = await engine.deliver([batch], loop.time() + STOP_AFTER_S)
    watch.report(len(job.ids), report.total("delivered"))
    await poster.close()


if __name__ == "__main__":
    uvloop.run(run())
