"""What a client reads of its own token: when it ends. Pure."""

from __future__ import annotations

import base64
import re

import orjson

# What a subprotocol may be made of (RFC 9110, 5.6.2); every JWT is.
_TRAVELS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def may_travel(token: str) -> bool:
    """Tell whether a token can be part of a handshake: a line break or a comma would change its meaning."""
    return _TRAVELS.fullmatch(token) is not None


def expires_at(token: str) -> float | None:
    """Return the `exp` of a JWT (RFC 7519), in seconds since 1970, or None where it cannot be read.

    Nothing is verified, that is the service's work.
    """
    parts = token.split(".")
    try:
        payload = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = payload["exp"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return float(expiry) if isinstance(expiry, (int, float)) else None
