"""A simulated account for workers.py: its quota, its Quotas table, its members.

It simulates everything that the engine calls: DynamoDB's responses, the members, and the time of a post.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groupcast.aws.errors import ServiceError
from groupcast.aws.json_api import CONDITION_FAILED
from groupcast.aws.management import Outcome, PostResult
from groupcast.tables.members import Page

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from groupcast.slots import SlotRange
    from localcloud.gateway.quota import Gate

PAGE_MEMBERS = 1_000
PAGE_S = (0.004, 0.010)
# The request's time, and the response's.
UPDATE_S = (0.001, 0.004)
POST_S = (0.005, 0.030)
_ACCEPTED = PostResult(Outcome.ACCEPTED, 200)
_CLOSED = PostResult(Outcome.ACCEPTED, 204)
_THROTTLED = PostResult(Outcome.THROTTLED, 429, "LimitExceededException")


class QuotasItem:
    """UpdateItem on the table Quotas, as QuotasTable calls it. `trip_s` bounds the time each way."""

    def __init__(self, dice: random.Random, trip_s: tuple[float, float] = UPDATE_S) -> None:
        self.free_at_us: int | None = None
        self._dice = dice
        self._trip_s = trip_s

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Apply an update between request and response. Raises ServiceError if its condition fails."""
        await asyncio.sleep(self._dice.uniform(*self._trip_s))
        applied = self._apply(payload)
        await asyncio.sleep(self._dice.uniform(*self._trip_s))
        if not applied:
            raise ServiceError(
                operation, 400, CONDITION_FAILED, "The conditional request failed", passing=False
            )
        return {"Attributes": {"freeAtUs": {"N": str(self.free_at_us)}}}

    def _apply(self, payload: Mapping[str, Any]) -> bool:
        values = {name: int(value["N"]) for name, value in payload["ExpressionAttributeValues"].items()}
        begins = "attribute_not_exists" in payload["ConditionExpression"]
        if self.free_at_us is None or self.free_at_us < values[":floor"]:
            if begins:
                self.free_at_us = values[":next"]
            return begins
        if not begins:
            self.free_at_us += values[":take"]
        return not begins


@dataclass(slots=True)
class PosterCounts:
    accepted: int = 0
    refused: int = 0


class SlowPoster:
    """Posts with a delay; they are refused while the account's quota is used up."""

    def __init__(self, gate: Gate, dice: random.Random) -> None:
        self.counts = PosterCounts()
        self._gate = gate
        self._dice = dice
        self._loop = asyncio.get_running_loop()

    async def batch(self, _data: bytes) -> SlowPoster:
        """See Poster; the body does not matter here."""
        return self

    def send(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        """See Post."""
        self._loop.call_later(self._dice.uniform(*POST_S), self._answer, connection_id, on_result)

    async def delete(self, _connection_id: str) -> PostResult:
        """See Poster."""
        return _CLOSED

    def _answer(self, connection_id: str, on_result: Callable[[str, PostResult], None]) -> None:
        if self._gate.admit():
            self.counts.accepted += 1
            on_result(connection_id, _ACCEPTED)
        else:
            self.counts.refused += 1
            on_result(connection_id, _THROTTLED)


class NumberedMembers:
    """The `size` members of a group, page by page; none is gone."""

    def __init__(self, size: int, dice: random.Random) -> None:
        self._ids = [f"member-{number}" for number in range(size)]
        self._dice = dice

    async def pages(self, _group_id: str, _slots: SlotRange) -> AsyncGenerator[Page, None]:
        """See Members."""
        for start in range(0, len(self._ids), PAGE_MEMBERS):
            await asyncio.sleep(self._dice.uniform(*PAGE_S))
            end = min(start + PAGE_MEMBERS, len(self._ids))
            yield Page(self._ids[start:end], [], end, is_last=end == len(self._ids))

    async def listed(self, _group_id: str, connection_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """See Members."""
        yield Page(list(connection_ids), [], len(connection_ids), is_last=True)

    def discard(self, _connection_id: str, _group_id: str) -> None:
        """See Removals."""

    async def flush(self) -> None:
        """See Removals."""
