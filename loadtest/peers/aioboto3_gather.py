"""aioboto3 with `asyncio.gather` and a semaphore: the obvious asyncio fan-out."""

from __future__ import annotations

import asyncio
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from loadtest.peers.run import Stopwatch, job_from_arguments


async def post_all(client: Any, ids: list[str], data: bytes, window: int) -> int:
    """Post `data` to all ids, `window` at a time; return the number of accepted posts."""
    at_once = asyncio.Semaphore(window)

    async def post(connection_id: str) -> bool:
        async with at_once:
            try:
                await client.post_to_connection(ConnectionId=connection_id, Data=data)
            except ClientError:
                return False
            return True

    return sum(await asyncio.gather(*map(post, ids)))


async def run() -> None:
    job = job_from_arguments()
    config = AioConfig(max_pool_connections=job.window)
    session = aioboto3.Session()
    async with session.client(
        "apigatewaymanagementapi", endpoint_url=job.endpoint, verify=job.cafile, config=config
    ) as client:
        await post_all(client, job.ids[: job.window], job.data, job.window)
        watch = Stopwatch()
        watch.start()
        accepted = await post_all(client, job.ids, job.data, job.window)
        watch.report(len(job.ids), accepted)


if __name__ == "__main__":
    uvloop.run(run())
