"""Who is behind a connection."""

from __future__ import annotations

import unicodedata

MAX_NAME_CHARS = 64
GUEST_ID_CHARS = 6
SUBPROTOCOL = "groupcast.v1"


def guest_name(asked_for: str | None, connection_id: str) -> str:
    """The sender where nobody signs in: the name asked for, tidied, or `guest-` and a bit of the id."""
    printable = "".join(c for c in asked_for or "" if unicodedata.category(c)[0] != "C")
    name = " ".join(printable.split())[:MAX_NAME_CHARS].rstrip()
    return name or f"guest-{connection_id[:GUEST_ID_CHARS]}"


def chosen_subprotocol(offered: str | None) -> str | None:
    """What the handshake's answer names of a Sec-WebSocket-Protocol header: ours, or nothing."""
    names = [name.strip() for name in (offered or "").split(",")]
    return SUBPROTOCOL if SUBPROTOCOL in names else None
