"""Ids in API Gateway's format."""

from __future__ import annotations

import base64
import re
import secrets

_ID_RANDOM_BYTES = 11
_ID = re.compile(r"[A-Za-z0-9_+/-]{15}=")


def new_id() -> str:
    """Return a new connection, message or request id, such as `BFaT_fALIAMCKug=`."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_ID_RANDOM_BYTES)).decode()


def is_id(text: str) -> bool:
    """Whether this is a possible connection id: base64 of 11 bytes, in either alphabet."""
    return _ID.fullmatch(text) is not None
