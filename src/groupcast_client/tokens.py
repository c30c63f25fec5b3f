"""Reads the expiry of the client's own token. Pure."""

from __future__ import annotations

import base64
import re

import orjson

# The characters of a subprotocol (RFC 9110, 5.6.2), which include those of every JWT.
_SUBPROTOCOL = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def fits_subprotocol(token: str) -> bool:
    """Whether a token can be part of a subprotocol: a line break or a comma would corrupt the handshake."""
    return _SUBPROTOCOL.fullmatch(token) is not None


def expires_at(token: str) -> float | None:
    """Return the `exp` of a JWT (RFC 7519) in seconds since 1970, or None if it is unreadable.

    Does not verify the token; the service does.
    """
    parts = token.split(".")
    try:
        payload = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expiry = payload["exp"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return float(expiry) if isinstance(expiry, (int, float)) else None
