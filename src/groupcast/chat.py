"""The rules of joining, leaving, sending and reading."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groupcast import protocol
from groupcast.auth import may_enter
from groupcast.errors import ChatError, Code, TokenError
from groupcast.holes import replay
from groupcast.model import Caller, Message, iso_ms, message_key, uuid7, void_message
from groupcast.ratelimit import (
    JOIN_TOKENS,
    LEAVE_TOKENS,
    PING_TOKENS,
    READ_TOKENS,
    RENEW_TOKENS,
    US_PER_MS,
    message_tokens,
    read_tokens,
    text_bytes,
)
from groupcast.tables.connections import GONE
from groupcast.tables.groups import BUSY_MS, QUIET_MS
from groupcast.tables.items import StoredMessage
from groupcast.tables.messages import AlreadyStoredError, NotStoredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast.auth import Principal
    from groupcast.fanout.express import Express
    from groupcast.model import Head, Member
    from groupcast.tables.connections import Connections
    from groupcast.tables.groups import Groups, Numbered
    from groupcast.tables.messages import Messages, Page
    from groupcast.tables.users import Users

DAY_S = 24 * 60 * 60

Frame = dict[str, Any]


class Chat:
    """Carries out each frame's action and returns the reply.

    `express` offers messages to the fan-out; with None, every message goes through the stream. With
    `auth_required`, a connection without a token expiry counts as expired: it predates sign-in. `verify`
    returns the token's user or raises TokenError. `now_ms` returns milliseconds since 1970, `random(n)` n
    random bytes. Every method raises ChatError if the client may not do this, with the code RateLimited if
    it may do so later.
    """

    def __init__(
        self,
        connections: Connections,
        messages: Messages,
        groups: Groups,
        users: Users,
        *,
        express: Express | None,
        auth_required: bool,
        verify: Callable[[str], Awaitable[Principal]],
        retention_days: int,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._connections = connections
        self._messages = messages
        self._groups = groups
        self._users = users
        self._express = express
        self._auth_required = auth_required
        self._verify = verify
        self._retention_s = retention_days * DAY_S
        self._now_ms = now_ms
        self._random = random

    async def connect(self, member: Member, connected_at_ms: int) -> None:
        """Register a new connection; RateLimited if its user is at the connection limit or out of tokens."""
        caller = Caller(member.connection_id, member.user_id)
        self._users.require_connect(caller, self._now_ms() * US_PER_MS)
        # Add before counting: every counted connection must be visible to `present`.
        await self._connections.add(member, connected_at_ms)
        if caller.user_id is None:
            return
        try:
            await self._enter(caller)
        except Exception:
            # TTL deletes an item that stays behind; the client must get the first error.
            with contextlib.suppress(Exception):
                await self._connections.remove(caller.connection_id)
            raise

    async def disconnect(self, caller: Caller) -> None:
        """Remove a connection. It needs `caller.user_id` only if the fan-out has already removed the item."""
        user_id = await self._connections.remove(caller.connection_id) or caller.user_id
        await self._users.remove_connections(replace(caller, user_id=user_id), [caller.connection_id])

    async def join(self, caller: Caller, frame: Frame) -> Frame:
        """Move the connection to a group; with `since`, replay the messages it missed."""
        wanted = protocol.parse_join(frame)
        member = self._signed_in(await self._charged(caller, JOIN_TOKENS))
        _require_entry(member, wanted.group_id)
        # Join before reading `lastSeq`: any message numbered later then reaches this member.
        await self._connections.join(member, wanted.group_id)
        now_ms = self._now_ms()
        head = await self._groups.head(wanted.group_id)
        if wanted.since is None:
            return protocol.joined(wanted.group_id, head.last_seq, (), complete=True)
        page = await self._read_after(caller, wanted.group_id, wanted.since, protocol.MAX_HISTORY, head)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.joined(wanted.group_id, head.last_seq, messages, complete=complete)

    async def leave(self, caller: Caller, _frame: Frame) -> Frame:
        """Remove the connection from its group; `groupId` in the reply is null if it was in none."""
        await self._take(caller, LEAVE_TOKENS)
        return protocol.left(await self._connections.leave(caller.connection_id))

    async def send(self, caller: Caller, frame: Frame) -> Frame:
        """Number a message and store it in the sender's group; the stream guarantees its delivery."""
        wanted = protocol.parse_send(frame)
        _, member, stored = await asyncio.gather(
            self._take(caller, message_tokens(text_bytes(wanted.text))),
            self._connections.get(caller.connection_id),
            self._stored(caller.user_id, wanted.message_id),
        )
        member, group_id = self._in_group(member)
        if stored is None:
            stored = await self._store(caller, wanted, group_id, member)
        if (stored.group_id, stored.text) != (group_id, wanted.text):
            raise ChatError(
                Code.CONFLICT, "You have sent another message with this messageId; use a new one."
            )
        return protocol.ack(stored)

    async def history(self, caller: Caller, frame: Frame) -> Frame:
        """Return messages of the connection's group, oldest first."""
        wanted = protocol.parse_history(frame)
        _, group_id = self._in_group(await self._charged(caller, READ_TOKENS))
        now_ms = self._now_ms()
        head = await self._groups.head(group_id)
        if wanted.since is None:
            before = head.last_seq + 1 if wanted.before is None else wanted.before
            all_small = head.large_seq < min(before, head.last_seq + 1) - wanted.limit - 1
            page = await self._messages.before(group_id, before, wanted.limit, all_small=all_small)
            await self._charge_page(caller, page)
            return protocol.history(group_id, page.messages, complete=not page.more)
        page = await self._read_after(caller, group_id, wanted.since, wanted.limit, head)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.history(group_id, messages, complete=complete)

    async def ping(self, caller: Caller, _frame: Frame) -> Frame:
        """Return the connection's group and its last seq, so that a quiet client notices missed messages.

        Reads are eventually consistent: `lastSeq` may be behind the client's, and `groupId` may predate its
        join. For a connection that is no longer registered `groupId` is null: the client then joins, is told
        to connect again, and resumes with `since`.
        """
        connection_id = caller.connection_id
        member = await self._charged(caller, PING_TOKENS, consistent=False)
        if member is None or self._signed_in(member).group_id is None:
            return protocol.pong(connection_id, None, None)
        _, group_id = self._in_group(member)
        head = await self._groups.head(group_id, consistent=False)
        return protocol.pong(connection_id, group_id, head.last_seq)

    async def renew(self, caller: Caller, frame: Frame) -> Frame:
        """Extend the sign-in with a new token of the same user; leave a group that it no longer permits."""
        token = protocol.parse_renew(frame)
        member = await self._charged(caller, RENEW_TOKENS)
        try:
            principal = await self._verify(token)
        except TokenError:
            raise ChatError(
                Code.FORBIDDEN, "This token is not valid here; sign in again and send the new one."
            ) from None
        member = _present(member)
        if principal.user_id != member.user_id:
            raise ChatError(Code.FORBIDDEN, "This token belongs to another user; connect again to use it.")
        stays = member.group_id is not None and may_enter(member.group_id, principal.groups)
        await self._connections.renew(member, principal, stays=stays)
        return protocol.renewed(member.group_id if stays else None, principal.authorized_until_s)

    async def _enter(self, caller: Caller) -> None:
        """Count a user's connection; at the limit, first stop counting those that are gone."""
        at_limit = await self._users.add_connection(caller, self._now_ms() * US_PER_MS)
        if at_limit is None:
            return
        connected = at_limit.connection_ids
        await self._users.charge_refused(caller, self._now_ms() * US_PER_MS, looks=at_limit.may_look)
        if at_limit.may_look:
            present = await self._connections.present(connected, self._now_ms() // 1000)
            gone = connected - present
            await self._users.remove_connections(caller, gone)
            if gone and await self._users.add_connection(caller, self._now_ms() * US_PER_MS) is None:
                return
        raise ChatError(
            Code.RATE_LIMITED, f"You have {len(connected)} connections; close one and connect again."
        )

    def _take(self, caller: Caller, tokens: float) -> Awaitable[object]:
        """Take a user's tokens. Raises at once if the bucket is known to be too empty."""
        return self._users.take(caller, tokens, self._now_ms() * US_PER_MS)

    async def _charged(self, caller: Caller, tokens: float, *, consistent: bool = True) -> Member | None:
        """Take tokens and read the connection at the same time."""
        taking = self._take(caller, tokens)
        reading = self._connections.get(caller.connection_id, consistent=consistent)
        _, member = await asyncio.gather(taking, reading)
        return member

    async def _read_after(self, caller: Caller, group_id: str, since: int, limit: int, head: Head) -> Page:
        page = await self._messages.after(group_id, since, limit, all_small=head.large_seq <= since)
        await self._charge_page(caller, page)
        return page

    async def _charge_page(self, caller: Caller, page: Page) -> None:
        """Charge the cost of a page above READ_TOKENS, which are already paid (JOIN_TOKENS include them)."""
        tokens = read_tokens(page.size_bytes) - READ_TOKENS
        if tokens > 0:
            await self._users.debit(caller, tokens, self._now_ms() * US_PER_MS)

    def _signed_in(self, member: Member | None) -> Member:
        member = _present(member)
        until_s = member.authorized_until_s
        if until_s is None and not self._auth_required:
            return member
        if until_s is None or self._now_ms() >= until_s * 1000:
            raise ChatError(
                Code.FORBIDDEN, "Your sign-in has expired; send renew with a new token, or connect again."
            )
        return member

    def _in_group(self, member: Member | None) -> tuple[Member, str]:
        if member is None or member.group_id is None:
            raise ChatError(Code.NOT_IN_GROUP, "Join a group first.")
        _require_entry(self._signed_in(member), member.group_id)
        return member, member.group_id

    async def _stored(self, user_id: str | None, message_id: str | None) -> Message | None:
        # Without an id from the client there is nothing to look up.
        return None if message_id is None else await self._messages.get(message_key(user_id, message_id))

    async def _number(self, caller: Caller, group_id: str, now_ms: int, size_bytes: int) -> Numbered:
        """Take the group's next number; refund the user's tokens if the group is over its limit."""
        try:
            return await self._groups.next_seq(group_id, now_ms, size_bytes)
        except ChatError:
            # Keep a ping's cost, so that flooding a full group still empties the user's bucket.
            await self._users.debit(caller, PING_TOKENS - message_tokens(size_bytes), now_ms * US_PER_MS)
            raise

    async def _store(self, caller: Caller, wanted: protocol.Send, group_id: str, member: Member) -> Message:
        now_ms = self._now_ms()
        numbered = await self._number(caller, group_id, now_ms, text_bytes(wanted.text))
        message = Message(
            message_id=wanted.message_id or uuid7(now_ms, self._random(10)),
            group_id=group_id,
            seq=numbered.seq,
            sender=member.sender,
            text=wanted.text,
            # Read after taking the number: `replay` relies on all lower numbers being older.
            created_at=iso_ms(self._now_ms()),
            user_id=member.user_id,
        )
        express = self._express if now_ms >= numbered.busy_until_ms else None
        if express is not None and not express.is_open:
            express = None
        stored = StoredMessage(message, numbered.audience, express=express is not None)
        expires_at_s = now_ms // 1000 + self._retention_s if self._retention_s else None
        turn_s = 0.0 if express is None else express.turn_s(numbered.moved_at_ms, self._now_ms())
        beside = asyncio.gather(self._stay_busy(group_id, numbered, now_ms), asyncio.sleep(turn_s))
        # Await the put first, whatever happens to `beside`: cancelling a put would leave a hole.
        stored, outcome = await self._put(stored, expires_at_s)
        await beside
        if express is not None:
            await express.offer(stored)
        if isinstance(outcome, NotStoredError):
            raise outcome
        return outcome

    async def _put(
        self, stored: StoredMessage, expires_at_s: int | None
    ) -> tuple[StoredMessage, Message | NotStoredError]:
        """Store a message or, if that fails, a void message under its number; return it and the outcome.

        A number without either would be a hole, which delays all later messages in every client.
        """
        try:
            await self._messages.put(stored, expires_at_s)
        except AlreadyStoredError as taken:
            if taken.stored == stored.message:
                # This call stored it: the SDK repeated a request whose answer was lost.
                return stored, stored.message
            # The client sent the same message twice at the same time.
            outcome: Message | NotStoredError = taken.stored
        except NotStoredError as refused:
            # An earlier attempt of this call may have succeeded.
            if await self._messages.get(stored.message.key) == stored.message:
                return stored, stored.message
            outcome = refused
        else:
            return stored, stored.message
        key, failed = uuid7(self._now_ms(), self._random(10)), stored.message
        void = void_message(key, failed.group_id, failed.seq, failed.created_at)
        stored = replace(stored, message=void)
        await self._messages.put(stored, expires_at_s)
        return stored, outcome

    async def _stay_busy(self, group_id: str, numbered: Numbered, now_ms: int) -> None:
        """Mark the group as busy, so that its next messages follow this one through the stream."""
        if now_ms < numbered.busy_until_ms < now_ms + QUIET_MS:
            await self._groups.keep_busy(group_id, now_ms + BUSY_MS)


def _present(member: Member | None) -> Member:
    if member is None:
        raise ChatError(Code.CONFLICT, GONE)
    return member


def _require_entry(member: Member, group_id: str) -> None:
    if not may_enter(group_id, member.groups):
        raise ChatError(
            Code.FORBIDDEN, f"{group_id} is private: your user must be in the user pool's group of this name."
        )
