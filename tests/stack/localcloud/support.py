"""Shared by tests of queues."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.conftest import REGION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def aws(endpoint: str) -> dict[str, Any]:
    """Keyword arguments of a client."""
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }


class Invocations:
    """An invoker that keeps the events and returns `answer(bodies)`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.records: list[dict[str, Any]] = []
        self.at_once = 0
        self.at_once_max = 0
        self.answer: Callable[[list[str]], Any] = lambda _: None
        self.gate: asyncio.Event | None = None
        self.changed = asyncio.Condition()

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        assert function == "f"
        bodies = [record["body"] for record in event["Records"]]
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        async with self.changed:
            self.batches.append(bodies)
            self.records += event["Records"]
            self.changed.notify_all()
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self.answer(bodies)
        finally:
            self.at_once -= 1

    async def seen(self, count: int) -> list[str]:
        """Wait for so many bodies and return them."""
        async with self.changed, asyncio.timeout(20):
            await self.changed.wait_for(lambda: len(self.records) >= count)
        return [record["body"] for record in self.records]
