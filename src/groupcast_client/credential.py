"""Where a client's tokens come from, and how the one in use is replaced before it ends."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

from groupcast_client import frames, tokens
from groupcast_client.errors import GroupcastError, NoToken, ServerError
from groupcast_client.ratelimit import retried

if TYPE_CHECKING:
    import random

    from groupcast_client.connection import Connection
    from groupcast_client.model import Limits

Result = TypeVar("Result")
TokenProvider = Callable[[], Awaitable[str]]
Request = Callable[["Connection"], Awaitable[Result]]

# A machine that slept finds its timers late: after this time at most, the clock is looked at again.
_RECHECK_S = 60.0

_log = logging.getLogger("groupcast_client")


class Credential:
    """A fixed token (or none), or a provider, which is asked for a token whenever one is needed."""

    def __init__(self, source: str | TokenProvider | None, limits: Limits, rng: random.Random) -> None:
        if source is not None and not callable(source):
            _check(source)
        self._source = source
        self._limits = limits
        self._rng = rng
        # What the service knows this client by: connected with, or renewed with since.
        self._token: str | None = None
        # Somebody waits for a renewal, and what comes of the next one, as long as `keep` runs.
        self._wanted = asyncio.Event()
        self._outcome: asyncio.Future[bool] | None = None

    @property
    def is_fixed(self) -> bool:
        """Tell whether there is no other token to be had."""
        return not callable(self._source)

    async def fetch(self) -> str | None:
        """Return the token to connect with.

        Raises NoToken where the provider fails or takes too long, GroupcastError where what it gave
        is no token. A GroupcastError of the provider's own is passed on: with it, it ends the client.
        """
        self._token = await self._provided(self._source) if callable(self._source) else self._source
        return self._token

    def replace(self, token: str) -> str | TokenProvider | None:
        """Use another fixed token from now on and return the one before. GroupcastError with a provider."""
        if callable(self._source):
            raise GroupcastError("the token provider renews by itself")
        _check(token)
        former, self._source = self._source, token
        return former

    def restore(self, former: str | TokenProvider | None) -> None:
        """Undo `replace`."""
        self._source = former

    async def ask(self, connection: Connection, request: Request[Result]) -> Result:
        """Await `request(connection)`; where that is Forbidden, once more with a fresher token.

        The token in use may have ended unnoticed (the machine slept, its clock is wrong), or a right was
        given since. Raises what the request raises.
        """
        token = self._token
        try:
            return await request(connection)
        except ServerError as error:
            if error.code != "Forbidden" or self.is_fixed:
                raise
            if self._token == token and not await self._renewed():
                raise
        return await request(connection)

    async def keep(self, connection: Connection, on_renewed: Callable[[frames.Renewed], None]) -> None:
        """Renew on this connection before each token ends, and when `ask` wants it.

        Only a provider's tokens are renewed. One whose end cannot be read is renewed when `ask` wants it
        alone. Raises ServerError where the service refuses a new one.
        """
        if not callable(self._source):
            return
        pause_s = 0.0
        try:
            while True:
                self._wanted.clear()
                self._outcome = asyncio.get_running_loop().create_future()
                await self._until_due(pause_s)
                is_renewed = await self._renew(connection, self._source, on_renewed)
                pause_s = 0.0 if is_renewed else self._limits.renew_retry_s * self._rng.uniform(1, 2)
                self._outcome.set_result(is_renewed)
        finally:
            outcome, self._outcome = self._outcome, None
            # Whoever waits asks again, and learns what has become of the connection.
            if outcome is not None and not outcome.done():
                outcome.set_result(True)

    async def _provided(self, provider: TokenProvider) -> str:
        try:
            async with asyncio.timeout(self._limits.reply_timeout_s):
                token = await provider()
        except GroupcastError:
            raise
        # What else can happen in a provider is its owner's business; here it only means: no token now.
        except Exception as error:
            raise NoToken(f"the token provider failed: {type(error).__name__}") from error
        _check(token)
        return token

    async def _renewed(self) -> bool:
        if self._outcome is None:
            return True
        self._wanted.set()
        # All who wait share it: one that is cancelled must not take it along.
        return await asyncio.shield(self._outcome)

    async def _until_due(self, pause_s: float) -> None:
        await self._pause(pause_s)
        margin_s = self._limits.renew_margin_s * self._rng.uniform(1, 2)
        due_at = _end(self._token) - margin_s
        while (left_s := due_at - time.time()) > 0 and not self._wanted.is_set():
            await self._pause(min(left_s, _RECHECK_S))

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._wanted.wait()

    async def _renew(
        self, connection: Connection, provider: TokenProvider, on_renewed: Callable[[frames.Renewed], None]
    ) -> bool:
        try:
            token = await self._provided(provider)
            if not _is_fresher(token, self._token):
                return False
            loop = asyncio.get_running_loop()
            renewed = await retried(
                lambda: connection.request(frames.Renewed, "renew", token=token),
                repeat(self._limits.renew_retry_s),
                loop.time() + self._limits.call_timeout_s,
            )
        except NoToken as error:
            # The open connection is good until its token ends.
            _log.warning("not renewed: %s", error)
            return False
        except ServerError as error:
            if error.code == "Forbidden":
                raise
            _log.warning("not renewed: %s", error)
            return False
        self._token = token
        on_renewed(renewed)
        return True


def _end(token: str | None) -> float:
    expires_at = None if token is None else tokens.expires_at(token)
    return math.inf if expires_at is None else expires_at


def _is_fresher(token: str, former: str | None) -> bool:
    end, former_end = _end(token), _end(former)
    return token != former and (end > former_end or math.inf in (end, former_end))


def _check(token: object) -> None:
    if not isinstance(token, str):
        raise GroupcastError(f"a token is a str, not {type(token).__name__}")
    if not tokens.may_travel(token):
        raise GroupcastError("the token holds characters that no token has (a line break at its end?)")
