"""Gets a client's tokens, and renews the current one before it expires."""

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

# Timers run late after a machine has slept, so check the clock at least this often.
_RECHECK_S = 60.0

_log = logging.getLogger("groupcast_client")


class Credential:
    """A fixed token, no token, or a provider that returns a token whenever one is needed."""

    def __init__(self, source: str | TokenProvider | None, limits: Limits, rng: random.Random) -> None:
        if source is not None and not callable(source):
            _check(source)
        self._source = source
        self._limits = limits
        self._rng = rng
        # The token that the service has: from the connect or the last renewal.
        self._token: str | None = None
        # Set by `ask` to request a renewal; `_outcome` is the result of the next one while `keep` runs.
        self._wanted = asyncio.Event()
        self._outcome: asyncio.Future[bool] | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether no other token can be fetched."""
        return not callable(self._source)

    async def fetch(self) -> str | None:
        """Return the token for the next connect.

        Raises NoToken if the provider fails or takes too long, and GroupcastError if its result is not a
        token. A GroupcastError from the provider passes through: providers use it to end the client.
        """
        self._token = await self._provided(self._source) if callable(self._source) else self._source
        return self._token

    def replace(self, token: str) -> str | TokenProvider | None:
        """Replace the fixed token and return the previous one. GroupcastError if there is a provider."""
        if callable(self._source):
            raise GroupcastError("the token provider renews by itself")
        _check(token)
        previous, self._source = self._source, token
        return previous

    def restore(self, previous: str | TokenProvider | None) -> None:
        """Undo `replace`."""
        self._source = previous

    async def ask(self, connection: Connection, request: Request[Result]) -> Result:
        """Await `request(connection)`; if it is Forbidden, renew the token and try once more.

        The current token may have expired unnoticed (the machine slept, or its clock is wrong), or the user
        may have new rights. Raises the request's errors.
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
        """Renew the token on this connection before it expires, and when `ask` requests it.

        Only a provider's tokens are renewed, and those without a readable expiry only for `ask`. Raises
        ServerError if the service refuses a new token.
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
            # Let waiting callers repeat their requests, which then fail with the connection's error.
            if outcome is not None and not outcome.done():
                outcome.set_result(True)

    async def _provided(self, provider: TokenProvider) -> str:
        try:
            async with asyncio.timeout(self._limits.reply_timeout_s):
                token = await provider()
        except GroupcastError:
            raise
        # Any other error of the provider only means that there is no token at the moment.
        except Exception as error:
            raise NoToken(f"the token provider failed: {type(error).__name__}") from error
        _check(token)
        return token

    async def _renewed(self) -> bool:
        if self._outcome is None:
            return True
        self._wanted.set()
        # Several callers share the future: cancelling one must not cancel it.
        return await asyncio.shield(self._outcome)

    async def _until_due(self, pause_s: float) -> None:
        await self._pause(pause_s)
        margin_s = self._limits.renew_margin_s * self._rng.uniform(1, 2)
        due_at = _expiry(self._token) - margin_s
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
            # The open connection stays valid until its token expires.
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


def _expiry(token: str | None) -> float:
    expires_at = None if token is None else tokens.expires_at(token)
    return math.inf if expires_at is None else expires_at


def _is_fresher(token: str, current: str | None) -> bool:
    expiry, current_expiry = _expiry(token), _expiry(current)
    return token != current and (expiry > current_expiry or math.inf in (expiry, current_expiry))


def _check(token: object) -> None:
    if not isinstance(token, str):
        raise GroupcastError(f"a token must be a str, not {type(token).__name__}")
    if not tokens.fits_subprotocol(token):
        raise GroupcastError("the token has characters that no token may have (a line break at its end?)")
