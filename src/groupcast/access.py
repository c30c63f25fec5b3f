"""What a connection may do: whose it is, whether its sign-in holds, and what its user has left to spend."""

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
    """Judges callers. `auth_required` refuses connections that nobody signed in for.

    Every method raises ChatError for an action that the caller may not do, RateLimited for one too soon.
    """

    def __init__(
        self, connections: Connections, users: Users, *, auth_required: bool, now_ms: Callable[[], int]
    ) -> None:
        self._connections = connections
        self._users = users
        self._auth_required = auth_required
        self._now_ms = now_ms

    async def count(self, caller: Caller) -> None:
        """Count a new connection of a user; a user who has too many loses those that are gone first."""
        full = await self._users.enter(caller, self._now_us())
        if full is None:
            return
        connected = full.connection_ids
        await self._users.charge_refused(caller, self._now_us(), looks=full.may_look)
        if full.may_look:
            present = await self._connections.present(connected, self._now_ms() // 1000)
            await self._users.leave(caller, connected - present)
            if connected - present and await self._users.enter(caller, self._now_us()) is None:
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

    async def owe(self, caller: Caller, tokens: float) -> None:
        """Take tokens for work that is done; negative ones are given back."""
        await self._users.owe(caller, tokens, self._now_us())

    async def owe_read(self, caller: Caller, size_bytes: int) -> None:
        """Charge what a page of so many bytes costs beyond READ_TOKENS, which JOIN_TOKENS include."""
        tokens = read_tokens(size_bytes) - READ_TOKENS
        if tokens > 0:
            await self.owe(caller, tokens)

    async def charged(self, caller: Caller, tokens: float, *, consistent: bool = True) -> Member | None:
        """The connection, read while tokens are taken."""
        taking = self.take(caller, tokens)
        reading = self._connections.get(caller.connection_id, consistent=consistent)
        _, member = await asyncio.gather(taking, reading)
        return member

    def signed_in(self, member: Member | None) -> Member:
        """The connection, whose sign-in holds."""
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
        """The connection, and the group that it means: `wanted`, or the one joined last."""
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
