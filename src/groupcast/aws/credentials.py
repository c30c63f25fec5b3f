"""AWS credentials, without loading botocore where Lambda's environment has them.

Elsewhere (a developer's machine, a container) botocore's chain is asked, in a thread and imported only
then, since the import alone takes a third of a second.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from typing import TYPE_CHECKING

from groupcast.aws.errors import NoCredentialsError
from groupcast.aws.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Credentials are replaced this long before they expire.
REFRESH_MARGIN_S = 300.0
# And not more often than this, however often AWS refuses them or the source fails.
REFRESH_INTERVAL_S = 10.0

_log = logging.getLogger(__name__)


def from_environment(environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials of Lambda's environment variables, None without them."""
    access_key = environ.get("AWS_ACCESS_KEY_ID")
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN") or None)


def from_botocore() -> Credentials:
    """Return fresh credentials from botocore's chain. Blocks; raises NoCredentialsError."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - a third of a second
    from botocore.session import Session  # noqa: PLC0415

    try:
        found = Session().get_credentials()
        frozen = found and found.get_frozen_credentials()
    except BotoCoreError as error:
        raise NoCredentialsError(f"no AWS credentials: {error}") from error
    if not frozen:
        raise NoCredentialsError("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    # Only refreshable ones have it, and under no public name.
    expiry = getattr(found, "_expiry_time", None)
    return Credentials(
        frozen.access_key, frozen.secret_key, frozen.token, expiry.timestamp() if expiry else None
    )


class CredentialsProvider:
    """The credentials of the moment. At most one refresh runs; the old ones are used meanwhile.

    All arguments but the defaults are for tests; `load` runs in a thread.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        load: Callable[[], Credentials] = from_botocore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._load = load
        self._clock = clock
        self._loaded: Credentials | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = -REFRESH_INTERVAL_S

    async def ready(self) -> None:
        """Wait until `current` has credentials that have not expired. Raises NoCredentialsError."""
        if from_environment(self._environ) is None and self._left_s() <= 0:
            await asyncio.shield(self._refreshing or self._refresh())

    def current(self) -> Credentials:
        """Return the credentials; await `ready` before. Old ones are replaced in the background."""
        found = from_environment(self._environ)
        if found is not None:
            return found
        if self._loaded is None:
            raise NoCredentialsError("no credentials are loaded")
        if self._left_s() < REFRESH_MARGIN_S:
            self._refresh_soon()
        return self._loaded

    def refused(self, credentials: Credentials) -> None:
        """Replace credentials that AWS refused, in the background, unless that has happened already."""
        if credentials == self._loaded:
            self._refresh_soon()

    def _left_s(self) -> float:
        if self._loaded is None:
            return 0.0
        expires_at = self._loaded.expires_at
        return math.inf if expires_at is None else expires_at - self._clock()

    def _refresh_soon(self) -> None:
        if self._refreshing is None and self._clock() - self._refreshed_at >= REFRESH_INTERVAL_S:
            self._refresh()

    def _refresh(self) -> asyncio.Task[None]:
        self._refreshed_at = self._clock()
        self._refreshing = asyncio.get_running_loop().create_task(self._replace())
        self._refreshing.add_done_callback(self._refresh_ended)
        return self._refreshing

    async def _replace(self) -> None:
        self._loaded = await asyncio.to_thread(self._load)

    def _refresh_ended(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("credentials could not be refreshed: %s", error)
