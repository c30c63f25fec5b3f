"""Decides by Host and Origin which requests the local servers accept. Pure.

Any web page can send requests to 127.0.0.1 through its visitor's browser. If the page's host name resolves to
127.0.0.1 (DNS rebinding), it can also read the responses. So Host must name this machine, and Origin must be
this machine or one that the user allowed. Programs send no Origin.

AWS's endpoints check neither header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

REFUSED_STATUS = HTTPStatus.FORBIDDEN
HOST_NAMES = ("127.0.0.1", "localhost", "[::1]")
MAX_SHOWN_CHARS = 300
# An origin as browsers send it: with a host, or `null` for a file.
ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]{1,261}")

_LOCAL = f"(?:{'|'.join(map(re.escape, HOST_NAMES))})(?::[0-9]{{1,5}})?"
_LOCAL_HOST = re.compile(_LOCAL, re.IGNORECASE)
_LOCAL_ORIGIN = re.compile(f"https?://{_LOCAL}")


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The rules for requests. `allowed_origins` are accepted besides this machine's own."""

    allowed_origins: frozenset[str] = frozenset()

    def refusal(self, host: str | None, origin: str | None) -> str | None:
        """Return the reason to refuse a request with these headers (None: absent); None if it is accepted."""
        if host is None or not _LOCAL_HOST.fullmatch(host):
            return f"Host is {_shown(host)}; it must be one of {', '.join(HOST_NAMES)}"
        if origin is None or origin in self.allowed_origins or _LOCAL_ORIGIN.fullmatch(origin):
            return None
        return (
            f"Pages of the origin {_shown(origin)} are not allowed (null: a file); "
            "allow them with: groupcast up --allow-origin ORIGIN"
        )


def _shown(value: str | None) -> str:
    return "missing" if value is None else ascii(value[:MAX_SHOWN_CHARS])
