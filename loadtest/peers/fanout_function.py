"""fanoutMessage as commonly written with aioboto3: paginated query, bounded gather, batched removal.

`groupcast up --handler fanoutMessage=loadtest.peers.fanout_function.handler` runs it instead of
groupcast's own, behind the same gateway and stream. It reuses its clients across invocations.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig

WINDOW = 64
DELETE_BATCH = 25


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Post every message to every member of its group."""
    return _peer().run(event["Records"])


def last_accepted_s() -> float:
    """The Unix time of the last accepted post."""
    return _peer().last_accepted_s


@functools.cache
def _peer() -> _Peer:
    return _Peer()


class _Peer:
    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.run_until_complete(self._open())

    def run(self, records: list[dict[str, Any]]) -> dict[str, Any]:
        self._loop.run_until_complete(self._deliver(records))
        return {"batchItemFailures": []}

    async def _open(self) -> None:
        session = aioboto3.Session()
        config = AioConfig(max_pool_connections=WINDOW)
        self._dynamodb = await session.client("dynamodb", config=config).__aenter__()
        self._management = await session.client("apigatewaymanagementapi", config=config).__aenter__()
        self._table = os.environ["CONNECTIONS_TABLE"]
        self.last_accepted_s = 0.0

    async def _deliver(self, records: list[dict[str, Any]]) -> None:
        at_once = asyncio.Semaphore(WINDOW)
        gone: list[dict[str, Any]] = []

        async def post(connection_id: str, data: bytes) -> None:
            async with at_once:
                try:
                    await self._management.post_to_connection(ConnectionId=connection_id, Data=data)
                    self.last_accepted_s = time.time()
                except self._management.exceptions.GoneException:
                    gone.append({"connectionId": {"S": connection_id}, "entry": {"S": f"group:{group_id}"}})

        for record in records:
            group_id, data = _frame(record["dynamodb"]["NewImage"])
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                IndexName="GroupIdIndex",
                KeyConditionExpression="groupId = :group",
                ProjectionExpression="connectionId",
                ExpressionAttributeValues={":group": {"S": group_id}},
            )
            async for page in pages:
                ids = [item["connectionId"]["S"] for item in page["Items"]]
                await asyncio.gather(*(post(connection_id, data) for connection_id in ids))
        for start in range(0, len(gone), DELETE_BATCH):
            part = gone[start : start + DELETE_BATCH]
            deletes = [{"DeleteRequest": {"Key": key}} for key in part]
            await self._dynamodb.batch_write_item(RequestItems={self._table: deletes})


def _frame(image: dict[str, dict[str, str]]) -> tuple[str, bytes]:
    value = {
        "messageId": image["messageId"]["S"],
        "seq": int(image["seq"]["N"]),
        "sender": image["sender"]["S"],
        "message": image["message"]["S"],
        "createdAt": image["createdAt"]["S"],
    }
    group_id = image["groupId"]["S"]
    return group_id, json.dumps({"type": "messages", "groupId": group_id, "messages": [value]}).encode()
