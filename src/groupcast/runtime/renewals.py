"""The chat's rules with a token verifier, for `renew` only: no other route loads PyJWT."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from groupcast.runtime.chat import no_tokens, open_chat
from groupcast.tokens import Verifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from groupcast.auth import Principal
    from groupcast.chat import Chat
    from groupcast.settings import Settings


def open_renewals(settings: Settings) -> AbstractAsyncContextManager[Chat]:
    """`open_chat` with a verifier; fetches the pool's keys in advance."""
    return open_chat(settings, no_tokens if settings.auth == "none" else _verifying(settings))


def _verifying(settings: Settings) -> Callable[[str], Awaitable[Principal]]:
    verifier = Verifier.of(settings, time.monotonic)
    verifier.prefetch()

    async def verify(token: str) -> Principal:
        # Fetching new keys would block the loop.
        return await asyncio.to_thread(verifier.verify, token)

    return verify
