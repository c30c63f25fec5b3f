"""The rules of joining, leaving, sending and reading."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from groupcast import protocol
from groupcast.access import Access, present, require_membership
from groupcast.auth import may_enter
from groupcast.aws.backoff import back_off
from groupcast.errors import ChatError, Code, TokenError
from groupcast.holes import replay
from groupcast.joining import Plan, plan
from groupcast.model import Caller, Message, iso_ms, message_key, uuid7, void_message
from groupcast.ratelimit import (
    FURTHER_PING_TOKENS,
    FURTHER_RENEW_TOKENS,
    LEAVE_TOKENS,
    MARK_TOKENS,
    PING_TOKENS,
    READ_TOKENS,
    RENEW_TOKENS,
    join_tokens,
    message_tokens,
    text_bytes,
)
from groupcast.replays import Replays
from groupcast.tables.connections import ChangedError, ThrottledError
from groupcast.tables.groups import BUSY_MS, QUIET_MS
from groupcast.tables.items import StoredMessage
from groupcast.tables.messages import AlreadyStoredError, NotStoredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast.auth import Principal
    from groupcast.fanout.express import Express
    from groupcast.model import Member
    from groupcast.tables.connections import Connections
    from groupcast.tables.groups import Groups, Numbered
    from groupcast.tables.messages import Messages
    from groupcast.tables.progress import ProgressTables
    from groupcast.tables.users import Users

DAY_S = 24 * 60 * 60
# Frames of one connection that change its groups or rights at the same time take turns.
CHANGES_MAX = 5
CHANGE_RETRY_BASE_S = 0.02

Frame = dict[str, Any]
T = TypeVar("T")


class Chat:
    """Carries out each frame's action and returns the reply.

    `express` offers messages to the fan-out; with None, every message goes through the stream. `verify`
    returns the token's user or raises TokenError. `now_ms` returns milliseconds since 1970, `random(n)` n
    random bytes. Every method raises ChatError if the client may not do this, with the code RateLimited if
    it may do so later.
    """

    def __init__(
        self,
        connections: Connections,
        messages: Messages,
        groups: Groups,
        progress: ProgressTables,
        users: Users,
        *,
        express: Express | None,
        auth_required: bool,
        verify: Callable[[str], Awaitable[Principal]],
        retention_days: int,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._access = Access(connections, users, auth_required=auth_required, now_ms=now_ms)
        self._connections = connections
        self._messages = messages
        self._replays = Replays(messages, self._access)
        self._groups = groups
        self._progress = progress
        self._users = users
        self._express = express
        self._verify = verify
        self._retention_s = retention_days * DAY_S
        self._now_ms = now_ms
        self._random = random

    async def connect(self, member: Member, connected_at_ms: int) -> None:
        """Register a new connection; RateLimited if its user is at the connection limit or out of tokens."""
        caller = Caller(member.connection_id, member.user_id)
        self._access.require_connect(caller)
        # Add before counting: every counted connection must be visible to `present`.
        await self._connections.add(member, connected_at_ms)
        if caller.user_id is None:
            return
        try:
            await self._access.count(caller)
        except Exception:
            # TTL deletes an item that stays behind; the client must get the first error.
            with contextlib.suppress(Exception):
                await self._connections.remove(caller.connection_id)
            raise

    async def disconnect(self, caller: Caller) -> None:
        """Remove a connection. It needs `caller.user_id` only if nothing is left of the connection."""
        user_id = caller.user_id
        try:
            member = await self._connections.remove(caller.connection_id)
            if member is not None and member.user_id is not None:
                user_id = member.user_id
        finally:
            await self._users.remove_connections(replace(caller, user_id=user_id), [caller.connection_id])

    async def join(self, caller: Caller, frame: Frame) -> Frame:
        """Move the connection to a group, or add groups; with `since`, replay the messages it missed."""
        wanted = protocol.parse_join(frame)

        async def change(current: Member | None) -> Plan:
            member = self._access.signed_in(current)
            planned = plan(member, wanted)
            if planned.joined:
                # Join before reading heads: any message numbered later then reaches this member.
                joined = [entry.group_id for entry in planned.joined]
                await self._connections.change_groups(member, planned.group_ids, joined)
            return planned

        planned = await self._change(caller, join_tokens(len(wanted.entries)), change)
        now_ms = self._now_ms()
        groups = await self._progress.of(caller.user_id, [entry.group_id for entry in planned.joined])
        results = await self._replays.results(caller, planned.entries, groups, now_ms)
        return protocol.joined_many(results) if wanted.many else {"type": "joined", **results[0]}

    async def leave(self, caller: Caller, frame: Frame) -> Frame:
        """Remove the connection from a group; `groupId` in the reply is null if it was in none."""
        wanted = protocol.parse_leave(frame)

        async def change(current: Member | None) -> str | None:
            member = present(current)
            group_id = wanted or member.last_joined
            if group_id is not None:
                require_membership(member, group_id)
                left = [one for one in member.group_ids if one != group_id]
                await self._connections.change_groups(member, left, ())
            return group_id

        return protocol.left(await self._change(caller, LEAVE_TOKENS, change))

    async def send(self, caller: Caller, frame: Frame) -> Frame:
        """Number a message and store it in a group of the sender; the stream guarantees its delivery."""
        wanted = protocol.parse_send(frame)
        _, member, stored = await asyncio.gather(
            self._access.take(caller, message_tokens(text_bytes(wanted.text))),
            self._connections.get(caller.connection_id),
            self._stored(caller.user_id, wanted.message_id),
        )
        member, group_id = self._access.in_group(member, wanted.group_id)
        if stored is None:
            stored = await self._store(caller, wanted, group_id, member)
        if (stored.group_id, stored.text) != (group_id, wanted.text):
            raise ChatError(
                Code.CONFLICT, "You have sent another message with this messageId; use a new one."
            )
        return protocol.ack(stored)

    async def history(self, caller: Caller, frame: Frame) -> Frame:
        """Return messages of a group of the connection, oldest first."""
        wanted = protocol.parse_history(frame)
        member = await self._access.charged(caller, READ_TOKENS)
        _, group_id = self._access.in_group(member, wanted.group_id)
        now_ms = self._now_ms()
        head = await self._groups.head(group_id)
        if wanted.since is None:
            before = head.last_seq + 1 if wanted.before is None else wanted.before
            all_small = head.large_seq < min(before, head.last_seq + 1) - wanted.limit - 1
            page = await self._messages.before(group_id, before, wanted.limit, all_small=all_small)
            await self._access.debit_page(caller, page.size_bytes)
            return protocol.history(group_id, page.messages, complete=not page.more)
        page = await self._replays.page(group_id, wanted.since, head, wanted.limit)
        await self._access.debit_page(caller, page.size_bytes)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.history(group_id, messages, complete=complete)

    async def ping(self, caller: Caller, _frame: Frame) -> Frame:
        """Return the connection's groups and their last seqs, so that a quiet client notices missed messages.

        Reads are eventually consistent: `lastSeq` may be behind the client's, and `groups` may predate its
        join. For a connection that is no longer registered they are empty: the client then joins, is told
        to connect again, and resumes with `since`.
        """
        member = await self._access.charged(caller, PING_TOKENS, consistent=False)
        if member is None or not self._access.signed_in(member).group_ids:
            return protocol.pong(caller.connection_id, {})
        open_groups = [one for one in member.group_ids if may_enter(one, member.groups)]
        await self._access.debit_further(caller, len(open_groups), FURTHER_PING_TOKENS)
        groups = await self._progress.of(caller.user_id, open_groups, consistent=False)
        return protocol.pong(caller.connection_id, groups)

    async def mark_read(self, caller: Caller, frame: Frame) -> Frame:
        """Note how far the user has read a group, so that each of their devices can count unread messages."""
        wanted = protocol.parse_mark_read(frame)
        member = await self._access.charged(caller, MARK_TOKENS)
        member, group_id = self._access.in_group(member, wanted.group_id)
        if member.user_id is None:
            raise ChatError(Code.FORBIDDEN, "Guests have no read marks; sign in to keep them.")
        last_seq = (await self._groups.head(group_id)).last_seq
        if wanted.seq > last_seq:
            raise ChatError(Code.BAD_REQUEST, "seq is beyond the group's last message.")
        if last_seq == 0:
            # Names of empty groups must not fill the table.
            return protocol.marked(group_id, 0)
        read_seq = await self._progress.mark_read(member.user_id, group_id, wanted.seq)
        return protocol.marked(group_id, read_seq)

    async def renew(self, caller: Caller, frame: Frame) -> Frame:
        """Extend the sign-in with a new token of the same user; leave groups that it no longer permits."""
        token = protocol.parse_renew(frame)

        async def change(current: Member | None) -> Frame:
            try:
                principal = await self._verify(token)
            except TokenError:
                raise ChatError(
                    Code.FORBIDDEN, "This token is not valid here; sign in again and send the new one."
                ) from None
            member = present(current)
            if principal.user_id != member.user_id:
                raise ChatError(
                    Code.FORBIDDEN, "This token belongs to another user; connect again to use it."
                )
            kept = [one for one in member.group_ids if may_enter(one, principal.groups)]
            if (principal.authorized_until_s, principal.groups) != (member.authorized_until_s, member.groups):
                await self._access.debit_further(caller, len(member.group_ids), FURTHER_RENEW_TOKENS)
                await self._connections.renew(member, principal, kept)
            return protocol.renewed(kept, principal.authorized_until_s)

        return await self._change(caller, RENEW_TOKENS, change)

    async def _change(
        self, caller: Caller, tokens: float, change: Callable[[Member | None], Awaitable[T]]
    ) -> T:
        """Apply `change` to the connection; again if another frame changed it or DynamoDB throttled."""
        member = await self._access.charged(caller, tokens)
        for attempt in range(1, CHANGES_MAX):
            try:
                return await change(member)
            except (ChangedError, ThrottledError):
                await back_off(attempt, CHANGE_RETRY_BASE_S)
                member = await self._connections.get(caller.connection_id)
        return await change(member)

    async def _stored(self, user_id: str | None, message_id: str | None) -> Message | None:
        # Without an id from the client there is nothing to look up.
        return None if message_id is None else await self._messages.get(message_key(user_id, message_id))

    async def _number(self, caller: Caller, group_id: str, now_ms: int, size_bytes: int) -> Numbered:
        """Take the group's next number; refund the user's tokens if the group is over its limit."""
        try:
            return await self._groups.next_seq(group_id, now_ms, size_bytes)
        except ChatError:
            # Keep a ping's cost, so that flooding a full group still empties the user's bucket.
            await self._access.debit(caller, PING_TOKENS - message_tokens(size_bytes))
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
