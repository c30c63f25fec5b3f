"""Clients of AWS's JSON services that log failed calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging import Logger

from groupcast.aws.json_api import AwsJsonClient

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from groupcast.aws.calls import Calls
    from groupcast.aws.credentials import CredentialsProvider
    from groupcast.aws.json_api import Service
    from groupcast.errors import GroupcastError
    from groupcast.settings import Settings


def json_api(
    stack: AsyncExitStack,
    service: Service,
    endpoint: str,
    settings: Settings,
    credentials: CredentialsProvider,
    max_connections: int,
) -> Calls:
    """A client of `service` that closes with `stack`."""
    api = AwsJsonClient(
        service,
        endpoint,
        settings.region,
        credentials,
        max_connections=max_connections,
        on_failure=_log_failure,
    )
    stack.push_async_callback(api.close)
    return api


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _log_failure(operation: str, error: GroupcastError) -> None:
    Logger().warning(
        "AWS call failed", extra={"operation": operation, "error": f"{type(error).__name__}: {error}"}
    )
