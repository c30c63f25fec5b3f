"""Quotas: the budget of posts that all workers share, as one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groupcast.aws.errors import ServiceError
from groupcast.aws.json_api import CONDITION_FAILED
from groupcast.errors import GroupcastError
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from groupcast.aws.calls import Calls

NAME = "posts"
# The number can cross the floor between two tries, but not again and again.
TRIES_MAX = 4


class ContendedError(GroupcastError):
    """Other workers changed the number between each of our tries."""


class QuotasTable:
    """The Quotas table through the signed client. A call that is repeated books twice, which harms nobody."""

    def __init__(self, dynamodb: Calls, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        # What held last time is tried first, so that a booking is mostly one write.
        self._running = False

    async def book(self, take_us: int, floor_us: int) -> int:
        """Move `freeAtUs` on by `take_us`, up to `floor_us` first where it lies before; return where it was.

        Times are microseconds since 1970. Raises GroupcastError.
        """
        running = self._running
        for _ in range(TRIES_MAX):
            try:
                book = self._go_on if running else self._begin
                free_at_us = await book(take_us, floor_us)
            except ServiceError as error:
                if error.code != CONDITION_FAILED:
                    raise
                running = not running
            else:
                self._running = running
                return free_at_us
        raise ContendedError(f"no booking in {TRIES_MAX} tries")

    async def _go_on(self, take_us: int, floor_us: int) -> int:
        free_at_us = await self._update(
            "SET freeAtUs = freeAtUs + :take", "freeAtUs >= :floor", {":take": take_us, ":floor": floor_us}
        )
        return free_at_us - take_us

    async def _begin(self, take_us: int, floor_us: int) -> int:
        await self._update(
            "SET freeAtUs = :next",
            "attribute_not_exists(freeAtUs) OR freeAtUs < :floor",
            {":next": floor_us + take_us, ":floor": floor_us},
        )
        return floor_us

    async def _update(self, expression: str, condition: str, values: dict[str, str | int]) -> int:
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": encode({"name": NAME}),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": encode(values),
            "ReturnValues": "UPDATED_NEW",
        }
        answer = await self._dynamodb.call("UpdateItem", update)
        return int(answer["Attributes"]["freeAtUs"]["N"])
