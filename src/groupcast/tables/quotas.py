"""Quotas: the budget of posts that all workers share, kept as one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groupcast.aws.errors import ServiceError
from groupcast.aws.json_api import CONDITION_FAILED
from groupcast.errors import GroupcastError
from groupcast.tables.items import encode

if TYPE_CHECKING:
    from groupcast.aws.calls import Calls

NAME = "posts"
# The number may cross the floor between two tries, but hardly this often.
TRIES_MAX = 4


class ContendedError(GroupcastError):
    """Other workers changed the number between each of our tries."""


class QuotasTable:
    """The Quotas table through the signed client. A retried call may book twice, which does no harm."""

    def __init__(self, dynamodb: Calls, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        # Try the case of the last booking first: then most bookings take one write.
        self._is_ahead = False

    async def book(self, take_us: int, floor_us: int) -> int:
        """Add `take_us` to `freeAtUs`, or to `floor_us` if that is later; return the value added to.

        Times are microseconds since 1970. Raises GroupcastError.
        """
        is_ahead = self._is_ahead
        for _ in range(TRIES_MAX):
            try:
                book = self._extend if is_ahead else self._restart
                free_at_us = await book(take_us, floor_us)
            except ServiceError as error:
                if error.code != CONDITION_FAILED:
                    raise
                is_ahead = not is_ahead
            else:
                self._is_ahead = is_ahead
                return free_at_us
        raise ContendedError(f"no booking in {TRIES_MAX} tries")

    async def _extend(self, take_us: int, floor_us: int) -> int:
        free_at_us = await self._update(
            "SET freeAtUs = freeAtUs + :take", "freeAtUs >= :floor", {":take": take_us, ":floor": floor_us}
        )
        return free_at_us - take_us

    async def _restart(self, take_us: int, floor_us: int) -> int:
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
