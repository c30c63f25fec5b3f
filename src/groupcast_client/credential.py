"""Where a client's tokens come from, and how the one in use is replaced before it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from groupcast_client import frames, tokens
from groupcast_client.errors import GroupcastError, NoToken, ServerError

if TYPE_CHECKING:
    import random

    from groupcast_client.connection import Connection
    from groupcast_client.model import Limits

TokenProvider = Callable[[], Awaitable[str]]

# A machine that slept finds its timers late: after this time at most, the clock is looked at again.
_RECHECK_S = 60.0

_log = logging.getLogger("groupcast_client")


class Credential:
    """A fixed token (or none), or a provider, which is asked for a token whenever one is needed."""

    def __init__(self, source: str | TokenProvider | None, limits: Limits, rng: random.Random) -> None:
        if isinstance(source, str):
            _check(source)
        self._source = source
        self._limits = limits
        self._rng = rng
        # When the last token fetched ends, in seconds since 1970, if that can be read.
        self._expires_at: float | None = None

    async def fetch(self) -> str | None:
        """Return the token to connect with.

        Raises NoToken where the provider fails or takes too long, GroupcastError where what it gave
        is no token. A GroupcastError of the provider's own is passed on: with it, it ends the client.
        """
        if not callable(self._source):
            return self._source
        try:
            async with asyncio.timeout(self._limits.reply_timeout_s):
                token = await self._source()
        except GroupcastError:
            raise
        # What else can happen in a provider is its owner's business; here it only means: no token now.
        except Exception as error:
            raise NoToken(f"the token provider failed: {type(error).__name__}") from error
        _check(token)
        self._expires_at = tokens.expires_at(token)
        return token

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

    async def keep(self, connection: Connection, on_renewed: Callable[[frames.Renewed], None]) -> None:
        """Renew on this connection before each token ends. Only a provider's tokens are renewed.

        Returns where a token's end cannot be read. Raises ServerError where the service refuses a new one.
        """
        if not callable(self._source):
            return
        expiry = self._expires_at
        while expiry is not None:
            margin_s = self._limits.renew_margin_s * self._rng.uniform(1, 2)
            await self._sleep_until(expiry - margin_s)
            new_expiry = await self._renew(connection, expiry, on_renewed)
            if new_expiry == expiry:
                await asyncio.sleep(self._limits.renew_retry_s * self._rng.uniform(1, 2))
            expiry = new_expiry

    async def _sleep_until(self, at: float) -> None:
        # Only the clock knows that this time has come.
        while (left_s := at - time.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, _RECHECK_S))

    async def _renew(
        self, connection: Connection, expiry: float, on_renewed: Callable[[frames.Renewed], None]
    ) -> float | None:
        try:
            token = await self.fetch()
            if self._expires_at is not None and self._expires_at <= expiry:
                return expiry
            on_renewed(await connection.request(frames.Renewed, "renew", token=token))
        except NoToken as error:
            # The open connection is good until its token ends.
            _log.warning("not renewed: %s", error)
            return expiry
        except ServerError as error:
            if error.code == "Forbidden":
                raise
            _log.warning("not renewed: %s", error)
            return expiry
        return self._expires_at


def _check(token: str) -> None:
    if not tokens.may_travel(token):
        raise GroupcastError("the token holds characters that no token has (a line break at its end?)")
