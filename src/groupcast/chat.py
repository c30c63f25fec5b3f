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
    LEAVE_TOKENS,
    PING_TOKENS,
    READ_TOKENS,
    RENEW_TOKENS,
    join_tokens,
    message_tokens,
    text_bytes,
)
from groupcast.replays import Replays
from groupcast.tables.connections import ChangedError
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
    from groupcast.tables.users import Users

DAY_S = 24 * 60 * 60
# Frames of one connection that change its groups or rights at the same time take turns.
CHANGES_MAX = 5
CHANGE_RETRY_BASE_S = 0.02

Frame = dict[str, Any]
T = TypeVar("T")


class Chat:
    """What a frame does, and the frame it is answered with.

    `express` offers messages to the fan-out (None: all go through the stream). `verify` tells whose a token
    is (TokenError: nobody's), `now_ms` gives milliseconds since 1970, `random` that many random bytes. Every
    method raises ChatError for what the client may not do, RateLimited for what they may not do yet.
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
        self._access = Access(connections, users, auth_required=auth_required, now_ms=now_ms)
        self._connections = connections
        self._messages = messages
        self._replays = Replays(messages, self._access)
        self._groups = groups
        self._users = users
        self._express = express
        self._verify = verify
        self._retention_s = retention_days * DAY_S
        self._now_ms = now_ms
        self._random = random

    async def connect(self, member: Member, connected_at_ms: int) -> None:
        """Remember a new connection; RateLimited where its user has as many as they may."""
        caller = Caller(member.connection_id, member.user_id)
        self._access.require_connect(caller)
        # In this order: one that is counted is there for others to see.
        await self._connections.add(member, connected_at_ms)
        if caller.user_id is None:
            return
        try:
            await self._access.count(caller)
        except Exception:
            # An item that stays is swept by TTL; the client must learn why it was refused.
            with contextlib.suppress(Exception):
                await self._connections.remove(caller.connection_id)
            raise

    async def disconnect(self, caller: Caller) -> None:
        """Forget a connection; whose it is need not be known, unless the fan-out has removed it before."""
        member = await self._connections.remove(caller.connection_id)
        user_id = caller.user_id if member is None else member.user_id or caller.user_id
        await self._users.leave(replace(caller, user_id=user_id), [caller.connection_id])

    async def join(self, caller: Caller, frame: Frame) -> Frame:
        """Move the connection into a group, or add groups to it; with `since`, replay what it missed."""
        wanted = protocol.parse_join(frame)

        async def change(current: Member | None) -> Plan:
            member = self._access.signed_in(current)
            planned = plan(member, wanted)
            if planned.joined:
                # Before heads are read: a message numbered after that finds the member already there.
                joined = [entry.group_id for entry in planned.joined]
                await self._connections.change_groups(member, planned.group_ids, joined)
            return planned

        planned = await self._change(caller, join_tokens(len(wanted.entries)), change)
        now_ms = self._now_ms()
        heads = await self._groups.heads([entry.group_id for entry in planned.joined])
        results = await self._replays.results(caller, planned.entries, heads, now_ms)
        return protocol.joined_many(results) if wanted.many else {"type": "joined", **results[0]}

    async def leave(self, caller: Caller, frame: Frame) -> Frame:
        """Take the connection out of a group; one in no group is answered with `groupId` null."""
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
        """Number and store a message in one of the sender's groups; the stream brings it to the members."""
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
        """Messages of one of the connection's groups, oldest first."""
        wanted = protocol.parse_history(frame)
        member = await self._access.charged(caller, READ_TOKENS)
        _, group_id = self._access.in_group(member, wanted.group_id)
        now_ms = self._now_ms()
        head = await self._groups.head(group_id)
        if wanted.since is None:
            before = head.last_seq + 1 if wanted.before is None else wanted.before
            all_small = head.large_seq < min(before, head.last_seq + 1) - wanted.limit - 1
            page = await self._messages.before(group_id, before, wanted.limit, all_small=all_small)
            await self._access.owe_read(caller, page.size_bytes)
            return protocol.history(group_id, page.messages, complete=not page.more)
        page = await self._replays.page(group_id, wanted.since, head, wanted.limit)
        await self._access.owe_read(caller, page.size_bytes)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.history(group_id, messages, complete=complete)

    async def ping(self, caller: Caller, _frame: Frame) -> Frame:
        """The connection's groups and how far each has come: a quiet client sees what it missed.

        Reads are eventually consistent: `lastSeq` may lie behind the client's, and the groups before its
        join. A connection that is no longer registered is in no group: the client joins, learns that it must
        connect again, and resumes with `since`.
        """
        member = await self._access.charged(caller, PING_TOKENS, consistent=False)
        if member is None or not self._access.signed_in(member).group_ids:
            return protocol.pong(caller.connection_id, {})
        open_groups = [one for one in member.group_ids if may_enter(one, member.groups)]
        heads = await self._groups.heads(open_groups, consistent=False)
        last_seqs = {group_id: head.last_seq for group_id, head in heads.items()}
        return protocol.pong(caller.connection_id, last_seqs)

    async def renew(self, caller: Caller, frame: Frame) -> Frame:
        """Go on with a new token of the same user; out of the groups that are now closed to them."""
        token = protocol.parse_renew(frame)

        async def change(current: Member | None) -> Frame:
            try:
                principal = await self._verify(token)
            except TokenError:
                raise ChatError(
                    Code.FORBIDDEN, "This token does not count here; sign in again and send the new one."
                ) from None
            member = present(current)
            if principal.user_id != member.user_id:
                raise ChatError(Code.FORBIDDEN, "The token is somebody else's; connect anew with it.")
            kept = [one for one in member.group_ids if may_enter(one, principal.groups)]
            await self._connections.renew(member, principal, kept)
            return protocol.renewed(kept, principal.authorized_until_s)

        return await self._change(caller, RENEW_TOKENS, change)

    async def _change(
        self, caller: Caller, tokens: float, change: Callable[[Member | None], Awaitable[T]]
    ) -> T:
        """Change a connection as it stands; again if another of its frames changed it meanwhile."""
        member = await self._access.charged(caller, tokens)
        for attempt in range(1, CHANGES_MAX):
            try:
                return await change(member)
            except ChangedError:
                await back_off(attempt, CHANGE_RETRY_BASE_S)
                member = await self._connections.get(caller.connection_id)
        return await change(member)

    async def _stored(self, user_id: str | None, message_id: str | None) -> Message | None:
        # An id that we are about to make up can't be taken.
        return None if message_id is None else await self._messages.get(message_key(user_id, message_id))

    async def _number(self, caller: Caller, group_id: str, now_ms: int, size_bytes: int) -> Numbered:
        """Take the group's next number; the user has their tokens back if the group takes no more."""
        try:
            return await self._groups.next_seq(group_id, now_ms, size_bytes)
        except ChatError:
            # All but what a ping costs: one user's flood at a full group must end, too.
            await self._access.owe(caller, PING_TOKENS - message_tokens(size_bytes))
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
            # After the number: `replay` knows by it when all lower numbers had been taken.
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
        # To its end, whatever fails beside it: a put that is given up half-way leaves a hole.
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
        """Store a message, or that its number is void; return which, and what became of the message.

        Without either its number would be a hole, which holds up all later messages in every client.
        """
        try:
            await self._messages.put(stored, expires_at_s)
        except AlreadyStoredError as taken:
            if taken.stored == stored.message:
                # By this very call: its first attempt was answered too late.
                return stored, stored.message
            # Two tries of one send ran side by side.
            outcome: Message | NotStoredError = taken.stored
        except NotStoredError as refused:
            # An earlier attempt of this call may have been taken.
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
        """Keep a busy group's next messages behind this one, which goes through the stream."""
        if now_ms < numbered.busy_until_ms < now_ms + QUIET_MS:
            await self._groups.keep_busy(group_id, now_ms + BUSY_MS)
