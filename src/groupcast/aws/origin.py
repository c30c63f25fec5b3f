"""Where requests go: scheme, host and port, and the addresses behind them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

# How long an origin's addresses are used before its name is resolved again.
RESOLVE_INTERVAL_S = 60.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """The part of a URL that a connection is made for."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return a URL's origin. Raises ValueError for anything but http and https with a host."""
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
            raise ValueError(f"not an http or https URL: {url!r}")
        return cls(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme == "https"

    @property
    def host_header(self) -> str:
        """The Host header's value: the port is named only where it isn't the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class Addresses:
    """The addresses behind a host name, resolved once for many connections."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._known: list[str] = []
        self._known_until = 0.0
        self._next = 0
        self._resolving = asyncio.Lock()

    async def in_turn(self) -> list[str]:
        """Return all addresses, each time with another one first. Raises OSError."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if not self._known or loop.time() >= self._known_until:
                found = await loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
                self._known = list(dict.fromkeys(str(address[0]) for *_, address in found))
                self._known_until = loop.time() + RESOLVE_INTERVAL_S
        first = self._next % len(self._known)
        self._next += 1
        return self._known[first:] + self._known[:first]

    def forget(self) -> None:
        """Resolve again the next time: no address answered."""
        self._known = []
