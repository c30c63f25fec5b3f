"""DynamoDB through aioboto3: loaded cheaply, and with the process's TLS context."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from groupcast.aws.tls import tls_context, without_authorities
from groupcast.loading import collector_paused

# aiohttp makes two TLS contexts when it is imported, unused here: 40 ms for their CAs.
with collector_paused(), without_authorities():
    import aioboto3
    import aiohttp
    from aiobotocore.config import AioConfig
    from aiobotocore.httpsession import AIOHTTPSession

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractAsyncContextManager

DYNAMODB_CONNECT_TIMEOUT_S = 2
DYNAMODB_READ_TIMEOUT_S = 3
DYNAMODB_ATTEMPTS = 3


def dynamodb_client(endpoint_url: str) -> AbstractAsyncContextManager[Any]:
    """A client of DynamoDB; credentials and region are those that the SDK finds."""
    # Now, not at the first request.
    tls = tls_context() if endpoint_url.startswith("https://") else True
    config = AioConfig(
        connect_timeout=DYNAMODB_CONNECT_TIMEOUT_S,
        read_timeout=DYNAMODB_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": DYNAMODB_ATTEMPTS},
        http_session_cls=partial(_Session, tls),
    )
    client: AbstractAsyncContextManager[Any] = aioboto3.Session().client(
        "dynamodb", endpoint_url=endpoint_url, config=config
    )
    return client


class _Session(AIOHTTPSession):  # type: ignore[misc] # no types
    """Connects with the one context. Should aiobotocore rename the method, it makes its own again."""

    def __init__(self, tls: ssl.SSLContext | bool, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
        if proxy_url:
            connector: aiohttp.TCPConnector = super()._create_connector(proxy_url)
            return connector
        return aiohttp.TCPConnector(limit=self._max_pool_connections, ssl=self._tls, **self._connector_args)
