"""Buckets in a table: each is one number, `fullAtUs` of an item, and an action takes from it in one write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from groupcast.errors import ChatError, Code

if TYPE_CHECKING:
    from groupcast.ratelimit import Charge

# Buckets that an environment remembers; those that it forgets cost a write more where they are not full.
KNOWN_MAX = 1_000
# Others can change the number between two tries, but not again and again.
TRIES_MAX = 4

Values: TypeAlias = dict[str, str | int]
# Given what to assign to `fullAtUs`, the condition, and the values of both: whether the item was updated, and
# the item as it was before.
Update: TypeAlias = Callable[[str, str, Values], Awaitable[tuple[bool, Mapping[str, Any]]]]


async def update_if(dynamodb: Any, **request: Any) -> tuple[bool, Mapping[str, Any]]:
    """UpdateItem by an aioboto3 client: whether the condition held, and the item before (empty: none)."""
    try:
        answer = await dynamodb.update_item(
            ReturnValues="ALL_OLD", ReturnValuesOnConditionCheckFailure="ALL_OLD", **request
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as failed:
        return False, failed.response.get("Item", {})
    return True, answer.get("Attributes", {})


class Buckets:
    """Takes from buckets, and remembers what it has seen of them.

    A bucket's number grows, unless tokens are given back. One that was too empty for an action still is
    until the time says otherwise, so that most refusals of a flood cost no request; and the number tells
    which write will pass.
    """

    def __init__(self) -> None:
        self._full_at_us: dict[str, int] = {}

    def take(
        self, name: str, charge: Charge, now_us: int, refusal: str, update: Update
    ) -> Awaitable[tuple[bool, Mapping[str, Any]]]:
        """Take from a bucket: whether `update` was made, and the item before it.

        Returns False if `update`'s own condition failed. ChatError (RateLimited, with the text
        `refusal`) where the bucket has too little: at once where that is known, or from the awaitable.
        """
        self.require(name, charge, now_us, refusal)
        return self._take(name, charge, now_us, refusal, update)

    def require(self, name: str, charge: Charge, now_us: int, refusal: str) -> None:
        """Raise what `take` raises at once, and take nothing."""
        full_at_us = self._full_at_us.get(name, 0)
        if full_at_us > charge.latest_full_us(now_us):
            raise ChatError(
                Code.RATE_LIMITED, refusal, retry_after_ms=charge.retry_after_ms(full_at_us, now_us)
            )

    def remember(self, name: str, full_at_us: int) -> None:
        """Note when a bucket is full again."""
        self._full_at_us[name] = max(full_at_us, self._full_at_us.pop(name, 0))
        if len(self._full_at_us) > KNOWN_MAX:
            del self._full_at_us[next(iter(self._full_at_us))]

    def forget(self, name: str) -> None:
        """Know nothing of a bucket any more."""
        self._full_at_us.pop(name, None)

    async def _take(
        self, name: str, charge: Charge, now_us: int, refusal: str, update: Update
    ) -> tuple[bool, Mapping[str, Any]]:
        credible_us = charge.last_credible_us(now_us)
        for _ in range(TRIES_MAX):
            full = self._full_at_us.get(name, 0) <= now_us
            if full:
                done, old = await update(
                    ":next",
                    "(attribute_not_exists(fullAtUs) OR fullAtUs <= :now OR fullAtUs > :credible)",
                    {":next": now_us + charge.cost_us, ":now": now_us, ":credible": credible_us},
                )
            else:
                done, old = await update(
                    "fullAtUs + :cost",
                    "fullAtUs BETWEEN :now AND :latest",
                    {":cost": charge.cost_us, ":now": now_us, ":latest": charge.latest_full_us(now_us)},
                )
            full_at_us = int(old["fullAtUs"]["N"]) if "fullAtUs" in old else 0
            full_at_us = full_at_us if full_at_us <= credible_us else 0
            if done:
                self.remember(name, charge.next_full_us(full_at_us, now_us))
                return True, old
            if full_at_us <= now_us:
                # Swept by TTL meanwhile, or tokens were given back elsewhere.
                self.forget(name)
            self.remember(name, full_at_us)
            self.require(name, charge, now_us, refusal)
            if full == (full_at_us <= now_us):
                return False, old
        raise ChatError(Code.RATE_LIMITED, refusal, retry_after_ms=1)
