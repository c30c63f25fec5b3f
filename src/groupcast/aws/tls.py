"""One TLS context for all connections of a process: each one that loads the CAs takes about 20 ms of CPU."""

from __future__ import annotations

import functools
import os
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# OpenSSL reads these whenever it looks for the system's CAs.
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_NOWHERE = "/dev/null"


def tls_context(cafile: str | None = None) -> ssl.SSLContext:
    """The context for HTTP/1.1 that trusts the system's CAs, or those of `cafile` alone (PEM)."""
    # The cache tells a missing argument from None.
    return _made(cafile)


@contextmanager
def without_authorities() -> Iterator[None]:
    """TLS contexts made meanwhile trust no authority, and cost next to nothing."""
    before = {name: os.environ.get(name) for name in _AUTHORITIES}
    os.environ.update(dict.fromkeys(_AUTHORITIES, _NOWHERE))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.lru_cache(maxsize=2)
def _made(cafile: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cafile)
    context.set_alpn_protocols(["http/1.1"])
    return context
