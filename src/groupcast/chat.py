"""The rules of joining, leaving, sending and reading."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groupcast import protocol
from groupcast.auth import may_enter
from groupcast.errors import ChatError, Code, TokenError
from groupcast.holes import replay
from groupcast.model import Message, iso_ms, message_key, uuid7, void_message
from groupcast.ratelimit import US_PER_MS
from groupcast.tables.connections import GONE
from groupcast.tables.groups import BUSY_MS, QUIET_MS
from groupcast.tables.items import StoredMessage
from groupcast.tables.messages import AlreadyStoredError, NotStoredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from groupcast.auth import Principal
    from groupcast.fanout.express import Express
    from groupcast.model import Member
    from groupcast.ratelimit import Bucket
    from groupcast.tables.connections import Connections
    from groupcast.tables.groups import Groups, Numbered
    from groupcast.tables.messages import Messages

DAY_S = 24 * 60 * 60

Frame = dict[str, Any]


class Chat:
    """What a frame does, and the frame it is answered with.

    `express` offers messages to the fan-out (None: all go through the stream). `signs_in` says that a
    connection without a token's end is one from before that was asked for; `bucket` limits what one
    connection sends, `verify` tells whose a token is (TokenError: nobody's), `now_ms` gives milliseconds
    since 1970, `random` that many random bytes. Every method raises ChatError for what the client may not do.
    """

    def __init__(
        self,
        connections: Connections,
        messages: Messages,
        groups: Groups,
        *,
        express: Express | None,
        signs_in: bool,
        bucket: Bucket,
        verify: Callable[[str], Awaitable[Principal]],
        retention_days: int,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._connections = connections
        self._messages = messages
        self._groups = groups
        self._express = express
        self._signs_in = signs_in
        self._bucket = bucket
        self._verify = verify
        self._retention_s = retention_days * DAY_S
        self._now_ms = now_ms
        self._random = random

    async def connect(self, member: Member, connected_at_ms: int) -> None:
        """Remember a new connection."""
        await self._connections.add(member, connected_at_ms)

    async def disconnect(self, connection_id: str) -> None:
        """Forget a connection."""
        await self._connections.remove(connection_id)

    async def join(self, connection_id: str, frame: Frame) -> Frame:
        """Put the connection into a group; with `since`, replay what it missed."""
        wanted = protocol.parse_join(frame)
        member = self._signed_in(await self._connections.get(connection_id))
        _require_entry(member, wanted.group_id)
        # In this order: a message numbered after `lastSeq` was read finds the member already there.
        await self._connections.join(member, wanted.group_id)
        now_ms = self._now_ms()
        head = await self._groups.head(wanted.group_id)
        if wanted.since is None:
            return protocol.joined(wanted.group_id, head.last_seq, (), complete=True)
        page = await self._messages.after(wanted.group_id, wanted.since, protocol.MAX_HISTORY)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.joined(wanted.group_id, head.last_seq, messages, complete=complete)

    async def leave(self, connection_id: str, _frame: Frame) -> Frame:
        """Take the connection out of its group; one in no group is answered with `groupId` null."""
        return protocol.left(await self._connections.leave(connection_id))

    async def send(self, connection_id: str, frame: Frame) -> Frame:
        """Number and store a message in the sender's group; the stream brings it to the members."""
        wanted = protocol.parse_send(frame)
        now_us = self._now_ms() * US_PER_MS
        member, group_id = self._in_group(
            await self._connections.take_token(connection_id, self._bucket, now_us)
        )
        stored = await self._stored(member.user_id, wanted.message_id)
        if stored is None:
            stored = await self._store(wanted, group_id, member)
        if (stored.group_id, stored.text) != (group_id, wanted.text):
            raise ChatError(
                Code.CONFLICT, "You have sent another message with this messageId; use a new one."
            )
        return protocol.ack(stored)

    async def history(self, connection_id: str, frame: Frame) -> Frame:
        """Messages of the connection's group, oldest first."""
        wanted = protocol.parse_history(frame)
        _, group_id = self._in_group(await self._connections.get(connection_id))
        if wanted.since is None:
            before = protocol.MAX_SEQ if wanted.before is None else wanted.before
            page = await self._messages.before(group_id, before, wanted.limit)
            return protocol.history(group_id, page.messages, complete=not page.more)
        now_ms = self._now_ms()
        head = await self._groups.head(group_id)
        page = await self._messages.after(group_id, wanted.since, wanted.limit)
        messages, complete = replay(page, wanted.since, head, now_ms)
        return protocol.history(group_id, messages, complete=complete)

    async def ping(self, connection_id: str, _frame: Frame) -> Frame:
        """Which group the connection is in and how far that has come: a quiet client sees what it missed."""
        member = await self._connections.get(connection_id)
        if member is None or self._signed_in(member).group_id is None:
            return protocol.pong(connection_id, None, None)
        _, group_id = self._in_group(member)
        head = await self._groups.head(group_id)
        return protocol.pong(connection_id, group_id, head.last_seq)

    async def renew(self, connection_id: str, frame: Frame) -> Frame:
        """Go on with a new token of the same user; out of the group where that is now closed to them."""
        try:
            principal = await self._verify(protocol.parse_renew(frame))
        except TokenError:
            raise ChatError(
                Code.FORBIDDEN, "This token does not count here; sign in again and send the new one."
            ) from None
        member = _present(await self._connections.get(connection_id))
        if principal.user_id != member.user_id:
            raise ChatError(Code.FORBIDDEN, "The token is somebody else's; connect anew with it.")
        stays = member.group_id is not None and may_enter(member.group_id, principal.groups)
        await self._connections.renew(member, principal, stays=stays)
        return protocol.renewed(member.group_id if stays else None, principal.authorized_until_s)

    def _signed_in(self, member: Member | None) -> Member:
        member = _present(member)
        until_s = member.authorized_until_s
        if until_s is None and not self._signs_in:
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
        # An id that we are about to make up can't be taken.
        return None if message_id is None else await self._messages.get(message_key(user_id, message_id))

    async def _store(self, wanted: protocol.Send, group_id: str, member: Member) -> Message:
        now_ms = self._now_ms()
        numbered = await self._groups.next_seq(group_id, now_ms)
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


def _present(member: Member | None) -> Member:
    if member is None:
        raise ChatError(Code.CONFLICT, GONE)
    return member


def _require_entry(member: Member, group_id: str) -> None:
    if not may_enter(group_id, member.groups):
        raise ChatError(
            Code.FORBIDDEN, f"{group_id} is private: your user must be in the user pool's group of this name."
        )
