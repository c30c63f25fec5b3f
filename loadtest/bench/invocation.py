"""One invocation of fanoutMessage, whole: from a batch of records to the last answer.

`python -m loadtest.bench.invocation --handler engine|peer …` prints one line of JSON. The peer is the same
function written with aioboto3: paginated query, `asyncio.gather` bounded by a semaphore, batched removal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import resource
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import aioboto3
import uvloop
from aiobotocore.config import AioConfig

from loadtest.bench.events import Context, records

Handler: TypeAlias = Callable[[dict[str, Any], Any], dict[str, Any]]

PEER_WINDOW = 64
DELETE_BATCH = 25


class Peer:
    """The fan-out as it is commonly written with aioboto3."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        session = aioboto3.Session()
        config = AioConfig(max_pool_connections=PEER_WINDOW)
        self.dynamodb = await session.client("dynamodb", config=config).__aenter__()
        self.management = await session.client("apigatewaymanagementapi", config=config).__aenter__()

    def handler(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        return self.loop.run_until_complete(self._deliver(event["Records"]))

    async def _deliver(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        at_once = asyncio.Semaphore(PEER_WINDOW)
        gone: list[str] = []

        async def post(connection_id: str, data: bytes) -> None:
            async with at_once:
                try:
                    await self.management.post_to_connection(ConnectionId=connection_id, Data=data)
                except self.management.exceptions.GoneException:
                    gone.append(connection_id)

        for record in batch:
            image = {
                name: next(iter(value.values())) for name, value in record["dynamodb"]["NewImage"].items()
            }
            data = json.dumps(image).encode()
            pages = self.dynamodb.get_paginator("query").paginate(
                TableName=os.environ["CONNECTIONS_TABLE"],
                IndexName="GroupIdIndex",
                KeyConditionExpression="groupId = :group",
                ProjectionExpression="connectionId",
                ExpressionAttributeValues={":group": {"S": image["groupId"]}},
            )
            async for page in pages:
                ids = [item["connectionId"]["S"] for item in page["Items"]]
                await asyncio.gather(*(post(connection_id, data) for connection_id in ids))
        for start in range(0, len(gone), DELETE_BATCH):
            part = gone[start : start + DELETE_BATCH]
            deletes = [{"DeleteRequest": {"Key": {"connectionId": {"S": one}}}} for one in part]
            await self.dynamodb.batch_write_item(RequestItems={os.environ["CONNECTIONS_TABLE"]: deletes})
        return {"batchItemFailures": []}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--handler", choices=("engine", "peer"), required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--warm-group", required=True)
    parser.add_argument("--messages", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=200)
    options = parser.parse_args()
    handler: Handler
    if options.handler == "engine":
        from groupcast.handlers.fanout_message import handler  # noqa: PLC0415 - the peer does without
    else:
        handler = Peer().handler
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        # Lambda's own warm state: clients, connections and code are there from an earlier invocation.
        handler({"Records": records(options.warm_group, 1, 200)}, Context())
        event = {"Records": records(options.group, options.messages, options.bytes)}
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        answer = handler(event, Context())
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    measured = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": peak_mb, "posts": posts_in(written.getvalue())}
    print(json.dumps({**measured, "failures": len(answer["batchItemFailures"])}))


def posts_in(log: str) -> int | None:
    """What the handler's last log line says of its posts; the peer writes none."""
    lines = [json.loads(line) for line in log.splitlines() if '"fan-out"' in line]
    return int(lines[-1]["posts"]) if lines else None


if __name__ == "__main__":
    main()
