"""Token buckets in a table: each is an item's number `fullAtUs`, and one write takes tokens from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from groupcast.errors import ChatError, Code

if TYPE_CHECKING:
    from groupcast.ratelimit import Charge

# Buckets that an environment remembers; a forgotten one costs an extra write unless it is full.
KNOWN_MAX = 1_000
# Others may change the number between two tries, but hardly this often.
TRIES_MAX = 4

Values: TypeAlias = dict[str, str | int]
# Takes the expression for `fullAtUs`, the condition, and the values of both. Returns whether the item was
# updated, and the item before that.
Update: TypeAlias = Callable[[str, str, Values], Awaitable[tuple[bool, Mapping[str, Any]]]]


async def update_if(dynamodb: Any, **request: Any) -> tuple[bool, Mapping[str, Any]]:
    """UpdateItem: returns whether the condition held, and the item before (empty if there was none)."""
    try:
        answer = await dynamodb.update_item(
            ReturnValues="ALL_OLD", ReturnValuesOnConditionCheckFailure="ALL_OLD", **request
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as failed:
        return False, failed.response.get("Item", {})
    return True, answer.get("Attributes", {})


class Buckets:
    """Takes tokens from buckets, and remembers the last known state of each.

    A bucket's number only grows, unless tokens are refunded. A bucket known to be too empty therefore stays
    so until its time comes, and most refusals during a flood need no request. The number also tells which
    of the two writes will succeed.
    """

    def __init__(self) -> None:
        self._full_at_us: dict[str, int] = {}

    def take(
        self, name: str, charge: Charge, now_us: int, refusal: str, update: Update
    ) -> Awaitable[tuple[bool, Mapping[str, Any]]]:
        """Take tokens with `update`; return whether it was made, and the item before it.

        It was not made if `update`'s own condition failed. Raises ChatError (RateLimited, with the text
        `refusal`) if the bucket has too few tokens: at once if that is known, otherwise from the awaitable.
        """
        self.require(name, charge, now_us, refusal)
        return self._take(name, charge, now_us, refusal, update)

    def require(self, name: str, charge: Charge, now_us: int, refusal: str) -> None:
        """Raise ChatError (RateLimited) if the bucket is known to be too empty; take nothing."""
        full_at_us = self._full_at_us.get(name, 0)
        if full_at_us > charge.latest_full_us(now_us):
            raise ChatError(
                Code.RATE_LIMITED, refusal, retry_after_ms=charge.retry_after_ms(full_at_us, now_us)
            )

    def remember(self, name: str, full_at_us: int) -> None:
        """Remember the time when a bucket is full again."""
        self._full_at_us[name] = max(full_at_us, self._full_at_us.pop(name, 0))
        if len(self._full_at_us) > KNOWN_MAX:
            del self._full_at_us[next(iter(self._full_at_us))]

    def forget(self, name: str) -> None:
        """Forget a bucket's state."""
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
                # TTL has deleted the item, or somebody has refunded tokens.
                self.forget(name)
            self.remember(name, full_at_us)
            self.require(name, charge, now_us, refusal)
            if full == (full_at_us <= now_us):
                return False, old
        raise ChatError(Code.RATE_LIMITED, refusal, retry_after_ms=1)
