"""Checks a connection's sign-in, membership and tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from groupcast.auth import may_enter
from groupcast.errors import ChatError, Code
from groupcast.ratelimit import READ_TOKENS, US_PER_MS, read_tokens
from groupcast.tables.connections import GONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast.model import Caller, Member
    from groupcast.tables.connections import Connections
    from groupcast.tables.users import Users


class Access:
    """Admits callers. With `auth_required`, a connection without a token expiry counts as expired.

    Such a connection predates sign-in.
    Every method raises ChatError if the caller may not do this, with the code RateLimited if it may later.
    """

    def __init__(
        self, connections: Connections, users: Users, *, auth_required: bool, now_ms: Callable[[], int]
    ) -> None:
        self._connections = connections
        self._users = users
        self._auth_required = auth_required
        self._now_ms = now_ms

    async def count(self, caller: Caller) -> None:
        """Count a user's new connection; at the limit, first stop counting those that are gone."""
        at_limit = await self._users.add_connection(caller, self._now_us())
        if at_limit is None:
            return
        connected = at_limit.connection_ids
        await self._users.charge_refused(caller, self._now_us(), looks=at_limit.may_look)
        if at_limit.may_look:
            gone = connected - await self._connections.present(connected, self._now_ms() // 1000)
            await self._users.remove_connections(caller, gone)
            if gone and await self._users.add_connection(caller, self._now_us()) is None:
                return
        raise ChatError(
            Code.RATE_LIMITED, f"You have {len(connected)} connections; close one and connect again."
        )

    def require_connect(self, caller: Caller) -> None:
        """Refuse a user who is known to have too few tokens to connect. Asks nobody."""
        self._users.require_connect(caller, self._now_us())

    def take(self, caller: Caller, tokens: float) -> Awaitable[object]:
        """Take a user's tokens. Raises at once if the bucket is known to be too empty."""
        return self._users.take(caller, tokens, self._now_us())

    async def debit(self, caller: Caller, tokens: float) -> None:
        """Take tokens for work already done; a negative number returns tokens."""
        await self._users.debit(caller, tokens, self._now_us())

    async def debit_further(self, caller: Caller, groups: int, tokens: float) -> None:
        """Charge `tokens` for each group beyond the first, where an action costs more with more groups."""
        if groups > 1:
            await self.debit(caller, (groups - 1) * tokens)

    async def debit_page(self, caller: Caller, size_bytes: int) -> None:
        """Charge the cost of a page above READ_TOKENS, which are already paid (JOIN_TOKENS include them)."""
        tokens = read_tokens(size_bytes) - READ_TOKENS
        if tokens > 0:
            await self.debit(caller, tokens)

    async def charged(self, caller: Caller, tokens: float, *, consistent: bool = True) -> Member | None:
        """Take tokens and read the connection at the same time."""
        taking = self.take(caller, tokens)
        reading = self._connections.get(caller.connection_id, consistent=consistent)
        _, member = await asyncio.gather(taking, reading)
        return member

    def signed_in(self, member: Member | None) -> Member:
        """The connection, if its sign-in is still valid."""
        member = present(member)
        until_s = member.authorized_until_s
        if until_s is None and not self._auth_required:
            return member
        if until_s is None or self._now_ms() >= until_s * 1000:
            raise ChatError(
                Code.FORBIDDEN, "Your sign-in has expired; send renew with a new token, or connect again."
            )
        return member

    def in_group(self, member: Member | None, wanted: str | None) -> tuple[Member, str]:
        """The connection and its group `wanted`, by default the one joined last."""
        group_id = None if member is None else wanted or member.last_joined
        if member is None or group_id is None:
            raise ChatError(Code.NOT_IN_GROUP, "Join a group first.")
        require_membership(member, group_id)
        require_entry(self.signed_in(member), group_id)
        return member, group_id

    def _now_us(self) -> int:
        return self._now_ms() * US_PER_MS


def present(member: Member | None) -> Member:
    """The connection. ChatError (Conflict) where it is gone."""
    if member is None:
        raise ChatError(Code.CONFLICT, GONE)
    return member


def require_membership(member: Member, group_id: str) -> None:
    """ChatError (NotInGroup) for a group that the connection has not joined."""
    if group_id not in member.group_ids:
        raise ChatError(Code.NOT_IN_GROUP, "This connection is not in that group; join it first.")


def require_entry(member: Member, group_id: str) -> None:
    """ChatError (Forbidden) for a group that is closed to the connection's user."""
    if not may_enter(group_id, member.groups):
        raise ChatError(
            Code.FORBIDDEN, f"{group_id} is private: your user must be in the user pool's group of this name."
        )
